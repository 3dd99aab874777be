"""Planning over a small graph: a job trains, a selection chooses, a task runs what was chosen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest

from controller.core.field_policy import FieldPolicy
from controller.core.graph import Graph, Node, Observed
from controller.core.ownership import build_tags
from controller.core.plan import Action, EffectivePolicy, Plan, PlanningInput, Step
from controller.core.planner import make_plan
from controller.core.record import Record
from controller.core.values import ABSENT, UNKNOWN, Key, Ref

OWNER = Key("prod", "ModelService", "m")
OTHER = Key("prod", "ModelService", "other")
JOB, SELECTION, TASK, SERVICE, ROUTE = (
    Key("prod", kind, "m") for kind in ("job", "choice", "task", "service", "route")
)


@dataclass(frozen=True)
class FakeResourceType:
    policy: FieldPolicy = field(default_factory=FieldPolicy)
    read_only: bool = False
    consequence: str = ""
    superseded_policy: Literal["delete", "keep", "collect", "stop"] = "delete"
    revision_output: str = ""
    reference_outputs: frozenset[str] = frozenset()
    retention_category: str = ""


TYPES = {
    "job": FakeResourceType(FieldPolicy(revisioned=True), consequence="trains a model", superseded_policy="keep"),
    "choice": FakeResourceType(read_only=True),
    "task": FakeResourceType(FieldPolicy(revisioned=True, volatile=frozenset({"arn"}))),
    "service": FakeResourceType(FieldPolicy(immutable=frozenset({"cluster"}))),
    "route": FakeResourceType(),
}


def nodes(job: str = "job-1", cpu: int = 256, name: str = "svc") -> list[Node]:
    return [
        Node(JOB, {"name": job}, {"eta": 0.3}),
        Node(SELECTION, {"group": "g"}, reads=(JOB,)),
        Node(TASK, {"family": "f"}, {"image": Ref(SELECTION, "image"), "cpu": cpu}),
        Node(SERVICE, {"name": name}, {"task": Ref(TASK, "arn"), "cluster": "c", "tags": build_tags(OWNER)}),
        Node(ROUTE, {"service": Ref(SERVICE, "arn")}, {"path": "/"}),
    ]


SEEN = {
    JOB: Observed({"eta": 0.3}, {}),
    SELECTION: Observed({}, {"image": "img-1"}),
    TASK: Observed({"image": "img-1", "cpu": 256}, {"arn": "task:1"}),
    SERVICE: Observed({"task": "task:1", "cluster": "c", "tags": build_tags(OWNER)}, {"arn": "svc-arn"}),
    ROUTE: Observed({"path": "/"}, {}),
}


def plan(members: list[Node], seen: dict[Key, Observed], records: list[Record] | None = None, **more: Any) -> Plan:
    return make_plan(PlanningInput(Graph.build([(OWNER, members)]), TYPES, seen, records or [], **more))


def step_summaries(steps: tuple[Step, ...]) -> list[tuple[str, str, bool]]:
    return [(str(step.action), step.node.key.kind, step.later) for step in steps]


def test_nothing_to_do() -> None:
    """What is as it should be has no step."""
    assert plan(nodes(), SEEN) == Plan()


def test_empty_account_creates_everything() -> None:
    """An empty account: everything is created, parents first, and what a parent will give is unknown."""
    made = plan(nodes(), {})
    assert step_summaries(made.steps) == [
        ("create", "job", False),
        ("create", "task", False),
        ("create", "service", False),
        ("create", "route", False),
    ]
    assert dict(made.steps[1].node.desired) == {"image": UNKNOWN, "cpu": 256}
    assert made.steps[0].why == "trains a model"


def test_a_change_names_only_what_changes() -> None:
    """Another cpu revises the task and updates the service that takes its arn, field by field, and nothing else."""
    made = plan(nodes(cpu=512), SEEN)
    assert step_summaries(made.steps) == [("revise", "task", False), ("update", "service", False)]
    assert [(c.path, c.old, c.new) for step in made.steps for c in step.changes] == [
        ("cpu", 256, 512),
        ("task", "task:1", UNKNOWN),
    ]


def test_training_comes_now_and_serving_later() -> None:
    """A new job is a revision that trains; what serves is touched later, when the choice is known."""
    seen = {key: value for key, value in SEEN.items() if key != JOB}
    made = plan(nodes(job="job-2"), seen, [Record(JOB, {"name": "job-1"}, OWNER)])
    assert step_summaries(made.steps) == [
        ("revise", "job", False),
        ("revise", "task", True),
        ("update", "service", True),
    ]
    assert [(c.path, c.new) for c in made.steps[1].changes] == [("image", UNKNOWN)]


def test_urgent_change_does_not_wait_for_training() -> None:
    """A cpu change beside a retraining is planned now; the image follows later."""
    seen = {key: value for key, value in SEEN.items() if key != JOB}
    made = plan(nodes(job="job-2", cpu=512), seen)
    assert ("revise", "task", False) in step_summaries(made.steps)
    assert ("revise", "task", True) in step_summaries(made.steps)


def test_reader_of_an_unknown_value_is_unknown() -> None:
    """A read-only node whose identity follows from the choice says nothing of later: what it gives isn't known then."""
    check, (job, choice, task, *rest) = Key("prod", "choice", "check"), nodes("job-2")
    looking = Node(check, {"image": Ref(SELECTION, "image")})
    checked = replace(task, desired={**task.desired, "image": Ref(check, "image")})
    seen = {**SEEN, check: Observed({}, {"image": "img-1"})}
    del seen[JOB]
    made = plan([job, choice, looking, checked, *rest], seen)
    assert step_summaries(made.steps) == [
        ("create", "job", False),
        ("revise", "task", True),
        ("update", "service", True),
    ]


