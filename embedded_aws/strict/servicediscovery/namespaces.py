"""Namespaces of Cloud Map."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.strict.servicediscovery.lookup import already_exists, get_backend, list_page, matches_filters

if TYPE_CHECKING:
    from embedded_aws.emulator import Emulator

_TYPES = {
    "CreateHttpNamespace": "HTTP",
    "CreatePrivateDnsNamespace": "DNS_PRIVATE",
    "CreatePublicDnsNamespace": "DNS_PUBLIC",
}


def install(emulator: Emulator) -> None:
    """Register the handlers."""
    namespaces = _NamespaceHandlers()
    for operation in _TYPES:
        emulator.register_handler("servicediscovery", operation, namespaces.create)
    emulator.register_handler("servicediscovery", "DeleteNamespace", _delete_namespace)
    emulator.register_handler("servicediscovery", "GetNamespace", _get_namespace)
    emulator.register_handler("servicediscovery", "ListNamespaces", _list_namespaces)
    emulator.on_reset(namespaces.clear)


class _NamespaceHandlers:
    """The handlers. They keep what moto doesn't: each private namespace's VPC, and the operation of each request."""

    def __init__(self) -> None:
        self._vpcs: dict[str, str] = {}
        self._operations: dict[str, str] = {}

    def clear(self) -> None:
        self._vpcs.clear()
        self._operations.clear()

    def create(self, call: ApiCall) -> dict[str, Any]:
        """Create a namespace. Refuse a second one of the same type and name (NamespaceAlreadyExists).

        A repeated CreatorRequestId is the same request and gets the same operation: it "allows failed requests to be
        retried without the risk of running the operation twice".
        """
        name, kind, vpc = call.params["Name"], _TYPES[call.operation], call.params.get("Vpc", "")
        if kind == "DNS_PRIVATE" and not _vpc_exists(call, vpc):
            raise ApiError("InvalidInput", f"The VPC {vpc} does not exist")
        for other in get_backend(call).namespaces.values():
            if (other.name, other.type, self._vpcs.get(other.id, "")) != (name, kind, vpc):
                continue
            if other.creator_request_id == call.params.get("CreatorRequestId") and other.id in self._operations:
                return {"OperationId": self._operations[other.id]}
            message = f"The namespace {name} already exists"
            members = {"NamespaceId": other.id, "CreatorRequestId": other.creator_request_id or ""}
            raise already_exists("NamespaceAlreadyExists", message, **members)
        answer = call.call_moto()
        namespace = list(get_backend(call).namespaces.values())[-1]
        self._operations[namespace.id] = answer["OperationId"]
        self._vpcs[namespace.id] = vpc
        # moto allows one private namespace per VPC, whatever its name; AWS allows many with different names.
        namespace.vpc = None
        namespace.http_properties = {"HttpName": _build_http_name(call, namespace)}
        return answer


def _vpc_exists(call: ApiCall, vpc: str) -> bool:
    return vpc in ec2_backends[call.account][call.region].vpcs


def _build_http_name(call: ApiCall, namespace: Any) -> str:
    """Return the name for DiscoverInstances.

    "If you reuse Name […], a generated hash is added to HttpName" (DiscoverInstances).
    """
    reused = any(
        other.name == namespace.name for other in get_backend(call).namespaces.values() if other is not namespace
    )
    return f"{namespace.name}-{secrets.token_hex(4)}" if reused else namespace.name


def _describe_namespace(call: ApiCall, namespace: Any) -> dict[str, Any]:
    services = [service for service in get_backend(call).services.values() if service.namespace_id == namespace.id]
    return {key: value for key, value in namespace.to_json().items() if value is not None} | {
        "ServiceCount": len(services)
    }


def _get_namespace(call: ApiCall) -> dict[str, Any]:
    call.call_moto()
    return {"Namespace": _describe_namespace(call, get_backend(call).namespaces[call.params["Id"]])}


def _list_namespaces(call: ApiCall) -> dict[str, Any]:
    matching = [
        namespace
        for namespace in get_backend(call).namespaces.values()
        if matches_filters(
            call,
            {
                "TYPE": namespace.type,
                "NAME": namespace.name,
                "HTTP_NAME": namespace.http_properties["HttpName"],
                "RESOURCE_OWNER": "SELF",
            }.__getitem__,
        )
    ]
    return list_page(call, "Namespaces", [_describe_namespace(call, namespace) for namespace in matching])


def _delete_namespace(call: ApiCall) -> ApiResponse:
    """Delete a namespace. Refuse while it contains services (ResourceInUse)."""
    if any(service.namespace_id == call.params["Id"] for service in get_backend(call).services.values()):
        raise ApiError("ResourceInUse", f"The namespace {call.params['Id']} contains services")
    return call.forward_to_moto()
