"""Drift is seen, told, left or put back: every managed field of every type, edited as a person would.

Every object, deleted.

A new type and a new field are picked up by themselves. What can't be edited is excused by name, with the reason; an
excuse that is no longer needed fails as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.core.diff import Change
from controller.core.drift import format_value
from controller.core.values import ABSENT, Value, digest, is_known
from controller.resources.base import ResourceContext, discover_resources
from tests.conformance.drift_trials import DeletionTrial, DriftTrial, fields_of, run_deletion_trials, run_drift_trials
from tests.conformance.manual_edits import ADDED_ELEMENTS
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
SECRETS = "[{name: SALT, valueFrom: 'arn:aws:ssm:us-east-1:123456789012:parameter/salt'}]"
CORS = "{allowOrigins: ['https://a.example'], allowMethods: [POST], allowHeaders: [x-a]}"
MODEL = Model(
    service=f"{{cpu: 0.25 vCPU, memory: 1 GB, env: {{LOG_LEVEL: info}}, secrets: {SECRETS}}}",
    api="{stage: prod, routes: [{method: POST, path: /predict}], throttle: {rate: 50, burst: 100}, "
    f"cors: {CORS}}}",
)
KINDS = tuple(discover_resources(ResourceContext(Path())))

OWNERSHIP = "an object with another owner's tags is a stranger's, and refused (test_registry)"
FIXED = "AWS can't change it after creation"
CONTENT = "it is in its tag or key: what has that name was made of exactly this, and can only be deleted"
PROVENANCE = "what it was made from: AWS doesn't show it, or can't change it"
EXCUSED: Mapping[tuple[str, str], str] = {
    ("apigatewayv2/integration", "IntegrationType"): "through a VPC link an HTTP API knows HTTP_PROXY alone",
    ("apigatewayv2/integration", "ConnectionType"): "INTERNET takes no ConnectionId: AWS refuses it on its own",
    ("apigatewayv2/integration", "PayloadFormatVersion"): "HTTP_PROXY knows 1.0 alone",
    ("apigatewayv2/vpc-link", "subnets"): FIXED,
    ("apigatewayv2/vpc-link", "security_groups"): FIXED,
    ("ecr/base-image", "architecture"): CONTENT,
    ("ecr/base-image", "base"): CONTENT,
    ("ecr/image", "architecture"): CONTENT,
    ("ecr/image", "base"): CONTENT,
    ("ecr/image", "bundle"): PROVENANCE,
    ("ecr/image", "kept"): PROVENANCE,
    ("ecr/image", "model"): CONTENT,
    ("ecr/image", "server"): CONTENT,
    ("ecr/image", "version"): CONTENT,
    ("ecr/repository", "encryptionConfiguration.encryptionType"): FIXED,
    ("ecs/service", "launchType"): FIXED,
    ("ecs/task-definition", "networkMode"): "Fargate knows awsvpc alone",
    ("ecs/task-definition", "containerDefinitions.server.essential"): "AWS wants one essential container",
    (
        "ecs/task-definition",
        "containerDefinitions.server.portMappings.8080.hostPort",
    ): "in awsvpc it is the container's",
    **{
        ("model/bundle", name): PROVENANCE for name in ("artifact", "channels", "features", "lineage", "name", "target")
    },
    **{
        ("sagemaker/model-package", name): PROVENANCE
        for name in ("bundle", "image", "metrics", "model", "model_sha256")
    },
    ("sagemaker/model-package", "approval"): "a person's own approval stands (test_model_package)",
    ("sagemaker/model-package", "message"): "it explains the decision, and changes with it",
    ("sagemaker/model-package", "passed"): "it is the decision's beginning, and changes with it",
    **{
        ("sagemaker/training-job", name): "a job is what it was started as"
        for name in (
            "channels",
            "hyperparameters",
            "image",
            "limits",
            "output",
            "resources",
            "role",
            "spot",
            "tags.team",
        )
    },
    ("servicediscovery/namespace", "vpc"): "AWS doesn't show it",
}
STAYS = {
    "apigatewayv2/integration": "AWS refuses while a route leads to it",
    "apigatewayv2/vpc-link": "AWS refuses while an integration leads through it",
    "ec2/security-group": "AWS refuses while a network interface is in it",
    "ecs/cluster": "AWS refuses while it has services",
    "s3/bucket": "AWS refuses while it holds anything",
    "sagemaker/model-package-group": "AWS refuses while it holds versions",
    "sagemaker/training-job": "one that is known to be completed isn't asked for again",
    "servicediscovery/namespace": "AWS refuses while it has services",
    "servicediscovery/service": "AWS refuses while tasks are registered in it",
}


def is_excused(kind: str, path: str) -> bool:
    """Whether a field isn't edited: by name, or as one of the two tags that say whose it is."""
    return (kind, path) in EXCUSED or path.startswith("tags.moorage:")


