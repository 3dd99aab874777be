"""Model packages: versions that people may approve, reject and delete."""

from __future__ import annotations

from pathlib import Path

from controller.aws import connect
from controller.core.graph import Node, Target
from controller.core.plan import Action, Step
from controller.core.values import Key
from controller.resources.base import ResourceContext
from controller.resources.sagemaker_model_package import ModelPackage
from tests.conftest import EmbeddedAws

KEY = Key("default", "sagemaker/model-package", "m")
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"


def test_manually_deleted_version_is_registered_again(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    """AWS would answer the same token with the deleted version: another one gets the next number, and only one is
    there.
    """
    s3, sagemaker = embedded_aws.client("s3"), embedded_aws.client("sagemaker")
    s3.create_bucket(Bucket="models")
    for key in ("model.tar.gz", "bundle/manifest.json"):
        s3.put_object(Bucket="models", Key=key, Body=b"x")
    sagemaker.create_model_package_group(ModelPackageGroupName="group")
    kind, aws = ModelPackage(ResourceContext(tmp_path)), connect(region="us-east-1", endpoint=embedded_aws.endpoint)
    desired = {
        "model": "s3://models/model.tar.gz",
        "image": IMAGE,
        "bundle": "s3://models/bundle/",
        "model_sha256": "0" * 64,
        "metrics": {"test": {"rmse": 1.5}},
        "approval": "auto",
        "decision": "passed 0",
        "passed": True,
        "message": "1 gate passed",
    }
    node = Node(KEY, {"group": "group", "fingerprint": "f" * 64}, desired)
    step = Step(Action.CREATE, node, Key("default", "ModelService", "m"))
    first = kind.apply(aws, step, None)
    sagemaker.delete_model_package(ModelPackageName=first.outputs["arn"])
    assert kind.observe(aws, [Target(KEY, node.identity)]) == {}
    second = kind.apply(aws, step, None)
    assert second.outputs["version"] == first.outputs["version"] + 1
    assert kind.observe(aws, [Target(KEY, node.identity)])[KEY] == second
