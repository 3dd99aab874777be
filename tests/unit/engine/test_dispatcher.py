"""Passes over a fake cloud, with real threads: batches, failures that stay alone, commits, and the end of a run."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from controller.aws import AwsClient
from controller.aws.calls import AwsCall, CallCounter
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Plan, Step
from controller.core.spec_context import AwsLocation, ResolvedInputs, SpecContext
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key, Ref
from controller.engine.dispatcher import Dispatcher, PassAttempt
from controller.engine.run_once import RunOptions, run_once
from controller.engine.run_result import RunResult
from controller.engine.work_queue import MOST, Queue
from controller.environments.backend import utc_now
from controller.environments.cancellation import CancellationToken
from controller.environments.factory import OpenEnvironment
from controller.errors import DeadlineError, DeniedError, FailedError, LeaseHeldError, NotPlannedError, UnavailableError
from controller.reconcile import Reconciler
from controller.resources.base import Resource, ResourceContext
from controller.sources.snapshots import Snapshot
from controller.spec.load import load_text
from controller.store.memory import MemoryStore

SPEC = """
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {{name: {name}, labels: {{cpu: "{cpu}"}}}}
spec:
  data: {{source: rows.csv, target: y}}
  training: {{algorithm: {{name: xgboost, version: "3.2-0"}}, hyperparameters: {{num_round: 3}}}}
"""
ENVIRONMENT_CONTEXT = Key("default", "Environment", "default")


def key(name: str) -> Key:
    return Key("default", "ModelService", name)


def snapshot(commit: str = "", **cpus: str) -> Snapshot:
    return Snapshot(load_text("---".join(SPEC.format(name=name, cpu=cpu) for name, cpu in cpus.items())), {}, commit)


class NoLease:
    """A lease that is anybody's, until `other` holds it."""

    def __init__(self) -> None:
        self.other = 0

    def acquire(self) -> None:
        if self.other:
            self.other -= 1
            raise LeaseHeldError("another controller is at work", retry_after=0.001)

    def renew(self) -> None:
        pass

    held = True

    def release(self) -> None:
        pass


@dataclass
class FakeCloud:
    """What exists, by name; what a look at a name, or a write of it, does first; who looked at what together; and why a
    name can't be deleted.
    """

    objects: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    reads: list[list[str]] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    on_look: Callable[[str], None] = lambda _: None
    on_write: Callable[[str], None] = lambda _: None
    verdicts: dict[str, list[Verdict]] = field(default_factory=dict)
    hold_reasons: dict[str, str] = field(default_factory=dict)
    call_counter: CallCounter = field(default_factory=CallCounter)
    views: int = 0

    def with_listing_cache(self) -> FakeCloud:
        """A survey sees what everybody sees."""
        self.views += 1
        return self


class FakeResource(Resource):
    """A type whose objects are entries of the cloud; those of models stand on the environment's."""

    kind = "test/thing"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is None:
            yield Node(context.shared_key(self.kind), {"name": "shared"}, {})
        else:
            desired = {"cpu": context.service.metadata.labels["cpu"], "on": Ref(context.shared_key(self.kind), "arn")}
            yield Node(context.own_key(self.kind), {"name": context.owner.name}, desired)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        cloud = cast("FakeCloud", aws)
        names = {target.key: str(target.identity["name"]) for target in targets}
        cloud.reads.append(sorted(names.values()))
        cloud.call_counter.count(AwsCall("read", "ecs", "describe_services", {}))
        for name in names.values():
            cloud.on_look(name)
        return {
            key: Observed(cloud.objects[name], {"arn": f"arn:{name}"})
            for key, name in names.items()
            if name in cloud.objects
        }

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        cloud, name = cast("FakeCloud", aws), str(step.node.identity["name"])
        cloud.writes.append(name)
        cloud.on_write(name)
        cloud.objects[name] = step.node.desired
        return Observed(step.node.desired, {"arn": f"arn:{name}"})

    def ready(self, node: Node, seen: Observed) -> Verdict:
        del seen
        left = self.cloud.verdicts.get(str(node.identity["name"]), [Ready()])
        return left.pop(0) if len(left) > 1 else left[0]

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        cloud, name = cast("FakeCloud", aws), str(target.identity["name"])
        if name in cloud.hold_reasons:
            return Waiting("InUse", cloud.hold_reasons[name], 0.01)
        cloud.writes.append(f"-{name}")
        cloud.objects.pop(name, None)
        return None

    cloud: FakeCloud


