"""The story on a cloud of dictionaries: passes, crashes, failures, deletions, policies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.spec_context import AwsLocation, SpecContext
from controller.core.status import Event, Failed, Held, Ready, Status, Verdict, Waiting
from controller.core.values import Key, Ref
from controller.engine.run_result import RunResult, exit_code
from controller.errors import AnswerLostError, DeniedError, RejectedError, ThrottledError, UnavailableError
from controller.reconcile import PassResult, Reconciler
from controller.resources.base import Resource, ResourceContext
from controller.spec.load import load_text
from controller.store.memory import MemoryStore
from tests.event_recorder import EventRecorder

SPEC = """
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {{name: {name}, labels: {{cpu: "{cpu}"}}}}
spec:
  data: {{source: rows.csv, target: y}}
  training: {{algorithm: {{name: xgboost, version: "3.2-0"}}, hyperparameters: {{num_round: 3}}}}
  policy: {policy}
"""


class CrashedError(BaseException):
    """The controller is gone, in the middle of something."""


@dataclass
class FakeCloud:
    """What exists, by id; calls can be made to fail once, before or after they have their effect."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    before: dict[int, BaseException] = field(default_factory=dict)
    after: dict[int, BaseException] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    reads: list[str] = field(default_factory=list)

    def write(self, call: str, effect: Any) -> None:
        number = len(self.writes)
        self.writes.append(call)
        if number in self.before:
            raise self.before[number]
        effect()
        if number in self.after:
            raise self.after[number]

    def with_listing_cache(self) -> FakeCloud:
        """A survey sees what everybody sees."""
        return self


class FakeResource(Resource):
    """A type whose objects are dictionaries in the cloud."""

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        cloud = cast("FakeCloud", aws)
        cloud.reads.append(f"{self.kind}, {len(cloud.writes)} written")
        if self.kind in cloud.unreadable:
            raise UnavailableError("no answer")
        found = {target.key: cloud.objects.get(self.place(target)) for target in targets}
        return {
            key: Observed(fields, {"arn": f"arn:{key.name}:{fields.get('cpu', '')}"})
            for key, fields in found.items()
            if fields is not None
        }

    def place(self, target: Target) -> str:
        return f"{self.kind}/{target.identity['name']}"

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        cloud, target = cast("FakeCloud", aws), Target(step.node.key, step.node.identity)
        verb = "create" if seen is None else "update"
        cloud.write(
            f"{verb} {self.kind}", lambda: cloud.objects.__setitem__(self.place(target), dict(step.node.desired))
        )
        return self.observe(aws, [target])[step.node.key]

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        cloud = cast("FakeCloud", aws)
        cloud.write(f"delete {self.kind}", lambda: cloud.objects.pop(self.place(target), None))
        return None


class Base(FakeResource):
    kind = "test/base"
    policy = FieldPolicy(volatile=frozenset({"arn"}))

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            yield Node(
                context.own_key(self.kind),
                {"name": context.owner.name},
                {"cpu": context.service.metadata.labels["cpu"]},
            )


class Top(FakeResource):
    kind = "test/top"
    condition_type = "Deployed"
    retention_category = "artifacts"

    def __init__(self, workshop: ResourceContext) -> None:
        super().__init__(workshop)
        self.verdict: Verdict = Ready()

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            yield Node(
                context.own_key(self.kind),
                {"name": context.owner.name},
                {"base": Ref(context.own_key("test/base"), "arn")},
            )

    def ready(self, node: Node, seen: Observed) -> Verdict:
        del node, seen
        return self.verdict


class BaseReader(FakeResource):
    """Tells of the base, and is only looked at."""

    kind = "test/mirror"
    read_only = True

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            yield Node(context.own_key(self.kind), {"base": Ref(context.own_key("test/base"), "arn")})

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        del aws
        return {target.key: Observed({}, {"arn": f"mirror of {target.identity['base']}"}) for target in targets}


class ReaderDependent(Top):
    """Takes one value of the spec and one from the mirror."""

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            desired = {
                "base": Ref(context.own_key("test/mirror"), "arn"),
                "cpu": context.service.metadata.labels["cpu"],
            }
            yield Node(context.own_key(self.kind), {"name": context.owner.name}, desired)


class Selection(FakeResource):
    """Chooses by what the base is, and is only looked at; it is found by its own name."""

    kind = "test/choice"
    read_only = True

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            yield Node(context.own_key(self.kind), {"name": context.owner.name}, reads=(context.own_key("test/base"),))

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        bases = {
            target.key: cast("FakeCloud", aws).objects.get(f"test/base/{target.identity['name']}") for target in targets
        }
        return {key: Observed({}, {"version": base["cpu"]}) for key, base in bases.items() if base is not None}