def test_update_of_unused_fields_keeps_the_selection_known() -> None:
    """An update that leaves the values that it takes as they are, as a tag's, brings nothing later."""
    group, (job, choice, *rest) = Key("prod", "route", "group"), nodes()
    choice = replace(choice, identity={"group": Ref(group, "name")})
    members = [Node(group, {"name": "g"}, {"colour": "blue"}), job, choice, *rest]
    made = plan(members, SEEN | {group: Observed({"colour": "red"}, {"name": "g"})})
    assert [(str(step.action), step.node.key, step.later) for step in made.steps] == [("update", group, False)]


def test_a_new_identity_replaces() -> None:
    """With another name, the new one is made first and the old one deleted last; children follow the new one."""
    records = [Record(SERVICE, {"name": "svc"}, OWNER), Record(ROUTE, {"service": "svc-arn"}, OWNER, edges=(SERVICE,))]
    seen = {key: value for key, value in SEEN.items() if key not in (SERVICE, ROUTE)}
    made = plan(nodes(name="svc-2"), seen, records)
    assert step_summaries(made.steps) == [
        ("replace", "service", False),
        ("replace", "route", False),
        ("delete", "service", False),
    ]
    assert made.steps[-1].node.identity == {"name": "svc"}


def test_removed_nodes_are_deleted_children_first() -> None:
    """Removed nodes go children first, as their stored edges say, though nothing declares those edges any more."""
    records = [Record(SERVICE, {"name": "svc"}, OWNER), Record(ROUTE, {"service": "svc-arn"}, OWNER, edges=(SERVICE,))]
    made = plan(nodes()[:3], {key: SEEN[key] for key in (JOB, SELECTION, TASK)}, records)
    assert step_summaries(made.steps) == [("delete", "route", False), ("delete", "service", False)]


def test_removed_spec_is_deleted_only_when_pruned() -> None:
    """Records of a spec that nothing declares are left alone, unless it is named as gone."""
    records = [Record(Key("prod", "route", "other"), {}, OTHER)]
    assert plan(nodes(), SEEN, records).steps == ()
    assert step_summaries(plan(nodes(), SEEN, records, removed_specs=[OTHER]).steps) == [("delete", "route", False)]


def test_superseded_objects_of_a_kept_type_stay() -> None:
    """An earlier training job is history, not garbage."""
    assert plan(nodes(), SEEN, [Record(JOB, {"name": "job-0"}, OWNER)]) == Plan()


def test_an_unfinished_sibling_is_stopped() -> None:
    """A superseded job that may still run is to be stopped; a finished one is left."""
    stopping = {**TYPES, "job": replace(TYPES["job"], superseded_policy="stop")}
    for outputs, kinds in [({}, ["job"]), ({"finished": False}, ["job"]), ({"finished": True}, [])]:
        record = Record(JOB, {"name": "job-0"}, OWNER, outputs=outputs)
        made = make_plan(PlanningInput(Graph.build([(OWNER, nodes())]), stopping, SEEN, [record]))
        assert [step.node.key.kind for step in made.steps] == kinds


@pytest.mark.parametrize(("live", "words"), [(build_tags(OTHER), "ModelService/other"), ({}, "no moorage:owner tag")])
def test_a_foreign_object_is_refused(live: dict[str, str], words: str) -> None:
    """What exists and isn't ours is not touched, and the refusal says whose it is; adoption needs the spec's word."""
    foreign = {**SEEN, SERVICE: replace(SEEN[SERVICE], fields={**SEEN[SERVICE].fields, "tags": live})}
    made = plan(nodes(), foreign)
    assert made.steps == ()
    assert words in made.refusals[0].message
    assert plan(nodes(), foreign, adopting_specs=[OWNER]).steps[0].action is Action.ADOPT


def test_an_immutable_field_is_refused_by_name() -> None:
    """A field that can't be changed in place is named, and nothing is done."""
    moved = {**SEEN, SERVICE: replace(SEEN[SERVICE], fields={**SEEN[SERVICE].fields, "cluster": "else"})}
    made = plan(nodes(), moved)
    assert made.steps == ()
    assert made.refusals[0].message == "cluster can't be changed in place"