class DispatcherHarness:
    """Passes over one cloud and one store."""

    def __init__(self, parallel: int = 4) -> None:
        self.cloud, self.store, self.lease, self.cancellation = (
            FakeCloud(),
            MemoryStore(),
            NoLease(),
            CancellationToken(),
        )
        self.thing = FakeResource(ResourceContext(Path()))
        self.thing.cloud = self.cloud
        self.parallel = parallel
        self.opened: list[str] = []
        self.leases = [self.lease]

    def open_environment(self, wanted: Snapshot, environment: str) -> OpenEnvironment:
        self.opened.append(environment)
        place, home = AwsLocation("123456789012", "us-east-1"), wanted.specs.get_environment(environment)
        services = [one.model for one in wanted.specs.services.values()]
        contexts = [
            SpecContext(home, None, place),
            *(SpecContext(home, one, place, ResolvedInputs(commit=wanted.commit)) for one in services),
        ]
        registry = {"test/thing": self.thing}
        reconciler = Reconciler(
            registry,
            cast("AwsClient", self.cloud),
            self.store,
            utc_now,
            raise_if_cancelled=self.cancellation.raise_if_cancelled,
        )
        return OpenEnvironment(environment, reconciler, contexts, self.lease)

    def once(
        self, wanted: Snapshot, on_progress: Callable[[RunResult], None] = lambda _: None, **options: Any
    ) -> RunResult:
        defaults: dict[str, Any] = {"timeout": 60, "pace": 0.001, "parallel": self.parallel}
        return run_once(self, wanted, CancellationToken(), RunOptions(**{**defaults, **options}), on_progress)

    def loop(self, script: Callable[[Dispatcher, list[PassAttempt]], Any], wanted: Snapshot) -> list[PassAttempt]:
        """Run passes while `script` (a coroutine function) lasts."""
        outcomes: list[PassAttempt] = []

        async def run() -> None:
            queue = Queue(time.monotonic, random.random, pace=0.001)
            passes = Dispatcher(self, queue, self.cancellation, parallel=self.parallel, on_attempt=outcomes.append)
            passes.declare(wanted)
            work = asyncio.create_task(passes.run())
            try:
                await asyncio.wait_for(script(passes, outcomes), 30)
            finally:
                self.cancellation.cancel()
                passes.wake()
                await work
                passes.close()

        asyncio.run(run())
        return outcomes


async def until(condition: Callable[[], Any]) -> None:
    """Let the event loop go on until the condition holds; the caller's deadline ends it."""
    while not condition():  # noqa: ASYNC110  (what it waits for happens in threads)
        await asyncio.sleep(0.001)


def test_due_keys_are_observed_in_one_batch() -> None:
    """Five new specs: two waves of one look each before anything is made, and one look at all of them in a
    quiet run.
    """
    harness, wanted = DispatcherHarness(), snapshot(**dict.fromkeys("abcde", "1"))
    run = harness.once(wanted)
    assert run.steps == {"create": 6}
    assert [status.owner for status in run.statuses] == [ENVIRONMENT_CONTEXT, *map(key, "abcde")]
    harness.cloud.reads.clear()
    assert harness.once(wanted).steps == {}
    assert harness.cloud.reads == [["a", "b", "c", "d", "e", "shared"]]


def test_batches_share_their_listings() -> None:
    """A run over more specs than are handed out together: a quiet one looks at them in groups, through one view of AWS.

    What fell due after the view was opened isn't told of by it.
    """
    names = [f"m{number:03}" for number in range(MOST + 20)]
    harness, wanted = DispatcherHarness(), snapshot(**dict.fromkeys(names, "1"))
    assert harness.once(wanted).steps == {"create": len(names) + 1}
    harness.cloud.reads.clear()
    harness.cloud.views = 0
    assert harness.once(wanted).steps == {}
    half = (len(names) + 2) // 2
    assert [len(look) for look in harness.cloud.reads] == [
        half,
        len(names) + 1 - half + 1,
    ]  # the Environment is in each
    assert harness.cloud.views == 1
    assert harness.once(wanted).steps == {}
    assert harness.cloud.views == 2


def test_only_unfinished_specs_are_observed_again() -> None:
    """A model that waits is looked at, with what it stands on; the ready one is left alone."""
    harness = DispatcherHarness()
    harness.cloud.verdicts = {"a": [Waiting("Rollout", "", 1), Waiting("Rollout", "", 1), Ready()]}
    harness.once(snapshot(a="1", b="1"))
    looks = Counter(name for look in harness.cloud.reads for name in look)
    assert looks["a"] > looks["b"]