class SelectedImage(FakeResource):
    """Is made of what was chosen."""

    kind = "test/picture"
    policy = FieldPolicy(volatile=frozenset({"arn"}))

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            yield Node(
                context.own_key(self.kind),
                {"name": context.owner.name},
                {"cpu": Ref(context.own_key("test/choice"), "version")},
            )


class SelectionDependent(Top):
    """Takes one value of the spec, names what was chosen, and shows its picture."""

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            chosen = {
                "label": Ref(context.own_key("test/choice"), "version"),
                "picture": Ref(context.own_key("test/picture"), "arn"),
            }
            desired = {**chosen, "cpu": context.service.metadata.labels["cpu"]}
            yield Node(context.own_key(self.kind), {"name": context.owner.name}, desired)


@dataclass
class Harness:
    """A reconciler over one cloud and one store, and the specs it is given."""

    cloud: FakeCloud = field(default_factory=FakeCloud)
    store: MemoryStore = field(default_factory=MemoryStore)
    events: list[Event] = field(default_factory=list)
    cpus: dict[str, int] = field(default_factory=lambda: {"m": 256})
    policy: str = "{}"
    extra_types: tuple[Resource, ...] = ()
    ticks: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def __post_init__(self) -> None:
        workshop = ResourceContext(Path())
        self.base, self.top = Base(workshop), Top(workshop)

    def reconcile(self, removed_specs: Sequence[Key] = ()) -> PassResult:
        reconciler = Reconciler(
            {resource.kind: resource for resource in (self.base, *self.extra_types, self.top)},
            cast("AwsClient", self.cloud),
            self.store,
            lambda: f"t{next(self.ticks)}",
            EventRecorder(self.events),
        )
        return reconciler.reconcile(self.spec_contexts(), removed_specs=removed_specs)

    def spec_contexts(self) -> list[SpecContext]:
        text = "---".join(SPEC.format(name=name, cpu=cpu, policy=self.policy) for name, cpu in self.cpus.items())
        specs = load_text(text)
        home, place = specs.get_environment("default"), AwsLocation("123456789012", "us-east-1")
        return [
            SpecContext(home, None, place),
            *(SpecContext(home, one.model, place) for one in specs.services.values()),
        ]

    def settle(self) -> PassResult:
        for _ in range(20):
            done = self.reconcile()
            if done.requeue_after is None:
                return done
        raise AssertionError("it does not settle")


def status(done: PassResult, name: str = "m") -> Status:
    return next(status for status in done.statuses if status.owner.name == name)


def condition(done: PassResult, kind: str, name: str = "m") -> tuple[str, str]:
    found = status(done, name).find_condition(kind)
    assert found is not None
    return found.status, found.reason


def test_creates_in_dependency_order_then_makes_no_writes() -> None:
    """The first pass makes all of it, parents first; the next one makes no write and is content."""
    harness = Harness()
    assert [str(step.action) for step in harness.reconcile().completed_steps] == ["create", "create"]
    second = harness.reconcile()
    assert (second.completed_steps, second.requeue_after) == ((), None)
    assert harness.cloud.writes == ["create test/base", "create test/top"]
    assert condition(second, "Ready") == ("True", "Reconciled")
    assert exit_code(second.statuses) == 0


def test_a_changed_output_reaches_its_dependents_in_the_same_pass() -> None:
    """An update that changes an output takes its dependents along."""
    harness = Harness()
    harness.settle()
    harness.cpus["m"] = 512
    done = harness.reconcile()
    assert harness.cloud.writes[2:] == ["update test/base", "update test/top"]
    assert harness.cloud.objects["test/top/m"] == {"base": "arn:m:512"}
    assert status(done).observed_generation == 2


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_call_converges(number: int, when: str) -> None:
    """Killed before or after any write of create or update, the next run ends as if nothing had happened, and makes
    nothing twice.
    """
    harness = Harness()
    getattr(harness.cloud, when)[number] = CrashedError()
    for cpu in (256, 512):
        harness.cpus["m"] = cpu
        try:
            harness.settle()
        except CrashedError:
            harness.settle()
    assert harness.cloud.objects == {"test/base/m": {"cpu": "512"}, "test/top/m": {"base": "arn:m:512"}}
    effects = len(harness.cloud.writes) - (1 if when == "before" else 0)
    assert effects == 4
    assert [record.pending for record in harness.store.list_records("default")] == [None, None]


