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

    def expand(self, want: SpecContext) -> Iterable[Node]:
        if want.service is not None:
            yield Node(want.own_key(self.kind), {"name": want.owner.name}, {"cpu": want.service.metadata.labels["cpu"]})


class Top(FakeResource):
    kind = "test/top"
    condition_type = "Deployed"
    retention_category = "artifacts"

    def __init__(self, workshop: ResourceContext) -> None:
        super().__init__(workshop)
        self.verdict: Verdict = Ready()

    def expand(self, want: SpecContext) -> Iterable[Node]:
        if want.service is not None:
            yield Node(
                want.own_key(self.kind), {"name": want.owner.name}, {"base": Ref(want.own_key("test/base"), "arn")}
            )

    def ready(self, node: Node, seen: Observed) -> Verdict:
        del node, seen
        return self.verdict


class BaseReader(FakeResource):
    """Tells of the base, and is only looked at."""

    kind = "test/mirror"
    read_only = True

    def expand(self, want: SpecContext) -> Iterable[Node]:
        if want.service is not None:
            yield Node(want.own_key(self.kind), {"base": Ref(want.own_key("test/base"), "arn")})

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        del aws
        return {target.key: Observed({}, {"arn": f"mirror of {target.identity['base']}"}) for target in targets}


class ReaderDependent(Top):
    """Takes one value of the spec and one from the mirror."""

    def expand(self, want: SpecContext) -> Iterable[Node]:
        if want.service is not None:
            desired = {"base": Ref(want.own_key("test/mirror"), "arn"), "cpu": want.service.metadata.labels["cpu"]}
            yield Node(want.own_key(self.kind), {"name": want.owner.name}, desired)


class Selection(FakeResource):
    """Chooses by what the base is, and is only looked at; it is found by its own name."""

    kind = "test/choice"
    read_only = True

    def expand(self, want: SpecContext) -> Iterable[Node]:
        if want.service is not None:
            yield Node(want.own_key(self.kind), {"name": want.owner.name}, reads=(want.own_key("test/base"),))

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        bases = {
            target.key: cast("FakeCloud", aws).objects.get(f"test/base/{target.identity['name']}") for target in targets
        }
        return {key: Observed({}, {"version": base["cpu"]}) for key, base in bases.items() if base is not None}


class SelectedImage(FakeResource):
    """Is made of what was chosen."""

    kind = "test/picture"
    policy = FieldPolicy(volatile=frozenset({"arn"}))

    def expand(self, want: SpecContext) -> Iterable[Node]:
        if want.service is not None:
            yield Node(
                want.own_key(self.kind), {"name": want.owner.name}, {"cpu": Ref(want.own_key("test/choice"), "version")}
            )


class SelectionDependent(Top):
    """Takes one value of the spec, names what was chosen, and shows its picture."""

    def expand(self, want: SpecContext) -> Iterable[Node]:
        if want.service is not None:
            chosen = {
                "label": Ref(want.own_key("test/choice"), "version"),
                "picture": Ref(want.own_key("test/picture"), "arn"),
            }
            desired = {**chosen, "cpu": want.service.metadata.labels["cpu"]}
            yield Node(want.own_key(self.kind), {"name": want.owner.name}, desired)


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
    house = Harness()
    assert [str(step.action) for step in house.reconcile().completed_steps] == ["create", "create"]
    second = house.reconcile()
    assert (second.completed_steps, second.requeue_after) == ((), None)
    assert house.cloud.writes == ["create test/base", "create test/top"]
    assert condition(second, "Ready") == ("True", "Reconciled")
    assert exit_code(second.statuses) == 0


def test_a_changed_output_reaches_its_dependents_in_the_same_pass() -> None:
    """An update that changes an output takes its dependents along."""
    house = Harness()
    house.settle()
    house.cpus["m"] = 512
    done = house.reconcile()
    assert house.cloud.writes[2:] == ["update test/base", "update test/top"]
    assert house.cloud.objects["test/top/m"] == {"base": "arn:m:512"}
    assert status(done).observed_generation == 2


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_call_converges(number: int, when: str) -> None:
    """Killed before or after any write of create or update, the next run ends as if nothing had happened, and makes
    nothing twice.
    """
    house = Harness()
    getattr(house.cloud, when)[number] = CrashedError()
    for cpu in (256, 512):
        house.cpus["m"] = cpu
        try:
            house.settle()
        except CrashedError:
            house.settle()
    assert house.cloud.objects == {"test/base/m": {"cpu": "512"}, "test/top/m": {"base": "arn:m:512"}}
    effects = len(house.cloud.writes) - (1 if when == "before" else 0)
    assert effects == 4
    assert [record.pending for record in house.store.list_records("default")] == [None, None]


