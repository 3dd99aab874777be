"""One model's life on the embedded AWS, the controller killed at every call of it: the account ends up as if it had
lived.

Each kill ends one life of the controller; the next one knows the store and AWS, and comes as far as the next point. So
all points of a moment fall into one telling of the story, each the first time it is come to. `test_every_point.py` has
every point alone, and pairs of them, on a cloud of dictionaries.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controller.core.status import Status
from controller.reconcile import PassResult
from controller.resources.base import ResourceContext, ResourceRegistry, discover_resources
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients
from tests.reliability.account_state import AccountState, normalized_state
from tests.reliability.crash_injection import CrashedError, CrashInjector, CrashMoment, ObservedMemoryStore
from tests.reliability.scenario import SCENARIO

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
# What a chapter ends with; all others end Ready.
REASONS = {"gate failure": "GateFailed"}
# What is made again when such a call is sent again; others leave what they left before.
CREATING_CALLS = re.compile(r"\w+\.(create_(?!tags)|register_|put_image )")


@dataclass
class ScenarioResult:
    """What came of a telling: the account after each chapter, and its points."""

    account_states: dict[str, AccountState] = field(default_factory=dict)
    points: dict[str, list[str]] = field(default_factory=dict)
    journaled: dict[str, list[str]] = field(default_factory=dict)
    hit: dict[str, list[str]] = field(default_factory=dict)
    twice: dict[str, set[str]] = field(default_factory=dict)
    reasons: dict[str, set[str]] = field(default_factory=dict)
    still_planned: dict[str, list[str]] = field(default_factory=dict)
    pending: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class ScenarioRunner:
    """Tells the story on an emptied AWS, as often as wanted."""

    aws: EmbeddedAws
    registry: ResourceRegistry
    directory: Path

    def run(self, moment: CrashMoment | None) -> ScenarioResult:
        self.aws.call_admin_endpoint("reset", "POST")
        crash_injector, reported = CrashInjector(), ScenarioResult()
        demo = Demo(
            EmbeddedClients(self.aws.endpoint),
            self.registry,
            self.directory,
            ObservedMemoryStore(crash_injector),
            hooks=(crash_injector,),
        )
        for chapter in SCENARIO:
            crash_injector.reset()
            if moment is not None:
                crash_injector.crash_at_each(moment)
            done = run_until_completed(chapter.apply_to(demo))
            crash_injector.disable()
            self._record_phase(reported, chapter.name, crash_injector, demo, done)
        return reported

    def _record_phase(
        self, result: ScenarioResult, name: str, crash_injector: CrashInjector, demo: Demo, done: PassResult
    ) -> None:
        result.points[name], result.journaled[name], result.hit[name] = (
            crash_injector.points,
            crash_injector.journaled,
            crash_injector.hit,
        )
        result.twice[name] = {
            point for point, sent in crash_injector.sent.items() if sent > 1 and CREATING_CALLS.match(point)
        }
        result.reasons[name] = {reason(status) for status in done.statuses}
        result.still_planned[name] = [f"{step.action} {step.node.key}" for step in demo.survey().plan.steps]
        records = demo.store.list_records(demo.environment)
        result.pending[name] = [str(record.key) for record in records if record.pending is not None]
        result.account_states[name] = normalized_state(demo.aws_client())


def run_until_completed(run_controller: Callable[[], PassResult], most: int = 200) -> PassResult:
    """One life after the other, until one comes to its end."""
    for _ in range(most):
        try:
            return run_controller()
        except CrashedError:
            continue
    raise AssertionError(f"killed {most} times and still not done")


def reason(status: Status) -> str:
    found = status.find_condition("Ready")
    return found.reason if found else ""


@pytest.fixture(scope="session")
def scenario_runner(
    idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory
) -> ScenarioRunner:
    return ScenarioRunner(idle_aws, discover_resources(resource_context), tmp_path_factory.mktemp("specs"))


@pytest.fixture(scope="session")
def undisturbed(scenario_runner: ScenarioRunner) -> ScenarioResult:
    """The story as nobody interrupts it."""
    return scenario_runner.run(None)


def test_undisturbed_scenario_succeeds(undisturbed: ScenarioResult) -> None:
    """What the killed ones are compared with: each chapter comes to its end, does something, and leaves
    nothing open.
    """
    for chapter in SCENARIO:
        assert REASONS.get(chapter.name, "Reconciled") in undisturbed.reasons[chapter.name]
        assert undisturbed.still_planned[chapter.name] == []
        assert len(undisturbed.points[chapter.name]) >= 2
    assert sum(map(len, undisturbed.points.values())) > 100
    worlds = [undisturbed.account_states[chapter.name] for chapter in SCENARIO]
    assert all(before != after for before, after in itertools.pairwise(worlds))


def test_pruning_leaves_only_shared_resources(undisturbed: ScenarioResult) -> None:
    """After the last chapter nothing of the model is in the account but its finished jobs and what they wrote."""
    left = undisturbed.account_states["prune"]
    assert not any(
        "housing-model" in str(items)
        for name, items in left.items()
        if name not in ("jobs", "objects", "INACTIVE definitions")
    )
    assert all(key.startswith("training/") for key, _ in left["objects"])


@pytest.mark.parametrize("moment", CrashMoment, ids=lambda moment: moment.name.lower())
def test_crash_at_every_call_converges(
    moment: CrashMoment, scenario_runner: ScenarioRunner, undisturbed: ScenarioResult
) -> None:
    """Every point is hit, each chapter's account equals the undisturbed one's, nothing is made twice or left open."""
    reported = scenario_runner.run(moment)
    expected = undisturbed.journaled if moment is CrashMoment.NOT_JOURNALED else undisturbed.points
    for chapter in SCENARIO:
        name = chapter.name
        assert set(reported.hit[name]) == set(expected[name])
        assert _differing(reported.account_states[name], undisturbed.account_states[name]) == {}
        assert reported.reasons[name] == undisturbed.reasons[name]
        assert (reported.twice[name], reported.still_planned[name], reported.pending[name]) == (set(), [], [])


def _differing(found: AccountState, expected: AccountState) -> dict[str, Any]:
    return {name: (found[name], items) for name, items in expected.items() if found[name] != items}
