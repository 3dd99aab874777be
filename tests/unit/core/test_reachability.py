"""What is kept as history, and what a plan collects of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.core.field_policy import FieldPolicy
from controller.core.graph import Graph, Node, Observed
from controller.core.history import READY, Revision
from controller.core.plan import Plan, PlanningInput
from controller.core.planner import make_plan
from controller.core.reachability import RetainedHistory, find_reachable, retain_history
from controller.core.record import Record
from controller.core.values import Key
from tests.unit.core.test_plan import FakeResourceType

OWNER, OTHER = (Key("prod", "ModelService", name) for name in ("m", "other"))
BUNDLE, IMAGE, TASK, SERVICE = (Key("prod", kind, "m") for kind in ("bundle", "image", "task", "service"))
TYPES = {
    "bundle": FakeResourceType(
        superseded_policy="collect", reference_outputs=frozenset({"url"}), retention_category="artifacts"
    ),
    "image": FakeResourceType(
        superseded_policy="collect", reference_outputs=frozenset({"uri"}), retention_category="service"
    ),
    "task": FakeResourceType(
        FieldPolicy(revisioned=True, volatile=frozenset({"arn"})),
        superseded_policy="collect",
        revision_output="revision",
        reference_outputs=frozenset({"arn"}),
        retention_category="service",
    ),
    "service": FakeResourceType(),
}
REVISION = Revision(1, "t", version=1, result=READY)


def bundle(number: int, owner: Key = OWNER) -> Record:
    key = BUNDLE._replace(name=owner.name)
    return Record(key, {"n": number}, owner, {}, {"url": f"s3://{owner.name}-{number}"})


def image(number: int) -> Record:
    made = {"bundle": f"s3://m-{number}"}
    return Record(IMAGE, {"n": number}, OWNER, made, {"uri": f"image@{number}"}, (BUNDLE,))


def task(number: int) -> Record:
    return Record(
        TASK,
        {"family": "f", "revision": number},
        OWNER,
        {"image": f"image@{number}"},
        {"arn": f"f:{number}"},
        (IMAGE,),
    )


# Four models served, one after the other; the fifth serves now.
PAST = [made(number) for number in range(1, 5) for made in (bundle, image, task)]
NODES = [
    Node(BUNDLE, {"n": 5}),
    Node(IMAGE, {"n": 5}, {"bundle": "s3://m-5"}),
    Node(TASK, {"family": "f"}, {"image": "image@5"}),
    Node(SERVICE, {"name": "s"}, {"task": "f:5"}),
]
SEEN = {
    BUNDLE: Observed({}, {"url": "s3://m-5"}),
    IMAGE: Observed({"bundle": "s3://m-5"}, {"uri": "image@5"}),
    TASK: Observed({"image": "image@5"}, {"arn": "f:5"}),
    SERVICE: Observed({"task": "f:5"}, {"definitions": ["f:5"]}),
}


def retained_history(*numbers: int, retained: tuple[str, ...] = ()) -> RetainedHistory:
    revisions = [replace(REVISION, image=f"image@{n}", task_definition=f"f:{n}") for n in numbers]
    return RetainedHistory(revisions, frozenset(retained))


def plan(kept: RetainedHistory | None, *, records: list[Record] = PAST, **more: Any) -> Plan:
    closures = {OWNER: kept} if kept else {}
    graph = Graph.build([(OWNER, NODES)])
    return make_plan(PlanningInput(graph, TYPES, more.pop("seen", SEEN), records, retained_histories=closures, **more))


def deleted_objects(made: Plan) -> set[tuple[str, int]]:
    assert {str(step.action) for step in made.steps} <= {"delete"}
    return {(s.node.key.kind, s.node.identity.get("revision") or s.node.identity["n"]) for s in made.steps}


def test_retained_history_is_the_last_ready_revisions() -> None:
    """How things stand now is counted in, what failed isn't, and no more are kept than the policy says."""
    past = [replace(REVISION, generation=n, result=READY if n != 3 else "GateFailed") for n in (1, 2, 3, 4)]
    kept = retain_history(past, replace(REVISION, generation=5), 3, {"registry"})
    assert kept is not None
    assert [revision.generation for revision in kept.revisions] == [2, 4, 5]
    assert kept.retained_categories == {"registry"}


def test_nothing_is_collected_without_history() -> None:
    """A store that was lost, or a spec that never was ready: nothing is collected."""
    assert retain_history([], REVISION, 1, ()) is None
    assert retain_history([replace(REVISION, result="GateFailed")], replace(REVISION, generation=2), 1, ()) is None
    assert plan(None).steps == ()


