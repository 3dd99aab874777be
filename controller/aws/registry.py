"""The versions in SageMaker's model registry: of one group, or of all groups at once. What a version means, others know."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from controller.aws.door import Aws

_PAGE = 100
# A value has 1,024 characters at most, a name 63; an expression has twenty filters at most.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Filter.html, API_SearchExpression.html
_NAMES, _FILTERS = 16, 20
Version = Mapping[str, Any]


def versions_of(aws: Aws, group: str) -> Sequence[Version]:
    """The summaries of a group's versions, oldest first. Raises MissingError."""
    return _listed(aws, ModelPackageGroupName=group)


def versions_by_group(aws: Aws) -> dict[str, list[Version]]:
    """The summaries of all versions of all groups, oldest first."""
    found: dict[str, list[Version]] = {}
    for version in _listed(aws, ModelPackageType="Versioned", MaxResults=_PAGE):
        found.setdefault(version["ModelPackageGroupName"], []).append(version)
    return found


def described(aws: Aws, groups: Collection[str]) -> dict[str, Version]:
    """What SageMaker's search knows of the versions of some groups, by ARN. It may lag behind the registry.

    A description, which is more than a summary, takes a call for each version otherwise.
    """
    names = sorted(set(groups))
    found: dict[str, Version] = {}
    for start in range(0, len(names), _NAMES * _FILTERS):
        some = names[start : start + _NAMES * _FILTERS]
        filters = [
            {"Name": "ModelPackageGroupName", "Operator": "In", "Value": ",".join(some[first : first + _NAMES])}
            for first in range(0, len(some), _NAMES)
        ]
        wanted = {"SearchExpression": {"Filters": filters, "Operator": "Or"}, "MaxResults": _PAGE}
        records = aws.listed("sagemaker", "search", "Results", Resource="ModelPackage", **wanted)
        found |= {record["ModelPackage"]["ModelPackageArn"]: record["ModelPackage"] for record in records}
    return found


def _listed(aws: Aws, **which: Any) -> Sequence[Version]:
    order = {"SortBy": "CreationTime", "SortOrder": "Ascending"}
    return aws.listed("sagemaker", "list_model_packages", "ModelPackageSummaryList", **which, **order)
