"""The Cloud Map namespace in which an environment's tasks are registered, so that the API finds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import find_dropped_tags, parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Ready, Verdict, Waiting
from controller.core.values import Key, Ref, digest
from controller.errors import ConflictError, FailedError, MissingError
from controller.resources.base import OWNED_REQUEST_CONDITION, OWNED_RESOURCE_CONDITION, PermissionScope, Resource


class DiscoveryNamespace(Resource):
    """A private DNS namespace. AWS creates and deletes one in the background, as an operation that has a status."""

    kind = "servicediscovery/namespace"
    # AWS doesn't return a namespace's VPC. It hardly matters: API Gateway reads Cloud Map, not the VPC's DNS.
    policy = FieldPolicy(ignore=frozenset({"vpc"}))
    permissions = {
        "servicediscovery.list_namespaces": frozenset({"servicediscovery:ListNamespaces"}),
        "servicediscovery.list_tags_for_resource": frozenset({"servicediscovery:ListTagsForResource"}),
        "servicediscovery.get_operation": frozenset({"servicediscovery:GetOperation"}),
        "servicediscovery.create_private_dns_namespace": frozenset(
            {
                "servicediscovery:CreatePrivateDnsNamespace",
                "servicediscovery:TagResource",
                "route53:CreateHostedZone",
                "route53:GetHostedZone",
                "route53:ListHostedZonesByName",
                "ec2:DescribeVpcs",
                "ec2:DescribeRegions",
            }
        ),
        "servicediscovery.tag_resource": frozenset({"servicediscovery:TagResource"}),
        "servicediscovery.untag_resource": frozenset({"servicediscovery:UntagResource"}),
        "servicediscovery.delete_namespace": frozenset(
            {"servicediscovery:DeleteNamespace", "route53:DeleteHostedZone"}
        ),
    }
    scopes = {
        "servicediscovery:CreatePrivateDnsNamespace": (PermissionScope("*", OWNED_REQUEST_CONDITION),),
        "servicediscovery:TagResource": (PermissionScope("*", OWNED_REQUEST_CONDITION),),
        "servicediscovery:GetOperation": (PermissionScope("servicediscovery:{region}:{account}:namespace/*"),),
        "servicediscovery:": (
            PermissionScope("servicediscovery:{region}:{account}:namespace/*", OWNED_RESOURCE_CONDITION),
        ),
        "route53:": (PermissionScope("route53:::hostedzone/*"),),
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one namespace for the environment."""
        if context.service is None and context.needs_training_resources:
            vpc = Ref(context.shared_key("ec2/network"), "vpc_id")
            name = f"{context.physical_name(limit=63)}.internal"
            yield Node(context.shared_key(self.kind), {"name": name}, {"vpc": vpc, "tags": context.tags()})

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List the private namespaces and match by name; a namespace in creation is known by its operation."""
        only_private = [{"Name": "TYPE", "Values": ["DNS_PRIVATE"], "Condition": "EQ"}]
        listed = aws.iter_items("servicediscovery", "list_namespaces", "Namespaces", Filters=only_private)
        live = {namespace["Name"]: namespace for namespace in listed}
        found = {}
        for target in targets:
            namespace = live.get(target.identity["name"])
            if namespace is not None:
                tags = aws.read("servicediscovery", "list_tags_for_resource", ResourceARN=namespace["Arn"])["Tags"]
                outputs = {"name": namespace["Name"], "id": namespace["Id"], "arn": namespace["Arn"]}
                found[target.key] = Observed({"tags": parse_tags(tags)}, outputs)
            elif "operation" in target.known_outputs and _operation_status(aws, target.known_outputs["operation"])[
                0
            ] not in ("FAIL", "SUCCESS"):
                found[target.key] = Observed({"tags": target.known_outputs["tags"]}, target.known_outputs)
        return found

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Return ready once it has an id."""
        if "id" in seen.outputs:
            return Ready()
        return Waiting("Creating", f"Cloud Map is making {node.identity['name']}", requeue_after=5)

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Request the namespace, or set its tags. Raises FailedError if AWS failed to create it."""
        target = Target(step.node.key, step.node.identity)
        tags = step.node.desired["tags"]
        if seen is None:
            target = self._create(aws, step)
        elif "arn" in seen.outputs:
            aws.write("servicediscovery", "tag_resource", ResourceARN=seen.outputs["arn"], Tags=to_tag_list(tags))
            if absent := find_dropped_tags(step.changes):
                aws.write("servicediscovery", "untag_resource", ResourceARN=seen.outputs["arn"], TagKeys=absent)
        return self.observe(aws, [target]).get(target.key) or Observed({"tags": tags}, target.known_outputs)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Request the deletion, and wait until the namespace is deleted. It must contain no service."""
        found = self.observe(aws, [target]).get(target.key)
        if found is None:
            return None
        if "id" not in found.outputs:
            return Waiting("Creating", "it can't be deleted before it is made", requeue_after=5)
        try:
            aws.write("servicediscovery", "delete_namespace", Id=found.outputs["id"])
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("InUse", str(error), requeue_after=5)
        absent = target.key not in self.observe(aws, [target])
        return (
            None if absent else Waiting("Deleting", f"Cloud Map is deleting {target.identity['name']}", requeue_after=5)
        )

    def _create(self, aws: AwsClient, step: Step) -> Target:
        """Request the namespace. A repeated request with this id is the same request; a VPC accepts a name once."""
        name, context = step.node.identity["name"], step.node.desired
        answer = aws.write(
            "servicediscovery",
            "create_private_dns_namespace",
            Name=name,
            Vpc=context["vpc"],
            CreatorRequestId=digest(name, context["vpc"]),
            Description=f"Moorage: {step.node.key}",
            Tags=to_tag_list(context["tags"]),
        )
        status, message = _operation_status(aws, answer["OperationId"])
        if status == "FAIL":
            raise FailedError("Cloud Map could not make the namespace", where=str(step.node.key), why=message)
        known = {"operation": answer["OperationId"], "tags": context["tags"]}
        return Target(step.node.key, step.node.identity, known)


def _operation_status(aws: AwsClient, operation: str) -> tuple[str, str]:
    """Return SUBMITTED, PENDING, SUCCESS or FAIL, and the reason of a failure.

    AWS forgets operations after some weeks.
    """
    try:
        answer = aws.read("servicediscovery", "get_operation", OperationId=operation)["Operation"]
    except MissingError:
        return "SUCCESS", ""
    return answer["Status"], answer.get("ErrorMessage", "")
