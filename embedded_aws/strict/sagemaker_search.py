"""SageMaker's Search over what this program keeps itself: the versions in the model registry. All else is moto's.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Search.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.constraints import check
from embedded_aws.strict.paging import page

Records = Callable[[str], Iterable[Mapping[str, Any]]]


def search(call: Call, versions: Records) -> Answer | dict[str, Any]:
    """Find what matches, in pages. `versions` gives a region's. moto keeps no states of jobs, and would answer wrongly."""
    check(call)
    resource = call.params["Resource"]
    if resource == "TrainingJob":
        raise Refused("NotImplemented", "The embedded AWS can't search for TrainingJob: list them", status=501)
    if resource != "ModelPackage":
        return call.forward()
    expression = call.params.get("SearchExpression", {})
    found = [record for record in versions(call.region) if _matches(record, expression)]
    return page([{"ModelPackage": record} for record in found], call.params, "Results", 10)


def _matches(record: Mapping[str, Any], expression: Mapping[str, Any]) -> bool:
    if expression.get("NestedFilters") or expression.get("SubExpressions"):
        raise Refused("NotImplemented", "The embedded AWS searches by plain filters only", status=501)
    met = [_meets(record, wanted) for wanted in expression.get("Filters", [])]
    return any(met) if expression.get("Operator") == "Or" else all(met)


def _meets(record: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether a record meets one filter. Without an operator it is Equals, as the API's model says."""
    operator, value = wanted.get("Operator", "Equals"), str(record.get(wanted["Name"], ""))
    if operator not in _OPERATORS:
        raise Refused("NotImplemented", f"The embedded AWS doesn't search by {operator}", status=501)
    return _OPERATORS[operator](value, wanted.get("Value", ""))


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "Equals": lambda value, wanted: value == wanted,
    "NotEquals": lambda value, wanted: value != wanted,
    "Contains": lambda value, wanted: wanted in value,
    "In": lambda value, wanted: value in wanted.split(","),
}
