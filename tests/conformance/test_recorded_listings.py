"""What AWS's documentation shows of its listings: one of many is adopted and compared as alone, and asked for no more
often.

The same recordings as in `test_recorded.py`; `listed` in them is what AWS answers when a type looks at many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.aws.object_version import list_object_versions, object_version
from controller.core.diff import diff
from controller.core.field_policy import any_matches
from controller.core.graph import Target
from controller.core.values import Key, Value, digest
from controller.resources.base import ResourceContext, discover_resources
from tests.conformance.equivalent_spellings import EQUIVALENT_SPELLINGS
from tests.conformance.managed_fields import (
    is_list_element_key,
    leaf_paths,
    managed_values,
    reported_path,
    with_edited_leaf,
)
from tests.conformance.recorded_responses import Recording, recorded_client, recordings

SINGLE_REGISTRY, LISTING_REGISTRY = (
    discover_resources(ResourceContext(Path())),
    discover_resources(ResourceContext(Path(), list_threshold=1)),
)
RECORDINGS = recordings(tuple(LISTING_REGISTRY))
LISTED = [recording for recording in RECORDINGS if recording.listed]
# Types that ask AWS something else when they look at many; what they are of that is no answer of AWS's own is left out.
READ_AND_LISTED = {
    "apigatewayv2/stage",
    "ecr/repository",
    "iam/role",
    "logs/log-group",
    "sagemaker/model-package",
    "sagemaker/model-package-group",
    "servicediscovery/service",
}
# What may lag behind the services, so that it isn't believed where it tells otherwise than was applied.
INDEXES = {
    "iam.get_account_authorization_details": {"RoleDetailList": [], "IsTruncated": False},
    "resourcegroupstaggingapi.get_resources": {"ResourceTagMappingList": []},
    "sagemaker.search": {"Results": []},
}
# Types that are asked for many at once in one answer, and of which AWS shows several objects.
RECORDED_IN_BULK = (
    "apigatewayv2/integration",
    "apigatewayv2/route",
    "apigatewayv2/stage",
    "apigatewayv2/vpc-link",
    "ecr/repository",
    "ecs/cluster",
    "ecs/service",
    "servicediscovery/service",
)


def observed(aws: Any, recording: Recording, applied: Mapping[str, Value]) -> Mapping[str, Value]:
    """What the type makes of it as one of many."""
    target = replace(recording.target, applied_fields=applied)
    return LISTING_REGISTRY[recording.kind].observe(aws, [target])[target.key].fields


def adopted(recording: Recording, declared: Mapping[str, Value]) -> Value:
    """What adopting it alone would declare."""
    target = recording.target
    fields = SINGLE_REGISTRY[recording.kind].observe(recording.aws_client(), [target])[target.key].fields
    return managed_values(fields, declared[recording.kind])


@pytest.fixture(params=LISTED, ids=lambda recording: recording.name)
def listed(request: pytest.FixtureRequest) -> Recording:
    """Each of the objects that are recorded both ways."""
    found: Recording = request.param
    return found


def test_every_listable_type_has_both_recordings() -> None:
    """Each has an answer for many, and each of these spares it another one."""
    assert {recording.kind for recording in LISTED} == READ_AND_LISTED
    assert all(recording.skipped_reads <= recording.answers.keys() for recording in LISTED)
    assert all(recording.skipped_reads for recording in LISTED)


@pytest.mark.parametrize("spelling", EQUIVALENT_SPELLINGS)
def test_listed_as_applied_needs_no_read(
    listed: Recording, spelling: str, declared_shapes: Mapping[str, Value]
) -> None:
    """However it was spelled when it was applied, the listing suffices, and nothing is planned."""
    policy = LISTING_REGISTRY[listed.kind].policy
    applied = EQUIVALENT_SPELLINGS[spelling](adopted(listed, declared_shapes), policy, ())
    fields = observed(listed.listing_client(), listed, applied)
    assert diff(applied, fields, applied, policy) == ()


def test_each_field_changed_since_apply_is_planned(listed: Recording, declared_shapes: Mapping[str, Value]) -> None:
    """Where somebody else changed one leaf, one of many is asked for, and gives exactly that change."""
    policy, everything = LISTING_REGISTRY[listed.kind].policy, recorded_client({**listed.answers, **listed.listed})
    desired = adopted(listed, declared_shapes)
    for steps in leaf_paths(desired):
        if is_list_element_key(steps, policy) or any_matches(policy.ignore, (str(steps[0]),)):
            continue
        applied = with_edited_leaf(desired, steps)
        found = {change.path for change in diff(applied, observed(everything, listed, applied), applied, policy)}
        assert found == {reported_path(desired, steps, policy)}, steps


@pytest.mark.parametrize("index", INDEXES)
def test_missing_index_entries_are_read(index: str, declared_shapes: Mapping[str, Value]) -> None:
    """An index that lags behind makes nothing absent and nothing different."""
    late = [recording for recording in LISTED if index in recording.listed]
    assert late
    for recording in late:
        applied = adopted(recording, declared_shapes)
        aws = recorded_client({**recording.answers, **recording.listed, index: INDEXES[index]})
        assert managed_values(observed(aws, recording, applied), declared_shapes[recording.kind]) == applied


@pytest.mark.parametrize("index", INDEXES)
def test_stale_index_entries_are_read(index: str, declared_shapes: Mapping[str, Value]) -> None:
    """An index that still has what was there before our last change makes no change of it."""
    for recording in (one for one in LISTED if index in one.listed):
        applied = adopted(recording, declared_shapes)
        aws = recorded_client({**recording.answers, **recording.listed, index: _stale(recording.listed[index])})
        assert managed_values(observed(aws, recording, applied), declared_shapes[recording.kind]) == applied


@pytest.mark.parametrize("kind", RECORDED_IN_BULK)
def test_objects_in_one_response_are_distinguished(kind: str, declared_shapes: Mapping[str, Value]) -> None:
    """Each is found as alone, in whatever order AWS has them; what isn't among them is absent."""
    several = _distinct([recording for recording in RECORDINGS if recording.kind == kind])
    assert len(several) >= 2
    aws = recorded_client(
        {**INDEXES, "apigatewayv2.get_apis": {"Items": []}, **_together([one.answers for one in several])}
    )
    targets = [_beside(several[0], one) for one in several]
    found = LISTING_REGISTRY[kind].observe(aws, [*targets, _elsewhere(targets[0])])
    assert {key.name for key in found} == {one.name for one in several}
    for one, target in zip(several, targets, strict=True):
        fields = managed_values(found[target.key].fields, declared_shapes[kind])
        assert {**fields, "tags": None} == {**adopted(one, declared_shapes), "tags": None}