def test_records_are_reached_by_reference() -> None:
    """From a task definition to its image, to its bundle; an unknown name leads nowhere, and a circle ends."""
    handles = {kind: known.reference_outputs for kind, known in TYPES.items()}
    assert find_reachable(["f:2", "nothing"], PAST, handles) == {task(2).id, image(2).id, bundle(2).id}
    circle = Record(IMAGE, {"n": 9}, OWNER, {"bundle": "image@9"}, {"uri": "image@9"})
    assert find_reachable(["image@9"], [circle], handles) == {circle.id}


def test_unreachable_objects_are_collected() -> None:
    """What the kept revisions served stays, whole, and so does what came just before.

    The plan tells why the rest goes.
    """
    made = plan(retained_history(3, 5))
    assert deleted_objects(made) == {(kind, number) for kind in ("bundle", "image", "task") for number in (1, 2)}
    assert {step.why for step in made.steps} == {"no longer reachable: no rollback leads to it"}
    kinds = [step.node.key.kind for step in made.steps if "2" in str(step.node.identity)]
    assert kinds == ["task", "image", "bundle"]


def test_deployed_objects_are_kept() -> None:
    """ECS may run something else than the newest revision: somebody's own update, or a rollback under way."""
    deployed = Observed({"task": "f:5"}, {"definitions": ["f:1", "f:5"]})
    made = plan(retained_history(5), seen={**SEEN, SERVICE: deployed})
    assert deleted_objects(made) == {(kind, number) for kind in ("bundle", "image", "task") for number in (2, 3)}


def test_retained_objects_are_kept() -> None:
    """Bundles stay where artifacts are retained; images and task definitions are no history that anybody asked for."""
    made = plan(retained_history(5, retained=("artifacts", "registry")))
    assert deleted_objects(made) == {(kind, number) for kind in ("image", "task") for number in (1, 2, 3)}


def test_history_of_other_specs_is_kept() -> None:
    """A spec beside it in the environment, looked at or not, keeps its own."""
    theirs = [bundle(number, OTHER) for number in (1, 2)]
    assert deleted_objects(plan(retained_history(1, 2, 3, 4, 5), records=[*PAST, *theirs])) == set()


def test_desired_object_is_kept() -> None:
    """A record outside of the history whose object is the wanted one is no history."""
    again = [*NODES[1:3], replace(NODES[0], identity={"n": 1}), NODES[3]]
    seen = {**SEEN, BUNDLE: Observed({}, {"url": "s3://m-1"})}
    graph = Graph.build([(OWNER, again)])
    made = make_plan(PlanningInput(graph, TYPES, seen, PAST, retained_histories={OWNER: retained_history(5)}))
    assert ("bundle", 1) not in deleted_objects(made)
    assert ("bundle", 2) in deleted_objects(made)


def test_unfinished_unwanted_object_is_collected() -> None:
    """A push that was cut off before the spec changed left a record without outputs: nothing leads to it."""
    begun = Record(IMAGE, {"n": 7}, OWNER, pending={"bundle": "s3://m-7"})
    assert ("image", 7) in deleted_objects(plan(retained_history(5), records=[*PAST, begun]))


def test_finished_job_is_collected_as_history() -> None:
    """One that ended goes once nothing leads to it, and waits for its spec.

    One that may still run is stopped at once.
    """
    job = Key("prod", "job", "m")
    types = {
        **TYPES,
        "job": FakeResourceType(
            superseded_policy="stop", reference_outputs=frozenset({"artifact"}), retention_category="registry"
        ),
    }
    ended, runs, used = (
        Record(job, {"n": number}, OWNER, {}, {"artifact": f"s3://job-{number}", "finished": number != 2})
        for number in (1, 2, 3)
    )
    made_of = replace(bundle(4), fields={"artifact": "s3://job-3"})
    records = [*PAST, made_of, ended, runs, used]
    graph = Graph.build([(OWNER, [*NODES, Node(job, {"n": 5})])])
    seen = {**SEEN, job: Observed({}, {"artifact": "s3://job-5"})}

    def steps(*retained: str) -> list[tuple[int, bool]]:
        made = make_plan(
            PlanningInput(
                graph, types, seen, records, retained_histories={OWNER: retained_history(4, 5, retained=retained)}
            )
        )
        return sorted((s.node.identity["n"], s.collects_history) for s in made.steps if s.node.key == job)

    assert steps() == [(1, True), (2, False)]
    assert steps("registry") == [(2, False)]


def test_revisions_are_deleted_with_their_family() -> None:
    """A spec that is gone: one step for the family, none for each of its revisions."""
    family = Record(TASK, {"family": "f"}, OWNER, {"image": "image@5"}, {"arn": "f:5"}, (IMAGE,))
    graph = Graph.build([])
    made = make_plan(PlanningInput(graph, TYPES, {}, [*PAST, family], removed_specs=[OWNER]))
    assert [step.node.identity for step in made.steps if step.node.key == TASK] == [{"family": "f"}]
    assert len([step for step in made.steps if step.node.key == IMAGE]) == 4
