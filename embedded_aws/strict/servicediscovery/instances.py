"""Instances of Cloud Map: registration, health and discovery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.gateway.forwarding import DiscoveredInstance
from embedded_aws.strict.servicediscovery.lookup import get_backend
from embedded_aws.strict.servicediscovery.services import record_types

if TYPE_CHECKING:
    from embedded_aws.emulator import Emulator


def list_healthy_instances(
    account: str, region: str, service_id: str, attributes: Mapping[str, str]
) -> list[DiscoveredInstance]:
    """List the instances of a service that an HTTP API may use.

    Safe without the emulator's lock: it copies one list, and reads values that are replaced, never changed. Source: API
    Gateway developer guide, "Create private integrations for HTTP APIs": only healthy instances; address and port must
    be among the attributes; "A" records aren't supported, SRV records are.
    """
    service = servicediscovery_backends[account][region].services.get(service_id)
    if service is None or (record_types(service) and "SRV" not in record_types(service)):
        return []
    return [
        DiscoveredInstance(instance.attributes["AWS_INSTANCE_IPV4"], int(instance.attributes["AWS_INSTANCE_PORT"]))
        for instance in list(service.instances)
        if {"AWS_INSTANCE_IPV4", "AWS_INSTANCE_PORT"} <= instance.attributes.keys()
        and (instance.health_status == "HEALTHY" or not _has_health_check(service))
        and all(instance.attributes.get(name) == value for name, value in attributes.items())
    ]


def install(emulator: Emulator) -> None:
    """Register the handlers."""
    emulator.register_handler("servicediscovery", "RegisterInstance", _register_instance)
    emulator.register_handler("servicediscovery", "UpdateInstanceCustomHealthStatus", _update_health)
    emulator.register_handler("servicediscovery", "DiscoverInstances", _discover_instances)


def _has_health_check(service: Any) -> bool:
    return service.health_check_custom_config is not None or bool(service.health_check_config)


def _get_service(call: ApiCall) -> Any:
    service = get_backend(call).services.get(call.params["ServiceId"])
    if service is None:
        raise ApiError("ServiceNotFound", f"The service {call.params['ServiceId']} does not exist")
    return service


def _register_instance(call: ApiCall) -> ApiResponse:
    """Register or update an instance (RegisterInstance).

    The attributes that the service's records need must be given. An existing InstanceId is updated (moto would keep
    both). AWS_INIT_HEALTH_STATUS sets the first status of a custom health check.
    """
    service, attributes = _get_service(call), call.params.get("Attributes") or {}
    needed = {
        "A": {"AWS_INSTANCE_IPV4"},
        "SRV": {"AWS_INSTANCE_PORT"},
        "AAAA": {"AWS_INSTANCE_IPV6"},
        "CNAME": {"AWS_INSTANCE_CNAME"},
    }
    missing = set().union(*(needed[kind] for kind in record_types(service))) - attributes.keys()
    if missing and "AWS_ALIAS_DNS_NAME" not in attributes:
        raise ApiError("InvalidInput", f"The service's DNS records need the attributes {', '.join(sorted(missing))}")
    status = attributes.get("AWS_INIT_HEALTH_STATUS", "HEALTHY")
    if status not in {"HEALTHY", "UNHEALTHY"} or (
        service.health_check_custom_config is None and "AWS_INIT_HEALTH_STATUS" in attributes
    ):
        raise ApiError(
            "InvalidInput", "AWS_INIT_HEALTH_STATUS is HEALTHY or UNHEALTHY, for services with HealthCheckCustomConfig"
        )
    answer = call.forward_to_moto()
    instance = service.instances[-1]
    instance.health_status = status
    service.instances = [
        other for other in service.instances if other.instance_id != instance.instance_id or other is instance
    ]
    return answer


def _update_health(call: ApiCall) -> ApiResponse:
    """Set an instance's custom health check. Other health checks can't be set (CustomHealthNotFound)."""
    if _get_service(call).health_check_custom_config is None:
        raise ApiError("CustomHealthNotFound", "The health check of this instance isn't a custom health check")
    return call.forward_to_moto()


def _discover_instances(call: ApiCall) -> dict[str, Any]:
    """Find instances.

    HealthStatus defaults to HEALTHY_OR_ELSE_ALL. It is ignored for services without a health check (DiscoverInstances).
    """
    backend, params = get_backend(call), call.params
    namespace = next(
        (n for n in backend.namespaces.values() if n.http_properties["HttpName"] == params["NamespaceName"]), None
    )
    if namespace is None:
        raise ApiError("NamespaceNotFound", f"The namespace {params['NamespaceName']} does not exist")
    matching = (
        s for s in backend.services.values() if (s.namespace_id, s.name) == (namespace.id, params["ServiceName"])
    )
    service = next(matching, None)
    if service is None:
        raise ApiError("ServiceNotFound", f"The service {params['ServiceName']} does not exist")
    instances = [i for i in service.instances if (params.get("QueryParameters") or {}).items() <= i.attributes.items()]
    optional = [i for i in instances if (params.get("OptionalParameters") or {}).items() <= i.attributes.items()]
    chosen = _filter_by_health(service, optional or instances, params.get("HealthStatus", "HEALTHY_OR_ELSE_ALL"))
    return {
        "Instances": [
            {
                "InstanceId": instance.instance_id,
                "NamespaceName": params["NamespaceName"],
                "ServiceName": service.name,
                "HealthStatus": instance.health_status if _has_health_check(service) else "UNKNOWN",
                "Attributes": instance.attributes,
            }
            for instance in chosen[: params.get("MaxResults") or 100]
        ],
        "InstancesRevision": sum(service.instances_revision.values()),
    }


def _filter_by_health(service: Any, instances: list[Any], status: str) -> list[Any]:
    if status == "ALL" or not _has_health_check(service):
        return instances
    if status == "UNHEALTHY":
        return [instance for instance in instances if instance.health_status == "UNHEALTHY"]
    healthy = [instance for instance in instances if instance.health_status == "HEALTHY"]
    return healthy if healthy or status == "HEALTHY" else instances