def test_lost_answer_is_resolved_by_observing() -> None:
    """A create whose answer got lost isn't sent again: the next pass finds it and takes it as done."""
    harness = Harness()
    harness.cloud.after[0] = AnswerLostError("no answer")
    first = harness.reconcile()
    assert condition(first, "Progressing") == ("True", "AnswerLost")
    harness.settle()
    assert harness.cloud.writes == ["create test/base", "create test/top"]


def test_retried_create_observes_immediately_before_the_call() -> None:
    """What the survey doesn't find and the journal doesn't know is made without another look.

    After a call whose end nobody saw there are two: the survey's, and one right before the call is sent again.
    """
    harness = Harness()
    harness.cloud.before[0] = AnswerLostError("no answer")
    harness.reconcile()
    assert harness.cloud.reads.count("test/base, 0 written") == 1
    harness.reconcile()
    assert harness.cloud.writes[:2] == ["create test/base", "create test/base"]
    assert harness.cloud.reads.count("test/base, 1 written") == 2


def test_throttling_is_retried_and_rejection_fails() -> None:
    """What waiting helps is waited for.

    What only another spec helps is a failure, told as one, and retried by no loop.
    """
    harness = Harness()
    harness.cloud.before[0] = ThrottledError("slow down")
    assert condition(harness.reconcile(), "Progressing") == ("True", "Throttled")
    harness.cloud.before[1] = RejectedError("no such thing")
    done = harness.reconcile()
    assert (condition(done, "Degraded"), done.requeue_after) == (("True", "Rejected"), None)
    assert exit_code(done.statuses) == 4
    assert any(event.reason == "Rejected" and event.type == "Warning" for event in harness.events)


def test_dependents_never_mix_old_and_new_values() -> None:
    """What looks at something that couldn't be changed yet isn't built upon: no object has one value of each."""
    harness = Harness(extra_types=(BaseReader(ResourceContext(Path())),))
    harness.top = ReaderDependent(ResourceContext(Path()))
    harness.settle()
    harness.cpus["m"] = 512
    harness.cloud.before[len(harness.cloud.writes)] = ThrottledError("slow down")
    assert condition(harness.reconcile(), "Deployed") == ("False", "Blocked")
    assert harness.cloud.objects["test/top/m"] == {"base": "mirror of arn:m:256", "cpu": "256"}
    harness.settle()
    assert harness.cloud.objects["test/top/m"] == {"base": "mirror of arn:m:512", "cpu": "512"}


def test_selection_is_fixed_for_the_whole_pass() -> None:
    """What a pass makes may change the choice: the next pass follows it, and no object names one and shows
    the other.
    """
    workshop = ResourceContext(Path())
    harness = Harness(extra_types=(Selection(workshop), SelectedImage(workshop)))
    harness.top = SelectionDependent(workshop)
    harness.settle()
    harness.cpus["m"] = 512
    harness.reconcile()
    assert harness.cloud.objects["test/base/m"] == {"cpu": "512"}
    assert harness.cloud.objects["test/top/m"] == {"label": "256", "picture": "arn:m:256", "cpu": "512"}
    harness.settle()
    assert harness.cloud.objects["test/top/m"] == {"label": "512", "picture": "arn:m:512", "cpu": "512"}


def test_a_failure_that_stays_is_kept_as_one_event() -> None:
    """Told in every pass, it is kept once, and once more when it fails in another way."""
    harness = Harness()
    for number, why in enumerate(("no such thing", "no such thing", "no such thing", "not allowed")):
        harness.cloud.before[number] = RejectedError(why)
        harness.reconcile()
    rejected = [event for event in harness.store.list_events() if event.reason == "Rejected" and event.key is not None]
    assert [event.message for event in rejected] == ["no such thing", "not allowed"]
    assert len([event for event in harness.events if event.reason == "Rejected" and event.key is not None]) == 4


def test_failure_does_not_affect_other_specs() -> None:
    """A service whose first call is denied doesn't hold up its neighbour."""
    harness = Harness(cpus={"a": 1, "b": 2})
    harness.cloud.before[0] = DeniedError("not allowed")
    harness.reconcile()
    done = harness.reconcile()
    harness.cloud.before.clear()
    assert {"test/base/b", "test/top/b"} <= harness.cloud.objects.keys()
    assert condition(done, "Ready", "b") == ("True", "Reconciled")


