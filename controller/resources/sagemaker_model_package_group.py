"""SageMaker model package groups: one for each ModelService, with its versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key
from controller.errors import ConflictError, MissingError
from controller.resources.base import PermissionScope, Resource


class ModelPackageGroup(Resource):
    """The group that a model's versions are registered in."""

    kind = "sagemaker/model-package-group"
    condition_type = "Trained"
    retention_category = "registry"
    permissions = {
        "sagemaker.list_model_package_groups": frozenset({"sagemaker:ListModelPackageGroups"}),
        "resourcegroupstaggingapi.get_resources": frozenset({"tag:GetResources"}),
        "sagemaker.describe_model_package_group": frozenset({"sagemaker:DescribeModelPackageGroup"}),
        "sagemaker.list_tags": frozenset({"sagemaker:ListTags"}),
        "sagemaker.create_model_package_group": frozenset({"sagemaker:CreateModelPackageGroup", "sagemaker:AddTags"}),
        "sagemaker.add_tags": frozenset({"sagemaker:AddTags"}),
        "sagemaker.delete_tags": frozenset({"sagemaker:DeleteTags"}),
        "sagemaker.delete_model_package_group": frozenset({"sagemaker:DeleteModelPackageGroup"}),
    }
    scopes = {"sagemaker:": (PermissionScope("sagemaker:{region}:{account}:model-package-group/{name}"),)}

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one group for the model."""
        if context.trainable_spec is not None:
            yield Node(context.own_key(self.kind), {"name": context.physical_name(limit=63)}, {"tags": context.tags()})

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Find each group by its name; many from one listing."""
        names = {target.key: str(target.identity["name"]) for target in targets}
        listed = (
            _list_groups(aws)
            if self.should_list(targets)
            else {name: _describe_group(aws, name) for name in names.values()}
        )
        groups = {key: group for key, name in names.items() if (group := listed.get(name)) is not None}
        arns = {key: group["ModelPackageGroupArn"] for key, group in groups.items()}
        tags = self.fetch_tags_by_key(aws, arns, targets, lambda arn: _fetch_tags(aws, arn))
        return {key: _observed(group, tags[key]) for key, group in groups.items()}

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Judge the status: a group is completed, or in progress."""
        del node
        status = seen.outputs["status"]
        if status == "Completed":
            return Ready()
        return (
            Failed("GroupFailed", status) if status.endswith("Failed") else Waiting("Pending", status, requeue_after=2)
        )

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the group, or set its tags."""
        name, tags = step.node.identity["name"], _to_tag_list(step.node.desired["tags"])
        if seen is None:
            aws.write("sagemaker", "create_model_package_group", ModelPackageGroupName=name, Tags=tags)
        else:
            aws.write("sagemaker", "add_tags", ResourceArn=seen.outputs["arn"], Tags=tags)
            absent = [
                c.path.removeprefix("tags.")
                for c in step.changes
                if c.path.removeprefix("tags.") not in step.node.desired["tags"]
            ]
            if absent:
                aws.write("sagemaker", "delete_tags", ResourceArn=seen.outputs["arn"], TagKeys=absent)
        return self.confirm(aws, step)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the group; it must be empty, so it waits for its versions to be deleted first."""
        try:
            aws.write("sagemaker", "delete_model_package_group", ModelPackageGroupName=target.identity["name"])
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("NotEmpty", str(error), requeue_after=5)
        return None


def _list_groups(aws: AwsClient) -> dict[str, Mapping[str, Any]]:
    """Return every group with a name like ours, by name."""
    named = {"NameContains": "moorage-", "MaxResults": 100}
    listed = aws.list_items("sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", **named)
    return {group["ModelPackageGroupName"]: group for group in listed}


def _describe_group(aws: AwsClient, name: str) -> Mapping[str, Any] | None:
    try:
        return aws.read("sagemaker", "describe_model_package_group", ModelPackageGroupName=name)
    except MissingError:
        return None


def _fetch_tags(aws: AwsClient, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in aws.iter_items("sagemaker", "list_tags", "Tags", ResourceArn=arn)}


def _observed(group: Mapping[str, Any], tags: Mapping[str, str]) -> Observed:
    outputs = {
        "name": group["ModelPackageGroupName"],
        "arn": group["ModelPackageGroupArn"],
        "status": group["ModelPackageGroupStatus"],
    }
    return Observed({"tags": dict(tags)}, outputs)


def _to_tag_list(tags: dict[str, str]) -> list[dict[str, Any]]:
    return [{"Key": name, "Value": value} for name, value in sorted(tags.items())]