def test_no_wait_runs_one_pass_per_spec() -> None:
    """With wait off, every spec gets one pass, whatever it waits for."""
    harness = DispatcherHarness()
    harness.cloud.verdicts = {"a": [Waiting("Rollout", "", 1)]}
    run = harness.once(snapshot(a="1"), wait=False)
    assert run.steps == {"create": 2}
    assert len(harness.opened) == 1


def test_unreadable_spec_does_not_affect_others() -> None:
    """Looking at all fails because of one: each is looked at alone, and only that one is degraded."""
    harness = DispatcherHarness()

    def deny(name: str) -> None:
        if name == "bad":
            raise DeniedError("not allowed")

    harness.cloud.on_look = deny
    run = harness.once(snapshot(a="1", bad="1", c="1"))
    assert {status.owner.name: status.conditions[0].status for status in run.statuses} == {
        "default": "True",
        "a": "True",
        "bad": "False",
        "c": "True",
    }


def test_a_defect_in_one_spec_ends_only_its_pass() -> None:
    """An exception that nobody foresaw, in a batch of three: the others are made.

    The loop goes on, and waits with that one.
    """
    harness = DispatcherHarness()

    def crash(name: str) -> None:
        if name == "bad":
            raise ZeroDivisionError

    harness.cloud.on_look = crash

    async def script(_: Dispatcher, outcomes: list[PassAttempt]) -> None:
        await until(
            lambda: {"a", "c"} <= harness.cloud.objects.keys() and sum(o.key == key("bad") for o in outcomes) > 2
        )

    outcomes = harness.loop(script, snapshot(a="1", bad="1", c="1"))
    assert {type(o.error) for o in outcomes if o.key == key("bad")} == {ZeroDivisionError}
    assert all(o.error is None for o in outcomes if o.key != key("bad"))


def test_stuck_key_does_not_block_others() -> None:
    """While one spec's write hangs, its neighbour is made, changed by a new commit and made again."""
    harness, free = DispatcherHarness(), threading.Event()

    def hang(name: str) -> None:
        if name == "stuck":
            free.wait(30)

    harness.cloud.on_write = hang

    async def script(passes: Dispatcher, _: list[PassAttempt]) -> None:
        await until(lambda: "stuck" in harness.cloud.writes and "a" in harness.cloud.objects)
        passes.declare(snapshot("second", stuck="1", a="2"))
        await until(lambda: harness.cloud.objects["a"]["cpu"] == "2")
        assert "stuck" not in harness.cloud.objects
        free.set()
        await until(lambda: "stuck" in harness.cloud.objects)

    harness.loop(script, snapshot("first", stuck="1", a="1"))


def test_a_new_commit_supersedes_waiting() -> None:
    """A spec that waits an hour is looked at when something newer is declared."""
    harness = DispatcherHarness()
    harness.cloud.verdicts = {"a": [Waiting("Training", "", 3_600_000), Ready()]}

    async def script(passes: Dispatcher, outcomes: list[PassAttempt]) -> None:
        await until(lambda: any(o.key == key("a") for o in outcomes))
        harness.cloud.verdicts["a"] = [Waiting("Training", "", 3_600_000)]
        passes.declare(snapshot("next", a="2"))
        await until(lambda: harness.cloud.objects["a"]["cpu"] == "2")

    harness.loop(script, snapshot(a="1"))


def test_source_error_degrades_without_other_changes() -> None:
    """Degraded says why something newer can't be read, on every spec, while Ready stays true.

    The next good read clears it.
    """
    harness = DispatcherHarness()

    def conditions(name: str) -> dict[str, str]:
        found = harness.store.get_status(key(name))
        return {c.type: c.status for c in found.conditions} if found else {}

    async def script(passes: Dispatcher, _: list[PassAttempt]) -> None:
        await until(lambda: conditions("a").get("Ready") == "True")
        passes.report_source_error("commit 123 can't be used")
        await until(lambda: conditions("a")["Degraded"] == "True")
        assert conditions("a")["Ready"] == "True"
        passes.declare(snapshot("good", a="1"))
        await until(lambda: conditions("a")["Degraded"] == "False")

    harness.loop(script, snapshot(a="1"))


