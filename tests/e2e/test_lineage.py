"""The way from a live route back to the commit: whole, and with each of its hops taken away by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from controller.aws import AwsClient
from controller.core.values import Key
from controller.errors import NotFoundError
from controller.lineage import HOPS, Hop, Lineage, trace
from controller.resources.base import ResourceContext, discover_resources
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model

OWNER = Model().key
COMMIT = "c0ffee" + "0" * 34

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def demo(idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, reconciled from a commit."""
    idle_aws.call_admin_endpoint("reset", "POST")
    directory = tmp_path_factory.mktemp("specs")
    demo = Demo(EmbeddedClients(idle_aws.endpoint), discover_resources(resource_context), directory, commit=COMMIT)
    demo.reconcile_until_settled()
    return demo


def why(demo: Demo) -> Lineage:
    return trace(demo.aws_client(), OWNER, "models")


def hops(demo: Demo) -> dict[str, Hop]:
    (way,) = why(demo).paths
    return {hop.kind: hop for hop in way}


def outputs(demo: Demo) -> dict[str, Mapping[str, Any]]:
    return {record.key.kind: record.outputs for record in demo.store.list_records("default")}


def test_every_hop_is_there_and_read_from_aws(demo: Demo) -> None:
    """The ids are those that AWS gave, the commit is the one it was trained from, nothing was written and no store
    asked.
    """
    aws = demo.aws_client()
    (way,) = trace(aws, OWNER, "models").paths
    assert [hop.kind for hop in way] == list(HOPS)
    assert [hop.problem for hop in way] == [""] * len(HOPS)
    found, reported = {hop.kind: hop for hop in way}, outputs(demo)
    assert found["route"].id == reported["apigatewayv2/api"]["id"]
    assert found["route"].facts["routes"] == ["GET /model", "POST /predict"]
    assert found["image"].id == reported["ecr/image"]["digest"]
    assert found["image"].facts["model"] == reported["model/bundle"]["model_sha256"]
    assert found["version"].id == "1"
    assert found["job"].id == reported["sagemaker/training-job"]["name"]
    assert found["data"].id == demo.spec_contexts()[1].inputs.data_digest
    assert found["commit"].id == COMMIT
    assert aws.call_counter.writes == 0


def test_unknown_name_is_not_found(demo: Demo) -> None:
    """Another name is said not to be there, whatever serves beside it."""
    with pytest.raises(NotFoundError, match="nothing in us-east-1 carries the tags of other"):
        trace(demo.aws_client(), Key("default", "ModelService", "other"), "models")


def test_no_running_task_is_reported(demo: Demo) -> None:
    """With no task at all, the task's hop says it, and those behind it say why they are empty."""
    served = demo.models
    demo.models = (replace(served[0], service="{cpu: 0.25 vCPU, memory: 1 GB, desiredCount: 0}"),)
    demo.reconcile_until_settled()
    found = hops(demo)
    demo.models = (replace(served[0], service="{cpu: 0.25 vCPU, memory: 1 GB, desiredCount: 1}"),)
    demo.reconcile_until_settled()
    assert found["route"].problem == ""
    assert found["task"].problem == "no task is registered: nobody answers"
    assert {hop.problem for kind, hop in found.items() if kind not in ("route", "task")} == {
        "nothing runs that it could be read from"
    }


def _delete_rows(aws: AwsClient, demo: Demo) -> None:
    for record in demo.store.list_records("default"):
        if record.key.kind == "s3/object":
            aws.write("s3", "delete_object", Bucket=record.outputs["bucket"], Key=record.outputs["key"])


def _delete_job(aws: AwsClient, demo: Demo) -> None:
    aws.write("sagemaker", "delete_training_job", TrainingJobName=outputs(demo)["sagemaker/training-job"]["name"])


def _reject_version(aws: AwsClient, demo: Demo) -> None:
    arn = outputs(demo)["sagemaker/model-package"]["arn"]
    aws.write("sagemaker", "update_model_package", ModelPackageArn=arn, ModelApprovalStatus="Rejected")


def _delete_version(aws: AwsClient, demo: Demo) -> None:
    arn = outputs(demo)["sagemaker/model-package"]["arn"]
    aws.write("sagemaker", "delete_model_package", ModelPackageName=arn)


def _delete_image(aws: AwsClient, demo: Demo) -> None:
    name, digest = outputs(demo)["ecr/repository"]["name"], outputs(demo)["ecr/image"]["digest"]
    aws.write("ecr", "batch_delete_image", repositoryName=name, imageIds=[{"imageDigest": digest}])


def _delete_stage(aws: AwsClient, demo: Demo) -> None:
    api = outputs(demo)["apigatewayv2/api"]["id"]
    aws.write("apigatewayv2", "delete_stage", ApiId=api, StageName="$default")


def _delete_api(aws: AwsClient, demo: Demo) -> None:
    aws.write("apigatewayv2", "delete_api", ApiId=outputs(demo)["apigatewayv2/api"]["id"])


# What is done, and what each hop then says; they follow one another, each on what the ones before have left.
REMOVED_HOPS: tuple[tuple[Callable[[AwsClient, Demo], None], dict[str, str]], ...] = (
    (_delete_rows, {"data": "the train rows were deleted; the validation rows were deleted"}),
    (_reject_version, {"version": "it serves, and is Rejected"}),
    (_delete_job, {"job": "the training job was deleted", "data": "without the job"}),
    (_delete_version, {"version": "version 1 is not in the model registry"}),
    (_delete_stage, {"route": "it has no stage"}),
    (_delete_api, {"route": "no HTTP API carries its tags"}),
    (
        _delete_image,
        {"image": "it was deleted from the registry", "job": "neither image nor version", "commit": "no image"},
    ),
)


def test_removed_hop_is_reported(demo: Demo, idle_aws: EmbeddedAws) -> None:
    """Whatever is taken away is named, by its own hop; what others still prove goes on being told."""
    expected: dict[str, str] = {}
    for lose, reported in REMOVED_HOPS:
        with idle_aws.without_faults():
            lose(demo.aws_client(), demo)
        expected |= reported
        found = hops(demo)
        for kind, hop in found.items():
            assert (expected[kind] in hop.problem) if kind in expected else not hop.problem, (lose.__name__, hop)
    assert not why(demo).is_complete
    assert found["version"].problem.startswith("version 1")  # the task definition's label still says which
