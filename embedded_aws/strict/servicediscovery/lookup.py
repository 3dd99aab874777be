"""Shared by all parts of Cloud Map: moto's backend, errors for duplicates, filters and pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.strict.paging import build_page


def get_backend(call: ApiCall) -> Any:
    """Return moto's Cloud Map backend of the call's region."""
    return servicediscovery_backends[call.account][call.region]


def already_exists(code: str, message: str, **members: str) -> ApiError:
    """Return the error for a duplicate, with the identifiers of the existing resource that the model lists."""
    body = json.dumps({"__type": code, "Message": message, **members}).encode()
    return ApiError(code, message, response=ApiResponse(400, {"content-type": "application/x-amz-json-1.1"}, body))


def list_page(call: ApiCall, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one page of a list call, 100 items by default (ListNamespaces, ListServices)."""
    return build_page(items, call.params, name, 100, error_code="InvalidInput")


def matches_filters(call: ApiCall, values: Callable[[str], str]) -> bool:
    """Return whether a resource passes every filter of the call. `values` is filter name → the resource's value.

    EQ (the default) and BEGINS_WITH take one value, IN several (NamespaceFilter and ServiceFilter).
    """
    for entry in call.params.get("Filters") or []:
        condition, actual = entry.get("Condition", "EQ"), values(entry["Name"])
        if condition not in {"EQ", "IN", "BEGINS_WITH"} or (condition != "IN" and len(entry["Values"]) != 1):
            raise ApiError(
                "InvalidInput",
                f"Filter {entry['Name']} can't be used with {condition} and {len(entry['Values'])} values",
            )
        if condition == "BEGINS_WITH":
            if not actual.startswith(entry["Values"][0]):
                return False
        elif actual not in entry["Values"]:
            return False
    return True
