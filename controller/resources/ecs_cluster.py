"""The ECS cluster of an environment's models. On Fargate it is only a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import find_dropped_tags, parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key
from controller.errors import ConflictError, MissingError
from controller.resources.base import PermissionScope, Resource

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeClusters.html
_BATCH_SIZE = 100


class EcsCluster(Resource):
    """One cluster for each environment."""

    kind = "ecs/cluster"
    permissions = {
        "ecs.describe_clusters": frozenset({"ecs:DescribeClusters"}),
        "ecs.create_cluster": frozenset({"ecs:CreateCluster", "ecs:TagResource", "iam:CreateServiceLinkedRole"}),
        "ecs.tag_resource": frozenset({"ecs:TagResource"}),
        "ecs.untag_resource": frozenset({"ecs:UntagResource"}),
        "ecs.delete_cluster": frozenset({"ecs:DeleteCluster"}),
    }
    scopes = {
        "ecs:": (PermissionScope("ecs:{region}:{account}:cluster/{name}"),),
        "iam:CreateServiceLinkedRole": (
            PermissionScope(
                "iam::{account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
                {"iam:AWSServiceName": "ecs.amazonaws.com"},
            ),
        ),
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return the cluster that the Environment names."""
        if context.service is None:
            yield Node(
                context.shared_key(self.kind), {"name": context.environment.spec.cluster}, {"tags": context.tags()}
            )

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Find the clusters, a hundred names a call. A deleted one is INACTIVE for a while, which counts as absent."""
        live: dict[str, Mapping[str, Any]] = {}
        names = [target.identity["name"] for target in targets]
        for start in range(0, len(names), _BATCH_SIZE):
            some = names[start : start + _BATCH_SIZE]
            answer = aws.read("ecs", "describe_clusters", clusters=some, include=["TAGS"])
            live |= {found["clusterName"]: found for found in answer["clusters"] if found["status"] != "INACTIVE"}
        return {
            target.key: Observed(
                {"tags": parse_tags(found.get("tags", ()), "key", "value")},
                {"name": found["clusterName"], "arn": found["clusterArn"], "status": found["status"]},
            )
            for target in targets
            if (found := live.get(target.identity["name"])) is not None
        }

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Judge the status: ACTIVE is ready."""
        status = seen.outputs["status"]
        if status == "ACTIVE":
            return Ready()
        if status == "FAILED":
            return Failed(
                "ClusterFailed", f"the cluster {node.identity['name']} failed; delete it so that it is made anew"
            )
        return Waiting("Provisioning", f"the cluster {node.identity['name']} is {status}")

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the cluster, or set its tags. Creating an existing cluster returns that one, so it can be repeated."""
        name, tags = step.node.identity["name"], step.node.desired["tags"]
        if seen is None:
            made = aws.write("ecs", "create_cluster", clusterName=name, tags=to_tag_list(tags, "key", "value"))[
                "cluster"
            ]
            answered = {"name": made["clusterName"], "arn": made["clusterArn"], "status": made["status"]}
            return self.confirm(aws, step, returned_outputs=answered)
        arn = seen.outputs["arn"]
        aws.write("ecs", "tag_resource", resourceArn=arn, tags=to_tag_list(tags, "key", "value"))
        if absent := find_dropped_tags(step.changes):
            aws.write("ecs", "untag_resource", resourceArn=arn, tagKeys=absent)
        return self.confirm(aws, step, returned_outputs=seen.outputs)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the cluster once it has no service and no task."""
        try:
            aws.write("ecs", "delete_cluster", cluster=target.identity["name"])
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("InUse", str(error), requeue_after=10)
        return None
