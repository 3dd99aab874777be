"""SageMaker's Search over the model registry's versions, which this program keeps. moto answers all else.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Search.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.constraints import validate_input
from embedded_aws.strict.paging import build_page

ListVersions = Callable[[str], Iterable[Mapping[str, Any]]]


def search(call: ApiCall, list_versions: ListVersions) -> ApiResponse | dict[str, Any]:
    """Return a page of the matching versions. `list_versions` returns all versions of a region.

    Refuses TrainingJob: moto keeps no states of jobs, so its answer would be wrong.
    """
    validate_input(call)
    resource = call.params["Resource"]
    if resource == "TrainingJob":
        raise ApiError("NotImplemented", "The embedded AWS can't search for TrainingJob: list them", status=501)
    if resource != "ModelPackage":
        return call.forward_to_moto()
    expression = call.params.get("SearchExpression", {})
    found = [record for record in list_versions(call.region) if _matches_expression(record, expression)]
    return build_page([{"ModelPackage": record} for record in found], call.params, "Results", 10)


def _matches_expression(record: Mapping[str, Any], expression: Mapping[str, Any]) -> bool:
    if expression.get("NestedFilters") or expression.get("SubExpressions"):
        raise ApiError("NotImplemented", "The embedded AWS searches by plain filters only", status=501)
    results = [_matches_filter(record, wanted) for wanted in expression.get("Filters", [])]
    return any(results) if expression.get("Operator") == "Or" else all(results)


def _matches_filter(record: Mapping[str, Any], condition: Mapping[str, str]) -> bool:
    """Return whether a record matches one filter. The default operator is Equals, as the API's model says."""
    operator, value = condition.get("Operator", "Equals"), str(record.get(condition["Name"], ""))
    if operator not in _OPERATORS:
        raise ApiError("NotImplemented", f"The embedded AWS doesn't search by {operator}", status=501)
    return _OPERATORS[operator](value, condition.get("Value", ""))


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "Equals": lambda value, wanted: value == wanted,
    "NotEquals": lambda value, wanted: value != wanted,
    "Contains": lambda value, wanted: wanted in value,
    "In": lambda value, wanted: value in wanted.split(","),
}
