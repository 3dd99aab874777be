"""Namespaces of Cloud Map."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.strict.servicediscovery.records import backend, exists_already, listed, passes

if TYPE_CHECKING:
    from embedded_aws.world import World

_TYPES = {
    "CreateHttpNamespace": "HTTP",
    "CreatePrivateDnsNamespace": "DNS_PRIVATE",
    "CreatePublicDnsNamespace": "DNS_PUBLIC",
}


def install(world: World) -> None:
    """Register the handlers."""
    namespaces = _Namespaces()
    for operation in _TYPES:
        world.handle("servicediscovery", operation, namespaces.create)
    world.handle("servicediscovery", "DeleteNamespace", _delete)
    world.handle("servicediscovery", "GetNamespace", _get)
    world.handle("servicediscovery", "ListNamespaces", _list)
    world.on_reset(namespaces.clear)


class _Namespaces:
    """Remembers what moto doesn't: each private namespace's VPC, and which operation made what."""

    def __init__(self) -> None:
        self._vpcs: dict[str, str] = {}
        self._operations: dict[str, str] = {}

    def clear(self) -> None:
        self._vpcs.clear()
        self._operations.clear()

    def create(self, call: Call) -> dict[str, Any]:
        """Refuse a second namespace of the same type and name (NamespaceAlreadyExists).

        A repeated CreatorRequestId is the same request again and gets the same operation: it "allows failed requests to be retried without
        the risk of running the operation twice".
        """
        name, kind, vpc = call.params["Name"], _TYPES[call.operation], call.params.get("Vpc", "")
        if kind == "DNS_PRIVATE" and not _vpc_exists(call, vpc):
            raise Refused("InvalidInput", f"The VPC {vpc} does not exist")
        for other in backend(call).namespaces.values():
            if (other.name, other.type, self._vpcs.get(other.id, "")) != (name, kind, vpc):
                continue
            if other.creator_request_id == call.params.get("CreatorRequestId") and other.id in self._operations:
                return {"OperationId": self._operations[other.id]}
            message = f"The namespace {name} already exists"
            members = {"NamespaceId": other.id, "CreatorRequestId": other.creator_request_id or ""}
            raise exists_already("NamespaceAlreadyExists", message, **members)
        answer = call.proceed()
        made = list(backend(call).namespaces.values())[-1]
        self._operations[made.id] = answer["OperationId"]
        self._vpcs[made.id] = vpc
        # moto allows one private namespace a VPC, whatever its name; AWS many of different names.
        made.vpc = None
        made.http_properties = {"HttpName": _http_name(call, made)}
        return answer


def _vpc_exists(call: Call, vpc: str) -> bool:
    return vpc in ec2_backends[call.account][call.region].vpcs


def _http_name(call: Call, made: Any) -> str:
    """Return the name for DiscoverInstances: "if you reuse Name […], a generated hash is added to HttpName" (DiscoverInstances)."""
    reused = any(other.name == made.name for other in backend(call).namespaces.values() if other is not made)
    return f"{made.name}-{secrets.token_hex(4)}" if reused else made.name


def _describe(call: Call, namespace: Any) -> dict[str, Any]:
    services = [service for service in backend(call).services.values() if service.namespace_id == namespace.id]
    return {key: value for key, value in namespace.to_json().items() if value is not None} | {
        "ServiceCount": len(services)
    }


def _get(call: Call) -> dict[str, Any]:
    call.proceed()
    return {"Namespace": _describe(call, backend(call).namespaces[call.params["Id"]])}


def _list(call: Call) -> dict[str, Any]:
    found = [
        namespace
        for namespace in backend(call).namespaces.values()
        if passes(
            call,
            {
                "TYPE": namespace.type,
                "NAME": namespace.name,
                "HTTP_NAME": namespace.http_properties["HttpName"],
                "RESOURCE_OWNER": "SELF",
            }.__getitem__,
        )
    ]
    return listed(call, "Namespaces", [_describe(call, namespace) for namespace in found])


def _delete(call: Call) -> Answer:
    """Refuse while it contains services (ResourceInUse)."""
    if any(service.namespace_id == call.params["Id"] for service in backend(call).services.values()):
        raise Refused("ResourceInUse", f"The namespace {call.params['Id']} contains services")
    return call.forward()
