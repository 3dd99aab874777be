"""Every resource type of the registry, in its natural place in the demo's graph, held to what all of them owe.

A new type is picked up by itself. What one type can't honestly be held to is in `EXCUSED`, with the reason; an excuse
that is no longer needed fails as well.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.resources.base import ResourceContext, discover_resources
from tests.conformance.resource_lifecycle import LifecycleEvidence
from tests.conformance.type_checks import CHECKS, Check
from tests.conformance.update_cases import NOT_TRANSFERABLE, UPDATE_CASES

KINDS = tuple(discover_resources(ResourceContext(Path())))
READ_ONLY = "it is only looked at"
EXCUSED = {
    ("can_change", "ec2/network"): READ_ONLY,
    ("can_change", "model/gate"): READ_ONLY,
    ("can_change", "model/selection"): READ_ONLY,
    ("can_change", "ecr/clearance"): READ_ONLY,
    ("can_change", "ecr/base-image"): "its tag follows from all that is said of it: another base is another image",
    ("can_change", "model/bundle"): "its prefix holds the fingerprint: another model is another bundle",
    ("can_change", "s3/object"): "its key holds the content's digest: other rows are another object",
    ("can_change", "sagemaker/training-job"): "its name holds the fingerprint: other settings are another job",
    ("uses_every_permission", "apigatewayv2/stage"): "apigatewayv2/api has listed the APIs before it in the survey",
    ("uses_every_permission", "ecs/service"): "it asks for revisions only after a rollback (tests/reliability)",
    (
        "uses_every_permission",
        "sagemaker/model-package",
    ): "model/selection has made the same search before it in the survey",
    ("has_no_unused_policy", "apigatewayv2/api"): "AWS fills in two CORS fields that the embedded AWS doesn't",
    ("refuses_foreign_objects", "sagemaker/training-job"): NOT_TRANSFERABLE["sagemaker/training-job"],
    ("deletes_idempotently", "s3/bucket"): "what is left in it is there to be kept, and so is the bucket",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_each_type_passes_every_check(check: Check, kind: str, evidence: LifecycleEvidence) -> None:
    """The check's own docstring says what it holds a type to; an excused type must really need its excuse."""
    found = check(kind, evidence, UPDATE_CASES)
    excuse = EXCUSED.get((check.__name__, kind))
    assert bool(found) is (excuse is not None), found or f"no longer needed: {excuse}"


def test_lifecycle_covers_every_type(evidence: LifecycleEvidence) -> None:
    """The demo's specs expand into every type of the registry, and every excuse names a check and a type."""
    assert evidence.kinds == set(KINDS)
    names = {check.__name__ for check in CHECKS}
    assert {name for name, _ in EXCUSED} <= names
    assert {kind for _, kind in EXCUSED} <= set(KINDS)
    assert len(evidence.made_foreign) == len(evidence.tagged) - len(NOT_TRANSFERABLE)
