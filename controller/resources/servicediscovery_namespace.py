"""The Cloud Map namespace in which an environment's tasks are registered, so that the API finds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controller.aws import Aws
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import dropped_tags, tag_list, tags_of
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Ready, Verdict, Waiting
from controller.core.values import Key, Ref, digest
from controller.core.wanted import Wanted
from controller.errors import ConflictError, FailedError, MissingError
from controller.resources.base import MADE_OURS, OURS, Resource, Scope


class Namespace(Resource):
    """A private DNS namespace. AWS makes and deletes one in the background, as an operation that can be asked about."""

    kind = "servicediscovery/namespace"
    # AWS doesn't tell a namespace's VPC. It hardly matters: API Gateway asks Cloud Map, not the VPC's DNS.
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
        "servicediscovery:CreatePrivateDnsNamespace": (Scope("*", MADE_OURS),),
        "servicediscovery:TagResource": (Scope("*", MADE_OURS),),
        "servicediscovery:GetOperation": (Scope("servicediscovery:{region}:{account}:namespace/*"),),
        "servicediscovery:": (Scope("servicediscovery:{region}:{account}:namespace/*", OURS),),
        "route53:": (Scope("route53:::hostedzone/*"),),
    }

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One namespace for the environment."""
        if want.service is None and want.makes_models:
            vpc = Ref(want.shared("ec2/network"), "vpc_id")
            name = f"{want.physical_name(limit=63)}.internal"
            yield Node(want.shared(self.kind), {"name": name}, {"vpc": vpc, "tags": want.tags()})

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List the private namespaces and match by name; one that is still being made is known by its operation."""
        only_private = [{"Name": "TYPE", "Values": ["DNS_PRIVATE"], "Condition": "EQ"}]
        listed = aws.pages("servicediscovery", "list_namespaces", "Namespaces", Filters=only_private)
        live = {namespace["Name"]: namespace for namespace in listed}
        found = {}
        for target in targets:
            namespace = live.get(target.identity["name"])
            if namespace is not None:
                tags = aws.read("servicediscovery", "list_tags_for_resource", ResourceARN=namespace["Arn"])["Tags"]
                outputs = {"name": namespace["Name"], "id": namespace["Id"], "arn": namespace["Arn"]}
                found[target.key] = Observed({"tags": tags_of(tags)}, outputs)
            elif "operation" in target.known and _status(aws, target.known["operation"])[0] not in ("FAIL", "SUCCESS"):
                found[target.key] = Observed({"tags": target.known["tags"]}, target.known)
        return found

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Ready once it has an id."""
        if "id" in seen.outputs:
            return Ready()
        return Waiting("Creating", f"Cloud Map is making {node.identity['name']}", after=5)

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Ask for the namespace, or set its tags. Raises FailedError when AWS gave up making it."""
        target = Target(step.node.key, step.node.identity)
        tags = step.node.desired["tags"]
        if seen is None:
            target = self._create(aws, step)
        elif "arn" in seen.outputs:
            aws.write("servicediscovery", "tag_resource", ResourceARN=seen.outputs["arn"], Tags=tag_list(tags))
            if gone := dropped_tags(step.changes):
                aws.write("servicediscovery", "untag_resource", ResourceARN=seen.outputs["arn"], TagKeys=gone)
        return self.observe(aws, [target]).get(target.key) or Observed({"tags": tags}, target.known)

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Ask AWS to delete the namespace, and wait until it is gone. It must hold no service."""
        found = self.observe(aws, [target]).get(target.key)
        if found is None:
            return None
        if "id" not in found.outputs:
            return Waiting("Creating", "it can't be deleted before it is made", after=5)
        try:
            aws.write("servicediscovery", "delete_namespace", Id=found.outputs["id"])
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("InUse", str(error), after=5)
        gone = target.key not in self.observe(aws, [target])
        return None if gone else Waiting("Deleting", f"Cloud Map is deleting {target.identity['name']}", after=5)

    def _create(self, aws: Aws, step: Step) -> Target:
        """Ask for it. A repeated request with this id is the same request; a name can be taken once in a VPC."""
        name, want = step.node.identity["name"], step.node.desired
        answer = aws.write(
            "servicediscovery",
            "create_private_dns_namespace",
            Name=name,
            Vpc=want["vpc"],
            CreatorRequestId=digest(name, want["vpc"]),
            Description=f"Moorage: {step.node.key}",
            Tags=tag_list(want["tags"]),
        )
        status, message = _status(aws, answer["OperationId"])
        if status == "FAIL":
            raise FailedError("Cloud Map could not make the namespace", where=str(step.node.key), why=message)
        known = {"operation": answer["OperationId"], "tags": want["tags"]}
        return Target(step.node.key, step.node.identity, known)


def _status(aws: Aws, operation: str) -> tuple[str, str]:
    """SUBMITTED, PENDING, SUCCESS or FAIL, with the reason of a failure. Operations are forgotten after some weeks."""
    try:
        answer = aws.read("servicediscovery", "get_operation", OperationId=operation)["Operation"]
    except MissingError:
        return "SUCCESS", ""
    return answer["Status"], answer.get("ErrorMessage", "")
