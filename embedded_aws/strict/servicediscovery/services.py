"""Services of Cloud Map, and tags of namespaces and services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.strict.servicediscovery.lookup import already_exists, get_backend, list_page, matches_filters

if TYPE_CHECKING:
    from embedded_aws.emulator import Emulator, Handler

# "one of the following combinations of DNS records" (CreateService).
_COMBINATIONS = ({"A"}, {"AAAA"}, {"A", "AAAA"}, {"SRV"}, {"CNAME"})


def install(emulator: Emulator) -> None:
    """Register the handlers."""
    handlers: dict[str, Handler] = {
        "CreateService": _create_service,
        "GetService": _get_service,
        "ListServices": _list_services,
        "DeleteService": _delete_service,
        "TagResource": _require_resource,
        "UntagResource": _require_resource,
        "ListTagsForResource": _require_resource,
    }
    for operation, handler in handlers.items():
        emulator.register_handler("servicediscovery", operation, handler)


def record_types(service: Any) -> set[str]:
    """Return the types of the service's DNS records; an empty set when only the API discovers it."""
    return {record["Type"] for record in (service.dns_config or {}).get("DnsRecords", [])}


def _create_service(call: ApiCall) -> dict[str, Any]:
    """Create a service. Refuse a second one of the same name in a namespace, and invalid configurations.

    The error for a duplicate is ServiceAlreadyExists.
    """
    params = call.params
    dns = dict(params.get("DnsConfig") or {})
    namespace = get_backend(call).namespaces.get(params.get("NamespaceId") or dns.get("NamespaceId"))
    if namespace is None:
        raise ApiError("NamespaceNotFound", f"The namespace {params.get('NamespaceId')} does not exist")
    for other in get_backend(call).services.values():
        if (other.namespace_id, other.name) == (namespace.id, params["Name"]):
            if other.creator_request_id == params.get("CreatorRequestId"):
                return {"Service": describe_service(other)}
            members = {
                "ServiceId": other.id,
                "ServiceArn": other.arn,
                "CreatorRequestId": other.creator_request_id or "",
            }
            raise already_exists("ServiceAlreadyExists", f"The service {other.name} already exists", **members)
    _validate_service(namespace, params, dns)
    call.call_moto()
    service = list(get_backend(call).services.values())[-1]
    service.namespace_id = namespace.id
    if dns:
        # MULTIVALUE is the default routing policy (DnsConfig).
        service.dns_config = {"NamespaceId": namespace.id, "RoutingPolicy": "MULTIVALUE"} | dns
    if service.health_check_custom_config is not None:
        service.health_check_custom_config = {"FailureThreshold": 1}
    service.service_type = "DNS_HTTP" if dns else "HTTP"
    return {"Service": describe_service(service)}


def _validate_service(namespace: Any, params: Mapping[str, Any], dns: Mapping[str, Any]) -> None:
    if params.get("HealthCheckConfig") and params.get("HealthCheckCustomConfig") is not None:
        raise ApiError("InvalidInput", "Specify either HealthCheckCustomConfig or HealthCheckConfig, not both")
    if params.get("HealthCheckConfig") and namespace.type == "DNS_PRIVATE":
        raise ApiError("InvalidInput", "HealthCheckConfig is for public DNS and HTTP namespaces")
    if not dns:
        return
    if namespace.type == "HTTP" or params.get("Type") == "HTTP":
        raise ApiError(
            "InvalidInput", "DnsConfig can't be specified for a service that is discovered through the API only"
        )
    types = {record.get("Type") for record in dns.get("DnsRecords", [])}
    if types not in _COMBINATIONS:
        raise ApiError("InvalidInput", f"These DNS records can't be combined: {sorted(map(str, types))}")


def describe_service(service: Any) -> dict[str, Any]:
    """Return a service in botocore's output shape."""
    return {key: value for key, value in service.to_json().items() if value is not None} | {
        "InstanceCount": len(service.instances)
    }


def _get_service(call: ApiCall) -> dict[str, Any]:
    call.call_moto()
    return {"Service": describe_service(get_backend(call).services[call.params["Id"]])}


def _list_services(call: ApiCall) -> dict[str, Any]:
    matching = [
        service
        for service in get_backend(call).services.values()
        if matches_filters(call, {"NAMESPACE_ID": service.namespace_id, "RESOURCE_OWNER": "SELF"}.__getitem__)
    ]
    return list_page(call, "Services", [describe_service(service) for service in matching])


def _delete_service(call: ApiCall) -> ApiResponse:
    """Delete a service.

    "you can't delete a service that contains any instances" (ResourceInUse).
    """
    service = get_backend(call).services.get(call.params["Id"])
    if service is None:
        raise ApiError("ServiceNotFound", f"The service {call.params['Id']} does not exist")
    if service.instances:
        raise ApiError(
            "ResourceInUse", f"The service {service.id} contains {len(service.instances)} registered instances"
        )
    return call.forward_to_moto()


def _require_resource(call: ApiCall) -> ApiResponse:
    """Raise ApiError when the resource doesn't exist (ResourceNotFoundException)."""
    arn, backend = call.params["ResourceARN"], get_backend(call)
    if arn not in {thing.arn for things in (backend.namespaces, backend.services) for thing in things.values()}:
        raise ApiError("ResourceNotFoundException", f"The resource {arn} does not exist")
    return call.forward_to_moto()
