"""The versions in SageMaker's model registry, of one group or of several groups at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from controller.aws.aws_client import AwsClient

_PAGE_SIZE = 100
# A value has 1,024 characters at most, a name 63; an expression has twenty filters at most.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Filter.html, API_SearchExpression.html
_NAMES_PER_FILTER, _FILTERS_PER_SEARCH = 16, 20
PackageVersion = Mapping[str, Any]


def list_versions(aws: AwsClient, group: str) -> Sequence[PackageVersion]:
    """Return the summaries of a group's versions, oldest first. Raises MissingError."""
    return _list_packages(aws, ModelPackageGroupName=group)


def list_versions_by_group(aws: AwsClient) -> dict[str, list[PackageVersion]]:
    """Return the summaries of all versions of all groups, oldest first."""
    found: dict[str, list[PackageVersion]] = {}
    for version in _list_packages(aws, ModelPackageType="Versioned", MaxResults=_PAGE_SIZE):
        found.setdefault(version["ModelPackageGroupName"], []).append(version)
    return found


def search_versions(aws: AwsClient, groups: Collection[str]) -> dict[str, PackageVersion]:
    """Return the search's results for the versions of some groups, by ARN. The search may lag behind the registry.

    Without the search, a description, which has more than a summary, takes a call for each version.
    """
    names = sorted(set(groups))
    found: dict[str, PackageVersion] = {}
    for start in range(0, len(names), _NAMES_PER_FILTER * _FILTERS_PER_SEARCH):
        some = names[start : start + _NAMES_PER_FILTER * _FILTERS_PER_SEARCH]
        filters = [
            {
                "Name": "ModelPackageGroupName",
                "Operator": "In",
                "Value": ",".join(some[first : first + _NAMES_PER_FILTER]),
            }
            for first in range(0, len(some), _NAMES_PER_FILTER)
        ]
        wanted = {"SearchExpression": {"Filters": filters, "Operator": "Or"}, "MaxResults": _PAGE_SIZE}
        records = aws.list_items("sagemaker", "search", "Results", Resource="ModelPackage", **wanted)
        found |= {record["ModelPackage"]["ModelPackageArn"]: record["ModelPackage"] for record in records}
    return found


def _list_packages(aws: AwsClient, **which: Any) -> Sequence[PackageVersion]:
    order = {"SortBy": "CreationTime", "SortOrder": "Ascending"}
    return aws.list_items("sagemaker", "list_model_packages", "ModelPackageSummaryList", **which, **order)
