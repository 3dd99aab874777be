"""A removed spec: what it owned goes, those built on others first.

What is to be kept stays, and what is foreign is not touched.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from controller.aws import AwsCall, AwsClient, Hook
from controller.core.record import Record
from controller.core.values import Key
from controller.resources.base import ResourceContext, discover_resources
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model
from tests.reliability.account_state import AccountState, list_objects

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
MODEL, OTHER_MODEL = Model(), Model(name="housing-model-2")
JOB_AND_ITS_ROLE = (
    ("Stopped", Key("default", "sagemaker/training-job", MODEL.name)),
    ("Deleted", Key("default", "iam/role", f"{MODEL.name}/training")),
)
# By default artifacts, registry and logs outlive their spec.
KEPT = {
    "ecr/repository",
    "logs/log-group",
    "model/bundle",
    "s3/object",
    "sagemaker/model-package",
    "sagemaker/model-package-group",
    "sagemaker/training-job",
}


class RecordedDeletions(Hook):
    """Every call that ends something, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def before(self, call: AwsCall) -> None:
        if call.kind == "write":
            self.names.append(call.operation)


@pytest.fixture
def empty_account(idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path: Path) -> Demo:
    """An account with nothing in it."""
    idle_aws.call_admin_endpoint("reset", "POST")
    return Demo(
        EmbeddedClients(idle_aws.endpoint), discover_resources(resource_context), tmp_path, models=(MODEL, OTHER_MODEL)
    )


def create_foreign_lookalikes(aws: AwsClient, records: Collection[Record]) -> None:
    """What somebody else has, named and tagged almost as ours is."""
    names = {record.key.kind: record.outputs.get("name", "") for record in records if record.owner == MODEL.key}
    theirs = {"moorage:environment": "default", "moorage:owner": "ModelService/housing"}
    listed = [{"Key": name, "Value": value} for name, value in theirs.items()]
    principal = {"Service": "ecs-tasks.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.write("iam", "create_role", RoleName=f"{names['iam/role']}-x", AssumeRolePolicyDocument=trust, Tags=listed)
    for log in (f"{names['logs/log-group']}-x", f"{names['logs/log-group']}/x"):
        aws.write("logs", "create_log_group", logGroupName=log, tags=theirs)
    aws.write("ecr", "create_repository", repositoryName=f"{names['ecr/repository']}-x", tags=listed)
    (api,) = [item for item in aws.iter_items("apigatewayv2", "get_apis", "Items") if "-2-" not in item["Name"]]
    for tags in (theirs, {}, api["Tags"] | {"moorage:environment": "prod"}):
        aws.write("apigatewayv2", "create_api", Name=api["Name"], ProtocolType="HTTP", Tags=tags)
    aws.write(
        "ecs",
        "create_service",
        cluster="models",
        serviceName=f"{names['ecs/service']}-x",
        taskDefinition=next(iter(aws.iter_items("ecs", "list_task_definitions", "taskDefinitionArns"))),
        desiredCount=0,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": _subnets(aws)}},
    )
    aws.write("sagemaker", "create_model_package_group", ModelPackageGroupName="housing-model", Tags=listed)
    bucket = names_of(records, "s3/bucket")[0]
    aws.write("s3", "put_object", Bucket=bucket, Key="datasets/housing-model-x/rows.csv", Body=b"1,2")


def names_of(records: Collection[Record], kind: str) -> list[str]:
    return [record.outputs["name"] for record in records if record.key.kind == kind]


def _subnets(aws: AwsClient) -> list[str]:
    return [item["SubnetId"] for item in aws.iter_items("ec2", "describe_subnets", "Subnets")][:1]


def difference(found: AccountState, less: AccountState) -> dict[str, list[str]]:
    """What is in the one account and not in the other, as texts."""
    left = {name: [str(item) for item in items if item not in less[name]] for name, items in found.items()}
    return {name: items for name, items in left.items() if items}


def test_prune_deletes_only_what_the_spec_owned(empty_account: Demo) -> None:
    """What is kept is kept and told, neighbours and strangers stay as they are, and what was built on others went
    before them.
    """
    demo = empty_account
    demo.reconcile_until_settled()
    aws = demo.aws_client()
    settled, records = list_objects(aws), list(demo.store.list_records("default"))
    create_foreign_lookalikes(aws, records)
    planted = difference(list_objects(aws), settled)
    assert len(planted) >= 7
    demo.models = (OTHER_MODEL,)
    before = list_objects(aws)
    demo.reconcile_until_settled()
    assert list_objects(aws) == before  # without being named as gone, it stays
    demo.reconcile_until_settled(removed_specs=[MODEL.key])
    absent, after = difference(before, list_objects(aws)), list_objects(aws)
    assert difference(after, before).keys() <= {"INACTIVE definitions"}
    assert absent.keys() == {
        "ACTIVE definitions",
        "apis",
        "containers",
        "discovery",
        "groups",
        "images",
        "integrations",
        "roles",
        "routes",
        "services",
        "stages",
    }
    assert all("housing-model-2" not in item for items in absent.values() for item in items)
    assert all(set(items).isdisjoint(absent.get(name, ())) for name, items in planted.items())
    reported = [event for event in demo.store.list_events(MODEL.key, limit=1000) if event.key is not None]
    assert {event.key.kind for event in reported if event.reason == "Retained"} == KEPT
    order = [event.key for event in reported if event.reason == "Deleted"]
    assert len(order) == len(set(order)) > 10
    edges = [(record.key, edge) for record in records for edge in record.edges if {record.key, edge} <= {*order}]
    assert len(edges) > 8
    assert all(order.index(child) < order.index(parent) for child, parent in edges)
    assert {record.owner.name for record in demo.store.list_records("default")} == {"default", OTHER_MODEL.name}


def test_prune_during_training_stops_the_job_first(empty_account: Demo) -> None:
    """The first call ends the training, though jobs are kept; the role that it needs goes only when it has ended."""
    demo = empty_account
    demo.models = (replace(MODEL, rounds=1_000_000),)
    demo.reconciler().reconcile(demo.spec_contexts())
    demo.reconciler().reconcile(demo.spec_contexts())
    (job,) = names_of(demo.store.list_records("default"), "sagemaker/training-job")
    sagemaker = demo.aws_client()
    assert (
        sagemaker.read("sagemaker", "describe_training_job", TrainingJobName=job)["TrainingJobStatus"] == "InProgress"
    )
    deletions = RecordedDeletions()
    demo.models, demo.hooks = (), (deletions,)
    demo.reconcile_until_settled(removed_specs=[MODEL.key])
    reported = [
        (event.reason, event.key) for event in demo.store.list_events(MODEL.key, limit=1000) if event.key is not None
    ]
    stopped, role = (next(at for at, event in enumerate(reported) if event == wanted) for wanted in JOB_AND_ITS_ROLE)
    assert stopped < role
    assert "stop_training_job" in deletions.names
    assert sagemaker.read("sagemaker", "describe_training_job", TrainingJobName=job)["TrainingJobStatus"] == "Stopped"
    assert {record.owner.kind for record in demo.store.list_records("default")} == {"Environment"}