@pytest.mark.parametrize("recording", [one for one in RECORDINGS if one.kind == "s3/object"], ids=lambda one: one.name)
def test_listing_and_head_give_equal_object_versions(recording: Recording) -> None:
    """ETag and time of HeadObject, whose header has seconds, are those of ListObjectsV2, whose text has
    milliseconds.
    """
    head = recording.aws_client().read("s3", "head_object", Bucket="b", Key="k")
    row = {"Key": "k", "ETag": head["ETag"], "LastModified": head["LastModified"].strftime("%Y-%m-%dT%H:%M:%S.000Z")}
    listing = {"s3.list_objects_v2": {"Contents": [row], "IsTruncated": False}}
    assert list_object_versions(recorded_client(listing), "b", "") == {
        "k": object_version(head, head["LastModified"] + timedelta(days=1))
    }


def test_selection_from_listings_equals_selection_from_reads() -> None:
    """It reads the versions that are recorded, and no type of its own: the same one is chosen, with what
    was measured.
    """
    [recording] = [one for one in LISTED if one.kind == "sagemaker/model-package"]
    identity = {**recording.identity, "pin": 0, "cluster": "c", "service": "s"}
    target = Target(Key("default", "model/selection", "recorded"), identity)
    alone = SINGLE_REGISTRY["model/selection"].observe(recording.aws_client(), [target])
    assert LISTING_REGISTRY["model/selection"].observe(recording.listing_client(), [target]) == alone
    assert alone[target.key].outputs["metrics"] == {"test": {"rmse": 1.5}}


def _stale(answer: Any) -> Any:
    """An answer of an index as it was before: other tags, no policies, nothing measured."""
    if isinstance(answer, list):
        return [_stale(element) for element in answer]
    if not isinstance(answer, dict):
        return answer
    before = {"Tags": [], "AttachedManagedPolicies": [], "CustomerMetadataProperties": {}}
    return {name: before[name] if name in before else _stale(value) for name, value in answer.items()}


def _distinct(several: Sequence[Recording]) -> list[Recording]:
    """The first one of each name: in one place there is none twice."""
    by_name = {digest({**one.identity, **one.known, "cluster": ""}): one for one in reversed(several)}
    return list(by_name.values())


def _beside(first: Recording, one: Recording) -> Target:
    """Its target, in the cluster that the first one is in, if it is in any."""
    place = {name: value for name, value in first.identity.items() if name == "cluster"}
    return Target(Key("default", one.kind, one.name), {**one.identity, **place}, one.known)


def _together(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One answer of each call that has all objects, the last ones first."""
    merged: dict[str, dict[str, list[Any]]] = {}
    for answer in reversed(answers):
        for call, said in answer.items():
            for name, items in said.items():
                if isinstance(items, list):
                    kept = merged.setdefault(call, {}).setdefault(name, [])
                    kept += [item for item in items if item not in kept]
    return {call: merged.get(call, said) for answer in answers for call, said in answer.items()}


def _elsewhere(target: Target) -> Target:
    """One that isn't there."""
    *_, last = target.identity
    return Target(Key("default", target.key.kind, "missing"), {**target.identity, last: "missing"})