def test_lost_answer_is_resolved_by_observing() -> None:
    """A create whose answer got lost isn't sent again: the next pass finds it and takes it as done."""
    house = Harness()
    house.cloud.after[0] = AnswerLostError("no answer")
    first = house.reconcile()
    assert condition(first, "Progressing") == ("True", "AnswerLost")
    house.settle()
    assert house.cloud.writes == ["create test/base", "create test/top"]


def test_retried_create_observes_immediately_before_the_call() -> None:
    """What the survey doesn't find and the journal doesn't know is made without another look.

    After a call whose end nobody saw there are two: the survey's, and one right before the call is sent again.
    """
    house = Harness()
    house.cloud.before[0] = AnswerLostError("no answer")
    house.reconcile()
    assert house.cloud.reads.count("test/base, 0 written") == 1
    house.reconcile()
    assert house.cloud.writes[:2] == ["create test/base", "create test/base"]
    assert house.cloud.reads.count("test/base, 1 written") == 2


def test_throttling_is_retried_and_rejection_fails() -> None:
    """What waiting helps is waited for.

    What only another spec helps is a failure, told as one, and retried by no loop.
    """
    house = Harness()
    house.cloud.before[0] = ThrottledError("slow down")
    assert condition(house.reconcile(), "Progressing") == ("True", "Throttled")
    house.cloud.before[1] = RejectedError("no such thing")
    done = house.reconcile()
    assert (condition(done, "Degraded"), done.requeue_after) == (("True", "Rejected"), None)
    assert exit_code(done.statuses) == 4
    assert any(event.reason == "Rejected" and event.type == "Warning" for event in house.events)


def test_dependents_never_mix_old_and_new_values() -> None:
    """What looks at something that couldn't be changed yet isn't built upon: no object has one value of each."""
    house = Harness(extra_types=(BaseReader(ResourceContext(Path())),))
    house.top = ReaderDependent(ResourceContext(Path()))
    house.settle()
    house.cpus["m"] = 512
    house.cloud.before[len(house.cloud.writes)] = ThrottledError("slow down")
    assert condition(house.reconcile(), "Deployed") == ("False", "Blocked")
    assert house.cloud.objects["test/top/m"] == {"base": "mirror of arn:m:256", "cpu": "256"}
    house.settle()
    assert house.cloud.objects["test/top/m"] == {"base": "mirror of arn:m:512", "cpu": "512"}


def test_selection_is_fixed_for_the_whole_pass() -> None:
    """What a pass makes may change the choice: the next pass follows it, and no object names one and shows
    the other.
    """
    workshop = ResourceContext(Path())
    house = Harness(extra_types=(Selection(workshop), SelectedImage(workshop)))
    house.top = SelectionDependent(workshop)
    house.settle()
    house.cpus["m"] = 512
    house.reconcile()
    assert house.cloud.objects["test/base/m"] == {"cpu": "512"}
    assert house.cloud.objects["test/top/m"] == {"label": "256", "picture": "arn:m:256", "cpu": "512"}
    house.settle()
    assert house.cloud.objects["test/top/m"] == {"label": "512", "picture": "arn:m:512", "cpu": "512"}


def test_a_failure_that_stays_is_kept_as_one_event() -> None:
    """Told in every pass, it is kept once, and once more when it fails in another way."""
    house = Harness()
    for number, why in enumerate(("no such thing", "no such thing", "no such thing", "not allowed")):
        house.cloud.before[number] = RejectedError(why)
        house.reconcile()
    rejected = [event for event in house.store.list_events() if event.reason == "Rejected" and event.key is not None]
    assert [event.message for event in rejected] == ["no such thing", "not allowed"]
    assert len([event for event in house.events if event.reason == "Rejected" and event.key is not None]) == 4