def test_unreadable_type_is_not_modified() -> None:
    """A type that can't be read is neither created nor deleted, and nothing is built on it."""
    harness = Harness()
    harness.settle()
    harness.cloud.unreadable = {"test/base"}
    harness.cpus["m"] = 512
    done = harness.reconcile()
    assert len(harness.cloud.writes) == 2
    assert condition(done, "Ready") == ("False", "Unavailable")
    assert done.requeue_after is not None


@pytest.mark.parametrize(
    ("verdict", "code", "after"),
    [
        (Waiting("Rollout", "1 of 2", 7), 9, 7),
        (Failed("RolledBack", "it crashed"), 4, None),
        (Held("GateFailed", "rmse"), 5, None),
    ],
)
def test_verdicts_become_conditions_and_exit_codes(verdict: Verdict, code: int, after: float | None) -> None:
    """What a type says of its object is what the condition says, and what the shell sees."""
    harness = Harness()
    harness.settle()
    harness.top.verdict = verdict
    done = harness.reconcile()
    assert condition(done, "Deployed") == ("False", verdict.reason)
    assert (exit_code(done.statuses), done.requeue_after) == (code, after)


def test_pruning_deletes_children_first() -> None:
    """Not named as gone, it stays.

    Named, it goes children first, what its policy retains stays, and nothing remembers it.
    """
    harness = Harness(cpus={"m": 1, "n": 1})
    harness.settle()
    del harness.cpus["n"]
    harness.reconcile()
    assert len(harness.cloud.objects) == 4
    harness.reconcile(removed_specs=[Key("default", "ModelService", "n")])
    assert harness.cloud.writes[4:] == ["delete test/base"]
    assert "test/top/n" in harness.cloud.objects
    assert {record.owner.name for record in harness.store.list_records("default")} == {"m"}


def test_failed_deletion_is_reported() -> None:
    """A removed spec whose object may not be deleted is Degraded and no success; once it may, nothing remembers it."""
    harness, absent = Harness(cpus={"m": 1, "n": 1}), [Key("default", "ModelService", "n")]
    harness.settle()
    del harness.cpus["n"]
    harness.cloud.before[len(harness.cloud.writes)] = DeniedError("not allowed", where="test.delete")
    done, run = harness.reconcile(absent), RunResult()
    run.add(absent[0], done)
    assert condition(done, "Ready", "n") == ("False", "Denied")
    assert condition(done, "Stalled", "n") == ("True", "Denied")
    assert harness.store.get_status(absent[0]) == status(done, "n")
    assert exit_code(run.statuses) == 4
    harness.cloud.before.clear()
    run.add(absent[0], harness.reconcile(absent))
    assert harness.store.get_status(absent[0]) is None
    assert exit_code(run.statuses) == 0


def test_prune_false_retains_everything() -> None:
    """A spec that says `prune: false` leaves everything behind when it is removed."""
    harness = Harness(cpus={"m": 1, "n": 1}, policy="{prune: false}")
    harness.settle()
    del harness.cpus["n"]
    harness.reconcile(removed_specs=[Key("default", "ModelService", "n")])
    assert len(harness.cloud.objects) == 4


def test_suspend_leaves_everything_as_it_is() -> None:
    """A suspended spec is looked at and never touched."""
    harness = Harness()
    harness.settle()
    harness.policy, harness.cpus["m"] = "{suspend: true}", 512
    done = harness.reconcile()
    assert len(harness.cloud.writes) == 2
    assert condition(done, "Ready") == ("False", "Suspended")


def test_spec_over_budget_is_held_and_running_resources_stay() -> None:
    """Nothing of it is made or changed; what was made before stays; more money lets it on."""
    harness = Harness(policy="{maxMonthlyCost: 1 USD}")
    done = harness.reconcile()
    assert harness.cloud.writes == []
    assert condition(done, "Ready") == ("False", "OverBudget")
    assert condition(done, "Degraded") == ("False", "AsDeclared")
    assert {step.held for step in done.plan.steps} == {"OverBudget"}
    assert exit_code(done.statuses) == 5
    harness.policy = "{}"
    harness.settle()
    made = list(harness.cloud.writes)
    harness.policy, harness.cpus["m"] = "{maxMonthlyCost: 1 USD}", 512
    assert condition(harness.reconcile(), "Ready") == ("False", "OverBudget")
    assert harness.cloud.writes == made
    harness.policy = "{maxMonthlyCost: 1000 USD}"
    harness.settle()
    assert len(harness.cloud.writes) > len(made)


