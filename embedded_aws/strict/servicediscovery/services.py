"""Services of Cloud Map, and tags of namespaces and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.strict.servicediscovery.records import backend, exists_already, listed, passes

if TYPE_CHECKING:
    from embedded_aws.world import Handler, World

# "one of the following combinations of DNS records" (CreateService).
_COMBINATIONS = ({"A"}, {"AAAA"}, {"A", "AAAA"}, {"SRV"}, {"CNAME"})


def install(world: World) -> None:
    """Register the handlers."""
    handlers: dict[str, Handler] = {
        "CreateService": _create,
        "GetService": _get,
        "ListServices": _list,
        "DeleteService": _delete,
        "TagResource": _tagged,
        "UntagResource": _tagged,
        "ListTagsForResource": _tagged,
    }
    for operation, handler in handlers.items():
        world.handle("servicediscovery", operation, handler)


def record_types(service: Any) -> set[str]:
    """Return the types of the service's DNS records; empty when it is discovered through the API only."""
    return {record["Type"] for record in (service.dns_config or {}).get("DnsRecords", [])}


def _create(call: Call) -> dict[str, Any]:
    """Refuse a second service of the same name in a namespace (ServiceAlreadyExists), and configurations that can't be."""
    params = call.params
    dns = dict(params.get("DnsConfig") or {})
    namespace = backend(call).namespaces.get(params.get("NamespaceId") or dns.get("NamespaceId"))
    if namespace is None:
        raise Refused("NamespaceNotFound", f"The namespace {params.get('NamespaceId')} does not exist")
    for other in backend(call).services.values():
        if (other.namespace_id, other.name) == (namespace.id, params["Name"]):
            if other.creator_request_id == params.get("CreatorRequestId"):
                return {"Service": describe(other)}
            members = {
                "ServiceId": other.id,
                "ServiceArn": other.arn,
                "CreatorRequestId": other.creator_request_id or "",
            }
            raise exists_already("ServiceAlreadyExists", f"The service {other.name} already exists", **members)
    _check(namespace, params, dns)
    call.proceed()
    made = list(backend(call).services.values())[-1]
    made.namespace_id = namespace.id
    if dns:
        # MULTIVALUE is the default routing policy (DnsConfig).
        made.dns_config = {"NamespaceId": namespace.id, "RoutingPolicy": "MULTIVALUE"} | dns
    if made.health_check_custom_config is not None:
        made.health_check_custom_config = {"FailureThreshold": 1}
    made.service_type = "DNS_HTTP" if dns else "HTTP"
    return {"Service": describe(made)}


def _check(namespace: Any, params: Mapping[str, Any], dns: Mapping[str, Any]) -> None:
    if params.get("HealthCheckConfig") and params.get("HealthCheckCustomConfig") is not None:
        raise Refused("InvalidInput", "Specify either HealthCheckCustomConfig or HealthCheckConfig, not both")
    if params.get("HealthCheckConfig") and namespace.type == "DNS_PRIVATE":
        raise Refused("InvalidInput", "HealthCheckConfig is for public DNS and HTTP namespaces")
    if not dns:
        return
    if namespace.type == "HTTP" or params.get("Type") == "HTTP":
        raise Refused(
            "InvalidInput", "DnsConfig can't be specified for a service that is discovered through the API only"
        )
    types = {record.get("Type") for record in dns.get("DnsRecords", [])}
    if types not in _COMBINATIONS:
        raise Refused("InvalidInput", f"These DNS records can't be combined: {sorted(map(str, types))}")


def describe(service: Any) -> dict[str, Any]:
    """Return a service in botocore's output shape."""
    return {key: value for key, value in service.to_json().items() if value is not None} | {
        "InstanceCount": len(service.instances)
    }


def _get(call: Call) -> dict[str, Any]:
    call.proceed()
    return {"Service": describe(backend(call).services[call.params["Id"]])}


def _list(call: Call) -> dict[str, Any]:
    found = [
        service
        for service in backend(call).services.values()
        if passes(call, {"NAMESPACE_ID": service.namespace_id, "RESOURCE_OWNER": "SELF"}.__getitem__)
    ]
    return listed(call, "Services", [describe(service) for service in found])


def _delete(call: Call) -> Answer:
    """Refuse while it contains instances: "you can't delete a service that contains any instances" (ResourceInUse)."""
    service = backend(call).services.get(call.params["Id"])
    if service is None:
        raise Refused("ServiceNotFound", f"The service {call.params['Id']} does not exist")
    if service.instances:
        raise Refused(
            "ResourceInUse", f"The service {service.id} contains {len(service.instances)} registered instances"
        )
    return call.forward()


def _tagged(call: Call) -> Answer:
    """Refuse what isn't there (ResourceNotFoundException)."""
    arn, here = call.params["ResourceARN"], backend(call)
    if arn not in {thing.arn for things in (here.namespaces, here.services) for thing in things.values()}:
        raise Refused("ResourceNotFoundException", f"The resource {arn} does not exist")
    return call.forward()