def test_failure_does_not_affect_other_specs() -> None:
    """A service whose first call is denied doesn't hold up its neighbour."""
    house = Harness(cpus={"a": 1, "b": 2})
    house.cloud.before[0] = DeniedError("not allowed")
    house.reconcile()
    done = house.reconcile()
    house.cloud.before.clear()
    assert {"test/base/b", "test/top/b"} <= house.cloud.objects.keys()
    assert condition(done, "Ready", "b") == ("True", "Reconciled")


def test_unreadable_type_is_not_modified() -> None:
    """A type that can't be read is neither created nor deleted, and nothing is built on it."""
    house = Harness()
    house.settle()
    house.cloud.unreadable = {"test/base"}
    house.cpus["m"] = 512
    done = house.reconcile()
    assert len(house.cloud.writes) == 2
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
    house = Harness()
    house.settle()
    house.top.verdict = verdict
    done = house.reconcile()
    assert condition(done, "Deployed") == ("False", verdict.reason)
    assert (exit_code(done.statuses), done.requeue_after) == (code, after)


def test_pruning_deletes_children_first() -> None:
    """Not named as gone, it stays.

    Named, it goes children first, what its policy retains stays, and nothing remembers it.
    """
    house = Harness(cpus={"m": 1, "n": 1})
    house.settle()
    del house.cpus["n"]
    house.reconcile()
    assert len(house.cloud.objects) == 4
    house.reconcile(removed_specs=[Key("default", "ModelService", "n")])
    assert house.cloud.writes[4:] == ["delete test/base"]
    assert "test/top/n" in house.cloud.objects
    assert {record.owner.name for record in house.store.list_records("default")} == {"m"}


def test_failed_deletion_is_reported() -> None:
    """A removed spec whose object may not be deleted is Degraded and no success; once it may, nothing remembers it."""
    house, gone = Harness(cpus={"m": 1, "n": 1}), [Key("default", "ModelService", "n")]
    house.settle()
    del house.cpus["n"]
    house.cloud.before[len(house.cloud.writes)] = DeniedError("not allowed", where="test.delete")
    done, run = house.reconcile(gone), RunResult()
    run.add(gone[0], done)
    assert condition(done, "Ready", "n") == ("False", "Denied")
    assert condition(done, "Stalled", "n") == ("True", "Denied")
    assert house.store.get_status(gone[0]) == status(done, "n")
    assert exit_code(run.statuses) == 4
    house.cloud.before.clear()
    run.add(gone[0], house.reconcile(gone))
    assert house.store.get_status(gone[0]) is None
    assert exit_code(run.statuses) == 0


def test_prune_false_retains_everything() -> None:
    """A spec that says `prune: false` leaves everything behind when it is removed."""
    house = Harness(cpus={"m": 1, "n": 1}, policy="{prune: false}")
    house.settle()
    del house.cpus["n"]
    house.reconcile(removed_specs=[Key("default", "ModelService", "n")])
    assert len(house.cloud.objects) == 4


def test_suspend_leaves_everything_as_it_is() -> None:
    """A suspended spec is looked at and never touched."""
    house = Harness()
    house.settle()
    house.policy, house.cpus["m"] = "{suspend: true}", 512
    done = house.reconcile()
    assert len(house.cloud.writes) == 2
    assert condition(done, "Ready") == ("False", "Suspended")


def test_spec_over_budget_is_held_and_running_resources_stay() -> None:
    """Nothing of it is made or changed; what was made before stays; more money lets it on."""
    house = Harness(policy="{maxMonthlyCost: 1 USD}")
    done = house.reconcile()
    assert house.cloud.writes == []
    assert condition(done, "Ready") == ("False", "OverBudget")
    assert condition(done, "Degraded") == ("False", "AsDeclared")
    assert {step.held for step in done.plan.steps} == {"OverBudget"}
    assert exit_code(done.statuses) == 5
    house.policy = "{}"
    house.settle()
    made = list(house.cloud.writes)
    house.policy, house.cpus["m"] = "{maxMonthlyCost: 1 USD}", 512
    assert condition(house.reconcile(), "Ready") == ("False", "OverBudget")
    assert house.cloud.writes == made
    house.policy = "{maxMonthlyCost: 1000 USD}"
    house.settle()
    assert len(house.cloud.writes) > len(made)


def test_running_spec_over_budget_is_reported_and_kept() -> None:
    """With nothing to be done a limit below the estimate is still no ready spec."""
    house = Harness()
    house.settle()
    made = list(house.cloud.writes)
    house.policy = "{maxMonthlyCost: 1 USD}"
    done = house.reconcile()
    assert condition(done, "Ready") == ("False", "OverBudget")
    assert (house.cloud.writes, done.plan.steps) == (made, ())