def test_removed_spec_is_pruned_once() -> None:
    """What is named as gone is deleted; what merely isn't declared any more is left, and looked at no more."""
    harness = DispatcherHarness()

    async def script(passes: Dispatcher, outcomes: list[PassAttempt]) -> None:
        await until(lambda: {"a", "b", "c"} <= harness.cloud.objects.keys())
        passes.declare(snapshot(a="1"), [key("b")])
        await until(lambda: "b" not in harness.cloud.objects)
        await until(lambda: passes.keys == {ENVIRONMENT_CONTEXT, key("a")})
        outcomes.clear()
        passes.enqueue_all()
        await until(lambda: len(outcomes) >= 2)
        assert {outcome.key for outcome in outcomes} == {ENVIRONMENT_CONTEXT, key("a")}

    harness.loop(script, snapshot(a="1", b="1", c="1"))
    assert "c" in harness.cloud.objects
    assert harness.store.get_status(key("b")) is None
    assert harness.store.get_status(key("c")) is not None


def test_waiting_for_the_lease_ends_when_it_is_free() -> None:
    """Nothing is looked at while somebody else works here; then everything is made."""
    harness = DispatcherHarness()
    harness.lease.other = 3
    assert harness.once(snapshot(a="1")).steps == {"create": 2}


def test_cancellation_takes_effect_between_steps() -> None:
    """Asked to end during a write, the run finishes and journals that one, begins no other, and says it was
    interrupted.
    """
    harness = DispatcherHarness(parallel=1)
    harness.cloud.on_write = lambda _: harness.cancellation.cancel()

    async def script(_: Dispatcher, __: list[PassAttempt]) -> None:
        await until(lambda: harness.cancellation.is_cancelled)

    harness.loop(script, snapshot(a="1", b="1"))
    assert harness.cloud.writes == ["shared"]
    assert [record.pending for record in harness.store.list_records("default")] == [None]


def test_oscillating_step_is_reported() -> None:
    """A step that is needed again each time it was done ends a run, with the fields that don't stay."""
    harness = DispatcherHarness()
    harness.cloud.on_look = lambda name: cast("None", harness.cloud.objects.pop("a", None)) if name == "a" else None
    with pytest.raises(FailedError, match="needed again after they were done: create test/thing a"):
        harness.once(snapshot(a="1"))


def test_timeout_reports_what_is_waited_for() -> None:
    """A run that waits longer than it may ends with what it waits for."""
    harness = DispatcherHarness()
    harness.cloud.verdicts = {"a": [Waiting("Training", "round 3 of 100", 1)]}
    with pytest.raises(DeadlineError, match="round 3 of 100"):
        harness.once(snapshot(a="1"), timeout=0.2)


def test_timeout_reports_a_pending_deletion() -> None:
    """A removed spec whose object AWS holds on to has no status: what it waits for is told all the same, by
    its name.
    """
    harness = DispatcherHarness()
    harness.once(snapshot(a="1", b="1"))
    harness.cloud.hold_reasons["b"] = "sg-1 has a dependent object"
    with pytest.raises(DeadlineError, match="b: sg-1 has a dependent object"):
        harness.once(snapshot(a="1"), removed_specs=[key("b")], timeout=0.2)


def test_disallowed_plan_is_not_started() -> None:
    """A pass whose plan isn't allowed does nothing, and ends the run with the reason.

    One that may do less does that.
    """
    harness = DispatcherHarness()

    def forbid(plan: Plan) -> Plan:
        raise NotPlannedError("not planned", why=", ".join(str(step.node.key) for step in plan.steps))

    with pytest.raises(NotPlannedError, match="test/thing, test/thing a, test/thing b"):
        harness.once(snapshot(a="1", b="1"), restrict_plan=forbid)
    assert harness.cloud.writes == []
    harness.once(snapshot(a="1", b="1"), wait=False, restrict_plan=lambda plan: plan.for_owner(ENVIRONMENT_CONTEXT))
    assert harness.cloud.writes == ["shared"]


def test_failures_back_off_and_recover() -> None:
    """AWS that can't be reached is asked ever less often, and once it answers, everything is made."""
    harness = DispatcherHarness()
    asked: list[float] = []

    def fail(_: str) -> None:
        asked.append(time.monotonic())
        if len(asked) < 6:
            raise UnavailableError("no answer")

    harness.cloud.on_look = fail
    assert harness.once(snapshot(a="1")).steps == {"create": 2}


def test_permanent_failure_ends_the_run() -> None:
    """What only another spec helps ends the run, and the loop doesn't look at it again by itself."""
    harness = DispatcherHarness()
    harness.cloud.verdicts = {"a": [Failed("RolledBack", "it crashed")]}
    run = harness.once(snapshot(a="1"))
    assert run.latest[key("a")].find_condition("Degraded") is not None
    assert harness.opened.count("default") <= 3
