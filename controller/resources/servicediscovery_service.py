"""The Cloud Map service that a model's tasks are registered in. The API's integration names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import find_dropped_tags, parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key, Ref, digest
from controller.errors import ConflictError, MissingError
from controller.resources.base import OWNED_REQUEST_CONDITION, OWNED_RESOURCE_CONDITION, PermissionScope, Resource

# An HTTP API takes the port from SRV records and doesn't support A records alone.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-private.html
_DNS_RECORDS = [{"Type": "SRV", "TTL": 10}]


class DiscoveryService(Resource):
    """One service for each ModelService. ECS registers tasks in it and reports which are healthy."""

    kind = "servicediscovery/service"
    condition_type = "Deployed"
    policy = FieldPolicy(keyed={"records": "Type"}, owned=frozenset({"records"}))
    permissions = {
        "servicediscovery.list_services": frozenset({"servicediscovery:ListServices"}),
        "servicediscovery.get_service": frozenset({"servicediscovery:GetService"}),
        "resourcegroupstaggingapi.get_resources": frozenset({"tag:GetResources"}),
        "servicediscovery.list_tags_for_resource": frozenset({"servicediscovery:ListTagsForResource"}),
        "servicediscovery.create_service": frozenset(
            {"servicediscovery:CreateService", "servicediscovery:TagResource"}
        ),
        "servicediscovery.update_service": frozenset(
            {"servicediscovery:UpdateService", "route53:ChangeResourceRecordSets"}
        ),
        "servicediscovery.tag_resource": frozenset({"servicediscovery:TagResource"}),
        "servicediscovery.untag_resource": frozenset({"servicediscovery:UntagResource"}),
        "servicediscovery.delete_service": frozenset({"servicediscovery:DeleteService"}),
    }
    scopes = {
        "servicediscovery:CreateService": (
            PermissionScope("servicediscovery:{region}:{account}:namespace/*", OWNED_RESOURCE_CONDITION),
            PermissionScope("servicediscovery:{region}:{account}:service/*", OWNED_REQUEST_CONDITION),
        ),
        "servicediscovery:TagResource": (PermissionScope("*", OWNED_REQUEST_CONDITION),),
        "servicediscovery:": (
            PermissionScope("servicediscovery:{region}:{account}:service/*", OWNED_RESOURCE_CONDITION),
        ),
        "route53:": (PermissionScope("route53:::hostedzone/*"),),
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one service for the model: in the environment's namespace, or the one that the spec names."""
        if context.service is None:
            return
        if context.service.spec.service.discovery is not None:
            # Its records stay as its creator chose them, because callers rely on them.
            named = {"id": context.service.spec.service.discovery}
            yield Node(
                context.own_key(self.kind), named, {"tags": context.tags()}, reference_field="spec.service.discovery"
            )
            return
        if context.trainable_spec is None:  # registered nowhere when it was imported
            return
        identity = {
            "namespace": Ref(context.shared_key("servicediscovery/namespace"), "id"),
            "name": context.owner.name,
        }
        yield Node(context.own_key(self.kind), identity, {"records": _DNS_RECORDS, "tags": context.tags()})

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List each namespace's services once, and match by name; all of the Region's if one is known by its id.

        A single known service is read by its id.
        """
        if (
            len(targets) == 1
            and not self.should_list(targets)
            and (known := _observe_known(aws, targets[0])) is not None
        ):
            return {targets[0].key: known}
        found: dict[Key, Mapping[str, Any]] = {}
        for namespace in sorted({target.identity.get("namespace", "") for target in targets}):
            inside = [{"Name": "NAMESPACE_ID", "Values": [namespace], "Condition": "EQ"}] if namespace else []
            listed = aws.list_items("servicediscovery", "list_services", "Services", Filters=inside)
            field, name = ("Name", "name") if namespace else ("Id", "id")
            live = {service[field]: service for service in listed}
            mine = (target for target in targets if target.identity.get("namespace", "") == namespace)
            found |= {target.key: live[target.identity[name]] for target in mine if target.identity[name] in live}
        arns = {key: service["Arn"] for key, service in found.items()}
        tags = self.fetch_tags_by_key(aws, arns, targets, lambda arn: _fetch_tags(aws, arn))
        return {key: _observed(service, tags[key]) for key, service in found.items()}

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the service, or set its records and tags."""
        context = step.node.desired
        if seen is None:
            return self.confirm(aws, step, {"id": self._create(aws, step)})
        arn = seen.outputs["arn"]
        if seen.fields["records"] != context.get("records", seen.fields["records"]):
            change = {"DnsConfig": {"DnsRecords": context["records"]}}
            aws.write("servicediscovery", "update_service", Id=seen.outputs["id"], Service=change)
        if seen.fields["tags"] != context["tags"]:
            aws.write("servicediscovery", "tag_resource", ResourceARN=arn, Tags=to_tag_list(context["tags"]))
            if absent := find_dropped_tags(step.changes):
                aws.write("servicediscovery", "untag_resource", ResourceARN=arn, TagKeys=absent)
        return self.confirm(aws, step, seen.outputs)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the service once no task is registered in it."""
        found = self.observe(aws, [target]).get(target.key)
        if found is None:
            return None
        try:
            aws.write("servicediscovery", "delete_service", Id=found.outputs["id"])
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("InUse", str(error), requeue_after=5)
        return None

    def _create(self, aws: AwsClient, step: Step) -> str:
        identity, context = step.node.identity, step.node.desired
        answer = aws.write(
            "servicediscovery",
            "create_service",
            Name=identity["name"],
            NamespaceId=identity["namespace"],
            CreatorRequestId=digest(identity),
            DnsConfig={"RoutingPolicy": "MULTIVALUE", "DnsRecords": context["records"]},
            # ECS reports the health of tasks here; the threshold is fixed at 1.
            HealthCheckCustomConfig={"FailureThreshold": 1},
            Tags=to_tag_list(context["tags"]),
        )
        return str(answer["Service"]["Id"])


def _observe_known(aws: AwsClient, target: Target) -> Observed | None:
    if "id" not in target.known_outputs:
        return None
    try:
        service = aws.read("servicediscovery", "get_service", Id=target.known_outputs["id"])["Service"]
    except MissingError:
        return None
    return _observed(service, _fetch_tags(aws, service["Arn"]))


def _fetch_tags(aws: AwsClient, arn: str) -> dict[str, str]:
    return parse_tags(aws.read("servicediscovery", "list_tags_for_resource", ResourceARN=arn)["Tags"])


def _observed(service: Mapping[str, Any], tags: Mapping[str, str]) -> Observed:
    fields = {"records": service.get("DnsConfig", {}).get("DnsRecords", []), "tags": dict(tags)}
    return Observed(fields, {"id": service["Id"], "arn": service["Arn"]})
