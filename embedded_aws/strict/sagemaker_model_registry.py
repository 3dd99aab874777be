"""The SageMaker Model Registry: model package groups and their versions, kept as they were sent.

moto keeps the groups' records (for tags and GetResources). Versions are kept here, because moto ignores ClientToken,
loses fields on update and deletes groups with versions. Packages outside a group are not supported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.sagemaker.models import sagemaker_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.constraints import validate_input
from embedded_aws.emulator import Emulator
from embedded_aws.strict import sagemaker_checks
from embedded_aws.strict.paging import build_page
from embedded_aws.strict.sagemaker_search import search

_SUMMARY_FIELDS = (
    "ModelPackageGroupName",
    "ModelPackageVersion",
    "ModelPackageArn",
    "ModelPackageDescription",
    "CreationTime",
    "ModelPackageStatus",
    "ModelApprovalStatus",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)
# The fields that UpdateModelPackage replaces when they are given; the rest of the record stays.
_UPDATABLE_FIELDS = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)


def install(emulator: Emulator) -> None:
    """Register the operations of the model registry."""
    registry = ModelRegistry(emulator)
    emulator.on_reset(registry.clear)
    for operation, handler in (
        ("CreateModelPackageGroup", registry.create_group),
        ("DescribeModelPackageGroup", registry.describe_group),
        ("ListModelPackageGroups", registry.list_groups),
        ("DeleteModelPackageGroup", registry.delete_group),
        ("CreateModelPackage", registry.create),
        ("DescribeModelPackage", registry.describe),
        ("BatchDescribeModelPackage", registry.describe_batch),
        ("ListModelPackages", registry.list),
        ("UpdateModelPackage", registry.update),
        ("DeleteModelPackage", registry.delete),
        ("Search", lambda call: search(call, registry.list_versions)),
    ):
        emulator.register_handler("sagemaker", operation, handler)


@dataclass
class ModelPackageGroup:
    """A model package group.

    `versions` is by number; `tokens` has each ClientToken's request and version.
    """

    record: dict[str, Any]
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, tuple[Mapping[str, Any], int]] = field(default_factory=dict)
    highest: int = 0


class ModelRegistry:
    """All model package groups of an emulator, by region and name."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._groups: dict[tuple[str, str], ModelPackageGroup] = {}

    def clear(self) -> None:
        """Forget all groups."""
        self._groups = {}

    def create_group(self, call: ApiCall) -> ApiResponse:
        """Create a group. Raises ApiError when its name is taken."""
        validate_input(call)
        params = call.params
        name = params["ModelPackageGroupName"]
        arn = f"arn:aws:sagemaker:{call.region}:{call.account}:model-package-group/{name}"
        if (call.region, name) in self._groups:
            raise ApiError("ValidationException", f"Model Package Group already exists: {arn}")
        record = {name: value for name, value in params.items() if name != "Tags"}
        record |= {
            "ModelPackageGroupArn": arn,
            "CreationTime": self.emulator.now(),
            "ModelPackageGroupStatus": "Completed",
            "CreatedBy": {},
        }
        self._groups[call.region, name] = ModelPackageGroup(record)
        call.forward_to_moto()
        return call.build_response({"ModelPackageGroupArn": arn})

    def describe_group(self, call: ApiCall) -> dict[str, Any]:
        """Describe a group, by name or ARN."""
        return self._get_group(call, call.params["ModelPackageGroupName"]).record

    def list_groups(self, call: ApiCall) -> dict[str, Any]:
        """List groups, oldest first by default."""
        params = call.params
        groups = [group.record for (region, _), group in self._groups.items() if region == call.region]
        groups = [record for record in groups if _matches_filters(record, params, record["ModelPackageGroupName"])]
        key = "ModelPackageGroupName" if params.get("SortBy") == "Name" else "CreationTime"
        groups.sort(key=lambda record: record[key], reverse=params.get("SortOrder") == "Descending")
        return build_page(groups, params, "ModelPackageGroupSummaryList", 100)

    def delete_group(self, call: ApiCall) -> dict[str, Any]:
        """Delete an empty group.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteModelPackageGroup.html
        """
        group = self._get_group(call, call.params["ModelPackageGroupName"])
        name = group.record["ModelPackageGroupName"]
        if group.versions:
            raise ApiError("ConflictException", f"Model Package Group {name} can't be deleted: it has model packages.")
        del self._groups[call.region, name]
        sagemaker_backends[self.emulator.account][call.region].model_package_groups.pop(name, None)
        return {}

    def create(self, call: ApiCall) -> dict[str, Any]:
        """Register the next version of a group. A repeated ClientToken returns the same version."""
        validate_input(call)
        params = {name: value for name, value in call.params.items() if name != "ClientToken"}
        if "ModelPackageGroupName" not in params:
            raise ApiError("NotImplemented", "The embedded AWS has model packages in groups only", status=501)
        group = self._get_group(call, params["ModelPackageGroupName"])
        token = call.params.get("ClientToken", "")
        if token in group.tokens:
            earlier, version = group.tokens[token]
            if earlier != params:
                raise ApiError("ConflictException", f"ClientToken {token} was used for a request that differs.")
            return {"ModelPackageArn": self._build_arn(call, group, version)}
        self._validate_request(params)
        group.highest += 1
        group.tokens[token] = (params, group.highest)
        group.versions[group.highest] = self._build_record(call, group, params)
        self._publish_state_change(group.versions[group.highest], call.region)
        return {"ModelPackageArn": self._build_arn(call, group, group.highest)}

    def _validate_request(self, params: Mapping[str, Any]) -> None:
        if "Tags" in params:
            # botocore's CreateModelPackageInput: a version uses its group's tags and can't have its own.
            raise ApiError("ValidationException", "Tags can't be given for a model package version: tag its group.")
        if "InferenceSpecification" in params and "SourceUri" in params:
            raise ApiError("ValidationException", "InferenceSpecification and SourceUri can't be given together.")
        for container in params.get("InferenceSpecification", {}).get("Containers", []):
            uri = container.get("ModelDataUrl")
            if uri and not sagemaker_checks.object_exists(self.emulator, uri):
                raise ApiError("ValidationException", f"Could not find model data at {uri}.")

    def _build_record(self, call: ApiCall, group: ModelPackageGroup, params: Mapping[str, Any]) -> dict[str, Any]:
        name = group.record["ModelPackageGroupName"]
        return {
            "ModelApprovalStatus": "PendingManualApproval",
            "CertifyForMarketplace": False,
            "SkipModelValidation": "None",
            **params,
            "ModelPackageName": name,
            "ModelPackageGroupName": name,
            "ModelPackageVersion": group.highest,
            "ModelPackageArn": self._build_arn(call, group, group.highest),
            "CreationTime": self.emulator.now(),
            "CreatedBy": {},
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        }

    def describe(self, call: ApiCall) -> dict[str, Any]:
        """Describe a version as it was sent."""
        return self._get_version(call, call.params["ModelPackageName"])[1]

    def describe_batch(self, call: ApiCall) -> dict[str, Any]:
        """Describe many versions. The error map has those that don't exist."""
        found: dict[str, Any] = {}
        missing: dict[str, Any] = {}
        for arn in call.params["ModelPackageArnList"]:
            try:
                record = self._get_version(call, arn)[1]
            except ApiError as error:
                missing[arn] = {"ErrorCode": error.code, "ErrorResponse": error.message}
                continue
            found[arn] = {name: record[name] for name in (*_SUMMARY_FIELDS, "InferenceSpecification") if name in record}
        return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": missing}

    def list(self, call: ApiCall) -> dict[str, Any]:
        """List versions. Without a group or a type, list unversioned packages only, of which there are none here."""
        params = call.params
        name = params.get("ModelPackageGroupName")
        if name is not None:
            records = list(self._get_group(call, name).versions.values())
        elif params.get("ModelPackageType", "Unversioned") == "Unversioned":
            records = []
        else:
            groups = [group for (region, _), group in self._groups.items() if region == call.region]
            records = [record for group in groups for record in group.versions.values()]
        approval = params.get("ModelApprovalStatus")
        records = [record for record in records if _matches_filters(record, params, record["ModelPackageName"])]
        records = [record for record in records if approval in {None, record["ModelApprovalStatus"]}]
        records.sort(
            key=lambda record: (record["CreationTime"], record["ModelPackageVersion"]),
            reverse=params.get("SortOrder") == "Descending",
        )
        summaries = [{field: record[field] for field in _SUMMARY_FIELDS if field in record} for record in records]
        return build_page(summaries, params, "ModelPackageSummaryList", 100)

    def list_versions(self, region: str) -> Iterator[dict[str, Any]]:
        """Return every version of a region."""
        return (
            record
            for (where, _), group in self._groups.items()
            if where == region
            for record in group.versions.values()
        )

    def update(self, call: ApiCall) -> dict[str, Any]:
        """Change the given fields and no others; merge custom metadata."""
        validate_input(call)
        params = call.params
        _, record = self._get_version(call, params["ModelPackageArn"])
        before = record["ModelApprovalStatus"]
        record |= {name: params[name] for name in _UPDATABLE_FIELDS if name in params}
        metadata = record.get("CustomerMetadataProperties", {}) | params.get("CustomerMetadataProperties", {})
        for key in params.get("CustomerMetadataPropertiesToRemove", []):
            metadata.pop(key, None)
        if metadata or "CustomerMetadataProperties" in record:
            record["CustomerMetadataProperties"] = metadata
        if more := params.get("AdditionalInferenceSpecificationsToAdd"):
            record["AdditionalInferenceSpecifications"] = [*record.get("AdditionalInferenceSpecifications", []), *more]
        record |= {"LastModifiedTime": self.emulator.now(), "LastModifiedBy": {}}
        if record["ModelApprovalStatus"] != before:
            self._publish_state_change(record, call.region)
        return {"ModelPackageArn": record["ModelPackageArn"]}

    def delete(self, call: ApiCall) -> dict[str, Any]:
        """Delete a version. Its number is never given again."""
        group, record = self._get_version(call, call.params["ModelPackageName"])
        del group.versions[record["ModelPackageVersion"]]
        return {}

    def _get_group(self, call: ApiCall, name: str) -> ModelPackageGroup:
        group = self._groups.get((call.region, name.rpartition("/")[2]))
        if group is None:
            arn = f"arn:aws:sagemaker:{call.region}:{call.account}:model-package-group/{name.rpartition('/')[2]}"
            raise ApiError("ValidationException", f"ModelPackageGroup {arn} does not exist.")
        return group

    def _get_version(self, call: ApiCall, arn: str) -> tuple[ModelPackageGroup, dict[str, Any]]:
        name, _, number = arn.rpartition(":model-package/")[2].partition("/")
        group = self._groups.get((call.region, name))
        if group is None or not number.isdigit() or int(number) not in group.versions:
            raise ApiError("ValidationException", f"ModelPackage {arn} does not exist.")
        return group, group.versions[int(number)]

    def _build_arn(self, call: ApiCall, group: ModelPackageGroup, version: int) -> str:
        name = group.record["ModelPackageGroupName"]
        return f"arn:aws:sagemaker:{call.region}:{call.account}:model-package/{name}/{version}"

    def _publish_state_change(self, record: Mapping[str, Any], region: str) -> None:
        """Publish the event of a new version or a changed approval.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        detail = {name: record[name] for name in (*_SUMMARY_FIELDS, "CustomerMetadataProperties") if name in record}
        arn = record["ModelPackageArn"]
        self.emulator.publish_event("aws.sagemaker", "SageMaker Model Package State Change", detail, [arn], region)


def _matches_filters(record: Mapping[str, Any], params: Mapping[str, Any], name: str) -> bool:
    created = record["CreationTime"]
    return (
        params.get("NameContains", "").lower() in name.lower()
        and ("CreationTimeAfter" not in params or created >= params["CreationTimeAfter"])
        and ("CreationTimeBefore" not in params or created <= params["CreationTimeBefore"])
    )
