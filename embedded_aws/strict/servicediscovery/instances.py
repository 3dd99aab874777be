"""Instances of Cloud Map: registered, healthy or not, discovered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.gateway.forward import Instance
from embedded_aws.strict.servicediscovery.records import backend
from embedded_aws.strict.servicediscovery.services import record_types

if TYPE_CHECKING:
    from embedded_aws.world import World


def healthy(account: str, region: str, service_id: str, attributes: Mapping[str, str]) -> list[Instance]:
    """List the instances of a service that an HTTP API may use.

    Safe without the world's lock: it copies one list, and looks at values that are replaced, never changed. Source: API Gateway developer
    guide, "Create private integrations for HTTP APIs": the healthy ones only; address and port must be among the attributes; "A" records
    aren't supported, SRV are.
    """
    service = servicediscovery_backends[account][region].services.get(service_id)
    if service is None or (record_types(service) and "SRV" not in record_types(service)):
        return []
    return [
        Instance(instance.attributes["AWS_INSTANCE_IPV4"], int(instance.attributes["AWS_INSTANCE_PORT"]))
        for instance in list(service.instances)
        if {"AWS_INSTANCE_IPV4", "AWS_INSTANCE_PORT"} <= instance.attributes.keys()
        and (instance.health_status == "HEALTHY" or not _has_check(service))
        and all(instance.attributes.get(name) == value for name, value in attributes.items())
    ]


def install(world: World) -> None:
    """Register the handlers."""
    world.handle("servicediscovery", "RegisterInstance", _register)
    world.handle("servicediscovery", "UpdateInstanceCustomHealthStatus", _update_health)
    world.handle("servicediscovery", "DiscoverInstances", _discover)


def _has_check(service: Any) -> bool:
    return service.health_check_custom_config is not None or bool(service.health_check_config)


def _service(call: Call) -> Any:
    service = backend(call).services.get(call.params["ServiceId"])
    if service is None:
        raise Refused("ServiceNotFound", f"The service {call.params['ServiceId']} does not exist")
    return service


def _register(call: Call) -> Answer:
    """Register or update an instance (RegisterInstance).

    The attributes that the service's records need must be there, an existing InstanceId is updated (moto would keep both), and
    AWS_INIT_HEALTH_STATUS sets the first status of a custom health check.
    """
    service, attributes = _service(call), call.params.get("Attributes") or {}
    needed = {
        "A": {"AWS_INSTANCE_IPV4"},
        "SRV": {"AWS_INSTANCE_PORT"},
        "AAAA": {"AWS_INSTANCE_IPV6"},
        "CNAME": {"AWS_INSTANCE_CNAME"},
    }
    missing = set().union(*(needed[kind] for kind in record_types(service))) - attributes.keys()
    if missing and "AWS_ALIAS_DNS_NAME" not in attributes:
        raise Refused("InvalidInput", f"The service's DNS records need the attributes {', '.join(sorted(missing))}")
    status = attributes.get("AWS_INIT_HEALTH_STATUS", "HEALTHY")
    if status not in {"HEALTHY", "UNHEALTHY"} or (
        service.health_check_custom_config is None and "AWS_INIT_HEALTH_STATUS" in attributes
    ):
        raise Refused(
            "InvalidInput", "AWS_INIT_HEALTH_STATUS is HEALTHY or UNHEALTHY, for services with HealthCheckCustomConfig"
        )
    answer = call.forward()
    made = service.instances[-1]
    made.health_status = status
    service.instances = [other for other in service.instances if other.instance_id != made.instance_id or other is made]
    return answer


def _update_health(call: Call) -> Answer:
    """Only custom health checks can be set (CustomHealthNotFound)."""
    if _service(call).health_check_custom_config is None:
        raise Refused("CustomHealthNotFound", "The health check of this instance isn't a custom health check")
    return call.forward()


def _discover(call: Call) -> dict[str, Any]:
    """Find instances; HealthStatus defaults to HEALTHY_OR_ELSE_ALL, and is ignored without a health check (DiscoverInstances)."""
    here, params = backend(call), call.params
    namespace = next(
        (n for n in here.namespaces.values() if n.http_properties["HttpName"] == params["NamespaceName"]), None
    )
    if namespace is None:
        raise Refused("NamespaceNotFound", f"The namespace {params['NamespaceName']} does not exist")
    found = (s for s in here.services.values() if (s.namespace_id, s.name) == (namespace.id, params["ServiceName"]))
    service = next(found, None)
    if service is None:
        raise Refused("ServiceNotFound", f"The service {params['ServiceName']} does not exist")
    instances = [i for i in service.instances if (params.get("QueryParameters") or {}).items() <= i.attributes.items()]
    optional = [i for i in instances if (params.get("OptionalParameters") or {}).items() <= i.attributes.items()]
    chosen = _by_health(service, optional or instances, params.get("HealthStatus", "HEALTHY_OR_ELSE_ALL"))
    return {
        "Instances": [
            {
                "InstanceId": instance.instance_id,
                "NamespaceName": params["NamespaceName"],
                "ServiceName": service.name,
                "HealthStatus": instance.health_status if _has_check(service) else "UNKNOWN",
                "Attributes": instance.attributes,
            }
            for instance in chosen[: params.get("MaxResults") or 100]
        ],
        "InstancesRevision": sum(service.instances_revision.values()),
    }


def _by_health(service: Any, instances: list[Any], wanted: str) -> list[Any]:
    if wanted == "ALL" or not _has_check(service):
        return instances
    if wanted == "UNHEALTHY":
        return [instance for instance in instances if instance.health_status == "UNHEALTHY"]
    good = [instance for instance in instances if instance.health_status == "HEALTHY"]
    return good if good or wanted == "HEALTHY" else instances
