"""The log group that a model's tasks write to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import find_dropped_tags
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key
from controller.errors import ConflictError, MissingError
from controller.resources.base import PermissionScope, Resource

RETENTION_DAYS = 30


class LogGroup(Resource):
    """One log group for each ModelService, named `/moorage/ENVIRONMENT/NAME`. It keeps entries for thirty days."""

    kind = "logs/log-group"
    condition_type = "Deployed"
    retention_category = "logs"
    permissions = {
        "logs.describe_log_groups": frozenset({"logs:DescribeLogGroups"}),
        "resourcegroupstaggingapi.get_resources": frozenset({"tag:GetResources"}),
        "logs.list_tags_for_resource": frozenset({"logs:ListTagsForResource"}),
        "logs.create_log_group": frozenset({"logs:CreateLogGroup", "logs:TagResource"}),
        "logs.put_retention_policy": frozenset({"logs:PutRetentionPolicy"}),
        "logs.tag_resource": frozenset({"logs:TagResource"}),
        "logs.untag_resource": frozenset({"logs:UntagResource"}),
        "logs.delete_log_group": frozenset({"logs:DeleteLogGroup"}),
    }
    # Some of its calls are checked against the group's own ARN, others against the one that ends in `:*`.
    scopes = {
        "logs:": (
            PermissionScope("logs:{region}:{account}:log-group:{name}"),
            PermissionScope("logs:{region}:{account}:log-group:{name}:*"),
        )
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one group for the model."""
        if context.trainable_spec is not None:
            name = f"/moorage/{context.owner.environment}/{context.owner.name}"
            yield Node(
                context.own_key(self.kind), {"name": name}, {"retention": RETENTION_DAYS, "tags": context.tags()}
            )

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List the groups by the names' common prefix, and match."""
        prefix = os.path.commonpath([target.identity["name"] for target in targets])
        listed = aws.list_items("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix)
        groups = {group["logGroupName"]: group for group in listed}
        live = {target.key: groups[name] for target in targets if (name := target.identity["name"]) in groups}
        arns = {key: _group_arn(group) for key, group in live.items()}
        tags = self.fetch_tags_by_key(aws, arns, targets, lambda arn: _fetch_tags(aws, arn))
        return {key: _observed(group, tags[key]) for key, group in live.items()}

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the group, or set its tags; then its retention."""
        name, context = step.node.identity["name"], step.node.desired
        if seen is None:
            try:
                aws.write("logs", "create_log_group", logGroupName=name, tags=context["tags"])
            except ConflictError as error:
                return self._observe_concurrent_creation(aws, step, error)
        elif seen.fields["tags"] != context["tags"]:
            aws.write("logs", "tag_resource", resourceArn=seen.outputs["arn"], tags=context["tags"])
            if absent := find_dropped_tags(step.changes):
                aws.write("logs", "untag_resource", resourceArn=seen.outputs["arn"], tagKeys=absent)
        if seen is None or seen.fields["retention"] != context["retention"]:
            aws.write("logs", "put_retention_policy", logGroupName=name, retentionInDays=context["retention"])
        return self.confirm(aws, step)

    def _observe_concurrent_creation(self, aws: AwsClient, step: Step, error: ConflictError) -> Observed:
        """Return a group that was created between observation and call; the next pass checks it."""
        found = self.observe(aws, [Target(step.node.key, step.node.identity)]).get(step.node.key)
        if found is None:
            raise error
        return found

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the group with all its log entries."""
        try:
            aws.write("logs", "delete_log_group", logGroupName=target.identity["name"])
        except MissingError:
            return None
        return None


def _group_arn(group: Mapping[str, Any]) -> str:
    # The ARN that ends in `:*` stands for the streams; tags and policies need the group's own.
    return str(group.get("logGroupArn") or group["arn"].removesuffix(":*"))


def _fetch_tags(aws: AwsClient, arn: str) -> dict[str, str]:
    found: dict[str, str] = aws.read("logs", "list_tags_for_resource", resourceArn=arn).get("tags", {})
    return found


def _observed(group: Mapping[str, Any], tags: Mapping[str, str]) -> Observed:
    outputs = {"name": group["logGroupName"], "arn": _group_arn(group)}
    return Observed({"retention": group.get("retentionInDays"), "tags": dict(tags)}, outputs)