def test_running_spec_over_budget_is_reported_and_kept() -> None:
    """With nothing to be done a limit below the estimate is still no ready spec."""
    harness = Harness()
    harness.settle()
    made = list(harness.cloud.writes)
    harness.policy = "{maxMonthlyCost: 1 USD}"
    done = harness.reconcile()
    assert condition(done, "Ready") == ("False", "OverBudget")
    assert (harness.cloud.writes, done.plan.steps) == (made, ())


def test_drift_is_corrected_or_only_reported() -> None:
    """A hand-made change is undone.

    With driftCorrection false it is told and left, while a changed spec is still applied.
    """
    harness = Harness()
    harness.settle()
    harness.cloud.objects["test/base/m"] = {"cpu": "9"}
    harness.settle()
    assert harness.cloud.objects["test/base/m"] == {"cpu": "256"}
    harness.policy = "{driftCorrection: false}"
    harness.cloud.objects["test/base/m"] = {"cpu": "9"}
    done = harness.reconcile()
    assert harness.cloud.objects["test/base/m"] == {"cpu": "9"}
    assert [state.state for state in status(done).resources] == ["Drifted", "Ready"]
    harness.cpus["m"] = 512
    harness.settle()
    assert harness.cloud.objects["test/base/m"] == {"cpu": "512"}


def events(harness: Harness, reason: str) -> list[tuple[str, str, str]]:
    kept = harness.store.list_events(Key("default", "ModelService", "m"))
    return [(e.type, str(e.key), e.message) for e in kept if e.reason == reason]


def test_corrected_drift_event_has_applied_and_found_values() -> None:
    """An event names the field, what was applied and what was found; a changed spec makes no such event."""
    harness = Harness()
    harness.settle()
    harness.cpus["m"] = 512
    harness.settle()
    assert events(harness, "Drifted") == []
    harness.cloud.objects["test/base/m"] = {"cpu": "9"}
    harness.settle()
    assert events(harness, "Drifted") == [("Warning", "test/base m", 'changed by somebody else: cpu: "512" → "9"')]


def test_uncorrected_drift_emits_one_event() -> None:
    """With driftCorrection false each pass reports it in the status, and the first one keeps an event."""
    harness = Harness(policy="{driftCorrection: false}")
    harness.settle()
    harness.cloud.objects["test/base/m"] = {"cpu": "9"}
    for _ in range(3):
        done = harness.reconcile()
        assert done.requeue_after is None
    message = 'test/base m was changed by somebody else, and left so: cpu: "256" → "9"'
    assert [state.message for state in status(done).resources] == [message, ""]
    assert events(harness, "Drifted") == [("Warning", "test/base m", message)]


def test_dependents_of_uncorrected_drift_keep_applied_values() -> None:
    """An output that drift changed isn't passed on: that would deploy what somebody else made."""
    harness = Harness(policy="{driftCorrection: false}")
    harness.settle()
    harness.cloud.objects["test/base/m"] = {"cpu": "9"}
    harness.settle()
    assert harness.cloud.objects["test/top/m"] == {"base": "arn:m:256"}
    assert len(harness.cloud.writes) == 2


def test_deleted_object_is_recreated_or_only_reported() -> None:
    """A deleted object is created again and told as drift.

    With driftCorrection false it stays gone, and Ready says so.
    """
    harness = Harness()
    harness.settle()
    del harness.cloud.objects["test/base/m"]
    harness.settle()
    assert harness.cloud.objects["test/base/m"] == {"cpu": "256"}
    assert events(harness, "Drifted") == [("Warning", "test/base m", "it is gone from AWS")]
    harness.policy = "{driftCorrection: false}"
    del harness.cloud.objects["test/base/m"]
    done = harness.settle()
    assert "test/base/m" not in harness.cloud.objects
    assert [state.state for state in status(done).resources] == ["Drifted", "Drifted"]
    assert condition(done, "Ready") == ("False", "Drifted")


def test_uncorrected_drift_does_not_hide_a_failure() -> None:
    """What differs and has failed as well is a failure: a rolled-back deployment is no hand's work."""
    harness = Harness(policy="{driftCorrection: false}")
    harness.settle()
    harness.top.verdict = Failed("RolledBack", "it never became healthy")
    harness.cloud.objects["test/top/m"] = {"base": "something else"}
    assert condition(harness.reconcile(), "Ready") == ("False", "RolledBack")


def test_lost_store_plans_no_steps() -> None:
    """With every record gone, what is there is found and taken as ours, without a write."""
    harness = Harness()
    harness.settle()
    harness.store = MemoryStore()
    harness.settle()
    assert len(harness.cloud.writes) == 2
    assert len(harness.store.list_records("default")) == 2
