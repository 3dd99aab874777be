"""SageMaker model package groups: one for each ModelService, holding its versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from controller.aws import Aws
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key
from controller.core.wanted import Wanted
from controller.errors import ConflictError, MissingError
from controller.resources.base import Resource, Scope


class ModelPackageGroup(Resource):
    """The group that a model's versions are registered in."""

    kind = "sagemaker/model-package-group"
    condition = "Trained"
    retain = "registry"
    permissions = {
        "sagemaker.describe_model_package_group": frozenset({"sagemaker:DescribeModelPackageGroup"}),
        "sagemaker.list_tags": frozenset({"sagemaker:ListTags"}),
        "sagemaker.create_model_package_group": frozenset({"sagemaker:CreateModelPackageGroup", "sagemaker:AddTags"}),
        "sagemaker.add_tags": frozenset({"sagemaker:AddTags"}),
        "sagemaker.delete_tags": frozenset({"sagemaker:DeleteTags"}),
        "sagemaker.delete_model_package_group": frozenset({"sagemaker:DeleteModelPackageGroup"}),
    }
    scopes = {"sagemaker:": (Scope("sagemaker:{region}:{account}:model-package-group/{name}"),)}

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One group for the model."""
        if want.service is not None:
            yield Node(want.own(self.kind), {"name": want.physical_name(limit=63)}, {"tags": want.tags()})

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Each group by its name."""
        found = {}
        for target in targets:
            try:
                group = aws.read(
                    "sagemaker", "describe_model_package_group", ModelPackageGroupName=target.identity["name"]
                )
            except MissingError:
                continue
            arn = group["ModelPackageGroupArn"]
            tags = {tag["Key"]: tag["Value"] for tag in aws.pages("sagemaker", "list_tags", "Tags", ResourceArn=arn)}
            outputs = {"name": group["ModelPackageGroupName"], "arn": arn, "status": group["ModelPackageGroupStatus"]}
            found[target.key] = Observed({"tags": tags}, outputs)
        return found

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """A group is completed, or on its way."""
        del node
        status = seen.outputs["status"]
        if status == "Completed":
            return Ready()
        return Failed("GroupFailed", status) if status.endswith("Failed") else Waiting("Pending", status, after=2)

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Create the group, or set its tags."""
        name, tags = step.node.identity["name"], _as_list(step.node.desired["tags"])
        if seen is None:
            aws.write("sagemaker", "create_model_package_group", ModelPackageGroupName=name, Tags=tags)
        else:
            aws.write("sagemaker", "add_tags", ResourceArn=seen.outputs["arn"], Tags=tags)
            gone = [
                c.path.removeprefix("tags.")
                for c in step.changes
                if c.path.removeprefix("tags.") not in step.node.desired["tags"]
            ]
            if gone:
                aws.write("sagemaker", "delete_tags", ResourceArn=seen.outputs["arn"], TagKeys=gone)
        return self.confirmed(aws, step)

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Delete the group; it must be empty, so it waits for its versions to be deleted first."""
        try:
            aws.write("sagemaker", "delete_model_package_group", ModelPackageGroupName=target.identity["name"])
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("NotEmpty", str(error), after=5)
        return None


def _as_list(tags: dict[str, str]) -> list[dict[str, Any]]:
    return [{"Key": name, "Value": value} for name, value in sorted(tags.items())]