def test_drift_is_corrected_or_only_reported() -> None:
    """A hand-made change is undone.

    With driftCorrection false it is told and left, while a changed spec is still applied.
    """
    house = Harness()
    house.settle()
    house.cloud.objects["test/base/m"] = {"cpu": "9"}
    house.settle()
    assert house.cloud.objects["test/base/m"] == {"cpu": "256"}
    house.policy = "{driftCorrection: false}"
    house.cloud.objects["test/base/m"] = {"cpu": "9"}
    done = house.reconcile()
    assert house.cloud.objects["test/base/m"] == {"cpu": "9"}
    assert [state.state for state in status(done).resources] == ["Drifted", "Ready"]
    house.cpus["m"] = 512
    house.settle()
    assert house.cloud.objects["test/base/m"] == {"cpu": "512"}


def events(harness: Harness, reason: str) -> list[tuple[str, str, str]]:
    kept = harness.store.list_events(Key("default", "ModelService", "m"))
    return [(e.type, str(e.key), e.message) for e in kept if e.reason == reason]


def test_corrected_drift_event_has_applied_and_found_values() -> None:
    """An event names the field, what was applied and what was found; a changed spec makes no such event."""
    house = Harness()
    house.settle()
    house.cpus["m"] = 512
    house.settle()
    assert events(house, "Drifted") == []
    house.cloud.objects["test/base/m"] = {"cpu": "9"}
    house.settle()
    assert events(house, "Drifted") == [("Warning", "test/base m", 'changed by somebody else: cpu: "512" → "9"')]


def test_uncorrected_drift_emits_one_event() -> None:
    """With driftCorrection false each pass reports it in the status, and the first one keeps an event."""
    house = Harness(policy="{driftCorrection: false}")
    house.settle()
    house.cloud.objects["test/base/m"] = {"cpu": "9"}
    for _ in range(3):
        done = house.reconcile()
        assert done.requeue_after is None
    message = 'test/base m was changed by somebody else, and left so: cpu: "256" → "9"'
    assert [state.message for state in status(done).resources] == [message, ""]
    assert events(house, "Drifted") == [("Warning", "test/base m", message)]


def test_dependents_of_uncorrected_drift_keep_applied_values() -> None:
    """An output that drift changed isn't passed on: that would deploy what somebody else made."""
    house = Harness(policy="{driftCorrection: false}")
    house.settle()
    house.cloud.objects["test/base/m"] = {"cpu": "9"}
    house.settle()
    assert house.cloud.objects["test/top/m"] == {"base": "arn:m:256"}
    assert len(house.cloud.writes) == 2


def test_deleted_object_is_recreated_or_only_reported() -> None:
    """A deleted object is created again and told as drift.

    With driftCorrection false it stays gone, and Ready says so.
    """
    house = Harness()
    house.settle()
    del house.cloud.objects["test/base/m"]
    house.settle()
    assert house.cloud.objects["test/base/m"] == {"cpu": "256"}
    assert events(house, "Drifted") == [("Warning", "test/base m", "it is gone from AWS")]
    house.policy = "{driftCorrection: false}"
    del house.cloud.objects["test/base/m"]
    done = house.settle()
    assert "test/base/m" not in house.cloud.objects
    assert [state.state for state in status(done).resources] == ["Drifted", "Drifted"]
    assert condition(done, "Ready") == ("False", "Drifted")


def test_uncorrected_drift_does_not_hide_a_failure() -> None:
    """What differs and has failed as well is a failure: a rolled-back deployment is no hand's work."""
    house = Harness(policy="{driftCorrection: false}")
    house.settle()
    house.top.verdict = Failed("RolledBack", "it never became healthy")
    house.cloud.objects["test/top/m"] = {"base": "something else"}
    assert condition(house.reconcile(), "Ready") == ("False", "RolledBack")


def test_lost_store_plans_no_steps() -> None:
    """With every record gone, what is there is found and taken as ours, without a write."""
    house = Harness()
    house.settle()
    house.store = MemoryStore()
    house.settle()
    assert len(house.cloud.writes) == 2
    assert len(house.store.list_records("default")) == 2