@pytest.fixture(scope="module")
def demo(idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """One model with every section of its spec, made."""
    idle_aws.call_admin_endpoint("reset", "POST")
    directory = tmp_path_factory.mktemp("specs")
    clients = EmbeddedClients(idle_aws.endpoint)
    demo = Demo(clients, discover_resources(resource_context), directory, models=(MODEL,), labels="{team: pricing}")
    demo.reconcile_until_settled()
    return demo


@pytest.fixture(scope="module")
def fields(demo: Demo) -> Mapping[tuple[str, str], Any]:
    """Every managed field of every type, as the registry tells."""
    return fields_of(demo, demo.survey())


@pytest.fixture(scope="module")
def drift_trials(
    demo: Demo, resource_context: ResourceContext, fields: Mapping[tuple[str, str], Any]
) -> list[DriftTrial]:
    """What became of each edited field."""
    crowd = discover_resources(replace(resource_context, list_threshold=1))
    return run_drift_trials(demo, crowd, {name for name in fields if is_excused(*name)})


@pytest.fixture(scope="module")
def deletion_trials(demo: Demo, drift_trials: list[DriftTrial]) -> Mapping[str, DeletionTrial]:
    """What became of each deleted object, by type."""
    del drift_trials  # afterwards
    return {loss.key.kind: loss for loss in run_deletion_trials(demo, STAYS)}


def test_every_managed_field_is_edited_or_excused(
    fields: Mapping[tuple[str, str], Any], drift_trials: list[DriftTrial]
) -> None:
    """No field is forgotten, none is edited twice, and no excuse is idle."""
    edited = [trial.name for trial in drift_trials]
    assert len(edited) == len(set(edited))
    assert set(edited) == {name for name in fields if not is_excused(*name)}
    assert EXCUSED.keys() <= fields.keys()
    assert len(edited) >= 90


def test_edit_is_planned_with_old_and_new_value(drift_trials: list[DriftTrial]) -> None:
    """The next plan names the field.

    Where it is one value, the plan's old one is what was edited in, the new one ours.
    """
    assert [trial.name for trial in drift_trials if not trial.planned] == []
    for trial in drift_trials:
        reported = next((change for change in trial.planned if change.path == trial.path), None)
        if reported is not None and trial.is_whole_field:
            assert canonical(reported.old) == canonical(trial.new), trial
            assert canonical(reported.new) == canonical(trial.old) or not is_known(reported.new), trial
        elif trial.is_whole_field:
            assert all(change.old != change.new for change in trial.planned)


def test_edit_is_planned_the_same_from_listings(drift_trials: list[DriftTrial]) -> None:
    """Looked at by listings and indexes, as one of many specs, the same is planned."""
    assert [trial.name for trial in drift_trials if trial.among_many != trial.planned] == []


def test_uncorrected_edit_is_reported_as_drift(drift_trials: list[DriftTrial]) -> None:
    """With driftCorrection false the state is Drifted, and the same change is planned still.

    What is shared is corrected.
    """
    shared = {trial.name for trial in drift_trials if trial.key.name.startswith("/")}
    ours = [trial for trial in drift_trials if trial.name not in shared]
    assert {trial.name: trial.state_when_left for trial in ours if trial.state_when_left != "Drifted"} == {}
    assert [
        trial.name for trial in ours if changes_found(trial.planned_when_left) != changes_found(trial.planned)
    ] == []
    assert [trial.name for trial in drift_trials if trial.name in shared and trial.planned_when_left] == []


def test_corrected_edit_is_no_longer_planned(drift_trials: list[DriftTrial]) -> None:
    """The next reconcile puts the field back: nothing is planned for it any more."""
    assert {
        trial.name: trial.planned_after_correction for trial in drift_trials if trial.planned_after_correction
    } == {}


def test_an_event_records_an_edit(drift_trials: list[DriftTrial]) -> None:
    """It names the field, what was applied and what was found; once for being left, once for being put back."""
    for trial in drift_trials:
        (change, *_) = trial.planned
        line = f"{change.path}: {event_text(change)}"
        reported = [message for message in trial.drift_messages if line in message]
        assert len(reported) == (1 if trial.key.name.startswith("/") else 2), (
            trial.name,
            line,
            trial.drift_messages[-3:],
        )


def test_additions_to_exclusive_collections_are_tried(demo: Demo, drift_trials: list[DriftTrial]) -> None:
    """Every type with a collection of ours alone was also given something that we didn't put there."""
    owning = {kind for kind, resource in demo.registry.items() if resource.policy.owned}
    grown = {
        trial.key.kind
        for trial in drift_trials
        if isinstance(trial.new, list) and len(trial.new) > len(trial.old or [])
    }
    assert owning <= grown | ADDED_ELEMENTS.keys() | {
        "s3/bucket"
    }  # the bucket's policy is a document, replaced as a whole


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in STAYS])
def test_deleted_object_is_recreated(kind: str, demo: Demo, deletion_trials: Mapping[str, DeletionTrial]) -> None:
    """It is planned to be created, left gone without driftCorrection, and made again with it.

    Then all is as declared.
    """
    if demo.registry[kind].read_only:
        assert kind not in deletion_trials
        return
    loss = deletion_trials[kind]
    assert loss.planned == "create"
    assert loss.state_when_left == "Drifted"
    assert loss.is_recreated
    assert loss.planned_after_recreation == ()
    assert len([message for message in loss.drift_messages if "is gone from AWS" in message]) == 2


def changes_found(changes: Sequence[Change]) -> list[tuple[str, Value]]:
    """What was found where: what it will be may be known by then, when what it follows from is left, too."""
    return [(change.path, change.old) for change in changes]


def event_text(change: Change) -> str:
    """How an event tells a change: from what was applied to what was found; of a list that only grew, what came."""
    if not is_known(change.new):
        return ""
    if isinstance(change.old, list) and isinstance(change.new, list) and all(one in change.old for one in change.new):
        return ", ".join(f"+{format_value(one)}" for one in change.old if one not in change.new)
    if isinstance(change.old, list) and isinstance(change.new, list) and all(one in change.new for one in change.old):
        return ", ".join(f"-{format_value(one)}" for one in change.new if one not in change.old)
    return f"{format_value(change.new)} → {format_value(change.old)}"


def canonical(value: Value) -> Value:
    """Lists without order, and absent as empty."""
    if value is ABSENT or value is None:
        return []
    return sorted(map(digest, value)) if isinstance(value, list) else value
