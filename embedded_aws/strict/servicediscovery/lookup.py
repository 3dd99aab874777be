"""What the parts of Cloud Map share: moto's backend, refusals that name what exists, filters and pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.strict.paging import build_page


def get_backend(call: ApiCall) -> Any:
    """Return moto's Cloud Map of the call's region."""
    return servicediscovery_backends[call.account][call.region]


def already_exists(code: str, message: str, **members: str) -> ApiError:
    """Make the refusal of a second one; the model gives it the first one's identifiers."""
    body = json.dumps({"__type": code, "Message": message, **members}).encode()
    return ApiError(code, message, response=ApiResponse(400, {"content-type": "application/x-amz-json-1.1"}, body))


def list_page(call: ApiCall, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Answer a list call with one page: at most 100 when the call doesn't say (ListNamespaces, ListServices)."""
    return build_page(items, call.params, name, 100, error_code="InvalidInput")


def matches_filters(call: ApiCall, values: Callable[[str], str]) -> bool:
    """Say whether something passes every filter of the call; `values` gives its value for a filter's name.

    EQ takes one value and is the default, BEGINS_WITH one, IN several (NamespaceFilter and ServiceFilter).
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
