"""No phantom differences: what AWS's own documentation shows is observed, adopted, and then planned to stay as it is.

And no blind spots: whichever managed field differs, that one difference is planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from controller.core.diff import diff
from controller.core.field_policy import FieldPolicy, any_matches
from controller.core.graph import Graph, Node, Observed
from controller.core.plan import PlanningInput
from controller.core.planner import make_plan
from controller.core.values import Key, Value
from controller.resources.base import ResourceContext, discover_resources
from tests.conformance.equivalent_spellings import EQUIVALENT_SPELLINGS
from tests.conformance.managed_fields import (
    is_list_element_key,
    leaf_paths,
    managed_values,
    reported_path,
    with_edited_leaf,
)
from tests.conformance.recorded_responses import Recording, recordings

NO_RECORDED_RESPONSES = {
    "model/bundle": "a manifest of ours in S3",
    "model/gate": "it reads what the bundle measured",
    "model/selection": "it reads other objects of ours",
}
NOTHING_COMPARED = {
    "ec2/network": "it is only looked at",
    "ecr/clearance": "it is only looked at",
    "sagemaker/training-job": "a job is what it was started as: only its presence counts",
}
# Types of which AWS's answers can be spelled in several ways.
NEEDS_POLICY = {
    "apigatewayv2/api",
    "apigatewayv2/stage",
    "ec2/security-group",
    "ecs/service",
    "ecs/task-definition",
    "iam/role",
    "s3/bucket",
}
REGISTRY = discover_resources(ResourceContext(Path()))
RECORDINGS = recordings(tuple(REGISTRY))
OWNER = Key("default", "ModelService", "recorded")


@pytest.fixture(params=RECORDINGS, ids=lambda recording: recording.name)
def recording(request: pytest.FixtureRequest) -> Recording:
    """Each of the recorded objects."""
    found: Recording = request.param
    return found


def observe_recording(recording: Recording) -> Mapping[str, Value]:
    """What the type makes of the answers."""
    return REGISTRY[recording.kind].observe(recording.aws_client(), [recording.target])[recording.target.key].fields


def test_recordings_cover_every_type(declared_shapes: Mapping[str, Value]) -> None:
    """Forty answers of AWS's own at least; every type that has answers has some, and has managed fields in them."""
    assert sum(recording.genuine for recording in RECORDINGS) >= 40
    missing = REGISTRY.keys() - NO_RECORDED_RESPONSES.keys() - {recording.kind for recording in RECORDINGS}
    assert not missing, f"add responses for {sorted(missing)} to tests/conformance/recorded (see its README.md)"
    assert {recording.kind for recording in RECORDINGS}.isdisjoint(NO_RECORDED_RESPONSES)
    compared = {
        recording.kind
        for recording in RECORDINGS
        for steps in leaf_paths(managed_values(observe_recording(recording), declared_shapes[recording.kind]))
        if not any_matches(REGISTRY[recording.kind].policy.ignore, (str(steps[0]),))
    }
    assert compared == REGISTRY.keys() - NO_RECORDED_RESPONSES.keys() - NOTHING_COMPARED.keys()


@pytest.mark.parametrize("spelling", EQUIVALENT_SPELLINGS)
def test_adopting_documented_objects_plans_nothing(
    recording: Recording, spelling: str, declared_shapes: Mapping[str, Value]
) -> None:
    """However the same fields are spelled in the spec, planning again gives no change.

    Phantom differences from defaults, order and null: pipecd#5336, aws-controllers-k8s/community#2878, pulumi-aws#4576.
    """
    fields, policy = observe_recording(recording), REGISTRY[recording.kind].policy
    desired = EQUIVALENT_SPELLINGS[spelling](managed_values(fields, declared_shapes[recording.kind]), policy, ())
    node = Node(recording.target.key, recording.identity, desired)
    graph = Graph.build([(OWNER, [node])])
    plan = make_plan(PlanningInput(graph, REGISTRY, {node.key: Observed(fields)}, (), adopting_specs=(OWNER,)))
    assert {change.path for step in plan.steps for change in step.changes} == recording.foreign
    assert not plan.refusals


def test_field_policies_suppress_phantom_differences(declared_shapes: Mapping[str, Value]) -> None:
    """What these recordings prove of the policies: the same comparison without one finds differences that
    aren't any.
    """
    haunted = {
        recording.kind
        for recording in RECORDINGS
        for respelled in EQUIVALENT_SPELLINGS.values()
        if diff(
            None,
            observe_recording(recording),
            respelled(
                managed_values(observe_recording(recording), declared_shapes[recording.kind]),
                REGISTRY[recording.kind].policy,
                (),
            ),
            FieldPolicy(),
        )
    }
    assert haunted == NEEDS_POLICY


def test_each_managed_field_that_differs_is_planned(recording: Recording, declared_shapes: Mapping[str, Value]) -> None:
    """One leaf edited in AWS gives exactly one change, at that leaf or at the list it is in.

    An ignored one gives none.
    """
    fields, policy = observe_recording(recording), REGISTRY[recording.kind].policy
    desired = managed_values(fields, declared_shapes[recording.kind])
    before = {change.path for change in diff(None, fields, desired, policy)}
    for steps in leaf_paths(desired):
        if is_list_element_key(steps, policy):
            continue
        found = {change.path for change in diff(None, with_edited_leaf(fields, steps), desired, policy)} - before
        ignored = any_matches(policy.ignore, (str(steps[0]),))
        assert found == (set() if ignored else {reported_path(fields, steps, policy)}), steps