def test_a_crash_in_mid_update_forgets_no_field() -> None:
    """A field that was being set when the answer got lost still counts as ours."""
    node = Node(ROUTE, {"service": "s"}, {"path": "/"})
    record = Record(ROUTE, {"service": "s"}, OWNER, fields={"path": "/"}, pending={"path": "/", "note": "x"})
    made = plan([node], {ROUTE: Observed({"path": "/", "note": "x"})}, [record])
    assert [(c.path, c.old, c.new) for c in made.steps[0].changes] == [("note", "x", ABSENT)]


def test_equal_plans_have_equal_digests() -> None:
    """The digest tells plans apart, and nothing else does."""
    assert plan(nodes(cpu=512), SEEN).digest == plan(nodes(cpu=512), SEEN).digest
    assert plan(nodes(cpu=512), SEEN).digest != plan(nodes(cpu=1024), SEEN).digest
    assert plan(nodes(cpu=512), SEEN).for_owner(OTHER) == Plan()


def test_invalid_graph_is_refused() -> None:
    """Two nodes with one key, or an edge to nowhere, are mistakes of a type and say which."""
    with pytest.raises(ValueError, match="two nodes are named route m"):
        Graph.build([(OWNER, [Node(ROUTE, {}), Node(ROUTE, {})])])
    with pytest.raises(ValueError, match="refers to service m"):
        Graph.build([(OWNER, [Node(ROUTE, {"service": Ref(SERVICE, "arn")})])])


def test_waves_follow_identities() -> None:
    """What can be found without its parents is observed in the first wave."""
    waves = Graph.build([(OWNER, nodes())]).waves()
    assert [[node.key.kind for node in wave] for wave in waves] == [["choice", "job", "service", "task"], ["route"]]


def test_replacement_names_the_immutable_fields() -> None:
    """The immutable fields that changed, where the type says which these are.

    Otherwise what the object was found by.
    """
    records = [Record(SERVICE, {"name": "svc"}, OWNER, fields={"cluster": "old", "task": "task:1"})]
    seen = {key: value for key, value in SEEN.items() if key not in (SERVICE, ROUTE)}
    (replaced, *_) = plan(nodes(name="svc-2"), seen, records).steps
    assert (replaced.action, replaced.forces) == (Action.REPLACE, ("cluster",))
    records = [Record(ROUTE, {"service": "svc-0"}, OWNER, fields={"path": "/"})]
    (moved,) = plan(nodes(), {key: value for key, value in SEEN.items() if key != ROUTE}, records).steps[:1]
    assert moved.forces == ("service",)
    assert [(c.path, c.old, c.new) for c in moved.changes] == [("service", "svc-0", "svc-arn")]


def test_deleted_object_is_created_not_replaced() -> None:
    """What was made under the very same identity and isn't there is created, not replaced: nothing forces it."""
    seen = {key: value for key, value in SEEN.items() if key != ROUTE}
    (made,) = plan(nodes(), seen, [Record(ROUTE, {"service": "svc-arn"}, OWNER, fields={"path": "/"})]).steps
    assert (made.action, made.forces) == (Action.CREATE, ())
    assert [(c.path, c.old, c.new) for c in made.changes] == [("path", ABSENT, "/")]


def test_a_suspended_specs_steps_are_all_held() -> None:
    """Deletions as well; and the plan still says what each would do."""
    records = [Record(Key("prod", "route", "m/old"), {}, OWNER)]
    made = plan(nodes(cpu=512), SEEN, records, spec_policies={OWNER: EffectivePolicy(held_reason="Suspended")})
    assert [(str(step.action), step.held) for step in made.steps] == [
        ("revise", "Suspended"),
        ("update", "Suspended"),
        ("delete", "Suspended"),
    ]
    assert made.digest != plan(nodes(cpu=512), SEEN, records).digest


def test_uncorrected_drift_affects_no_other_step() -> None:
    """What others changed is held; what takes a value from it isn't planned, and what the spec changed is."""
    spec_policies = {OWNER: EffectivePolicy(correct_drift=False)}
    applied = [Record(TASK, {"family": "f"}, OWNER, {"image": "img-1", "cpu": 256}, {"arn": "task:1"})]
    drifted = SEEN | {TASK: Observed({"image": "img-1", "cpu": 1024}, {"arn": "task:2"})}
    made = plan(nodes(), drifted, applied, spec_policies=spec_policies)
    assert [(str(step.action), step.held) for step in made.steps] == [("revise", "Drifted")]
    made = plan(nodes(cpu=512), drifted, applied, spec_policies=spec_policies)
    assert [(str(step.action), step.held) for step in made.steps] == [("revise", ""), ("update", "")]


def test_uncorrected_deletion_holds_its_dependents() -> None:
    """Neither is made again: the one for the policy, the other because it would be built on nothing."""
    applied = [Record(SERVICE, {"name": "svc"}, OWNER, {"task": "task:1", "cluster": "c", "tags": build_tags(OWNER)})]
    seen = {key: value for key, value in SEEN.items() if key not in (SERVICE, ROUTE)}
    made = plan(nodes(), seen, applied, spec_policies={OWNER: EffectivePolicy(correct_drift=False)})
    assert [(str(s.action), s.node.key.kind, s.held) for s in made.steps] == [
        ("create", "service", "Drifted"),
        ("create", "route", "Drifted"),
    ]
