"""The SageMaker Model Registry: model package groups and their versions, kept as they were sent.

moto keeps the group's record (for tags and GetResources); versions are ours, because moto ignores ClientToken, forgets
fields on update and lets a group with versions be deleted. Packages outside a group are not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.sagemaker.models import sagemaker_backends

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.constraints import check
from embedded_aws.strict import sagemaker_checks as checks
from embedded_aws.strict.paging import page
from embedded_aws.strict.sagemaker_search import search
from embedded_aws.world import World

_SUMMARY = (
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
# What UpdateModelPackage replaces when it is given; the rest of the record stays.
_REPLACED = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)


def install(world: World) -> None:
    """Register the operations of the registry."""
    registry = Registry(world)
    world.on_reset(registry.clear)
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
        ("Search", lambda call: search(call, registry.versions)),
    ):
        world.handle("sagemaker", operation, handler)


@dataclass
class Group:
    """A model package group. `versions` is by number; `tokens` remembers each ClientToken's request and version."""

    record: dict[str, Any]
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, tuple[Mapping[str, Any], int]] = field(default_factory=dict)
    highest: int = 0


class Registry:
    """All groups of a world, by region and name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._groups: dict[tuple[str, str], Group] = {}

    def clear(self) -> None:
        """Forget all groups."""
        self._groups = {}

    def create_group(self, call: Call) -> Answer:
        """Make a group; its name must be free."""
        check(call)
        params = call.params
        name = params["ModelPackageGroupName"]
        arn = f"arn:aws:sagemaker:{call.region}:{call.account}:model-package-group/{name}"
        if (call.region, name) in self._groups:
            raise Refused("ValidationException", f"Model Package Group already exists: {arn}")
        record = {name: value for name, value in params.items() if name != "Tags"}
        record |= {
            "ModelPackageGroupArn": arn,
            "CreationTime": self.world.now(),
            "ModelPackageGroupStatus": "Completed",
            "CreatedBy": {},
        }
        self._groups[call.region, name] = Group(record)
        call.forward()
        return call.result({"ModelPackageGroupArn": arn})

    def describe_group(self, call: Call) -> dict[str, Any]:
        """Tell about a group, by name or ARN."""
        return self._group(call, call.params["ModelPackageGroupName"]).record

    def list_groups(self, call: Call) -> dict[str, Any]:
        """List groups, oldest first unless asked otherwise."""
        params = call.params
        groups = [group.record for (region, _), group in self._groups.items() if region == call.region]
        groups = [record for record in groups if _matches(record, params, record["ModelPackageGroupName"])]
        key = "ModelPackageGroupName" if params.get("SortBy") == "Name" else "CreationTime"
        groups.sort(key=lambda record: record[key], reverse=params.get("SortOrder") == "Descending")
        return page(groups, params, "ModelPackageGroupSummaryList", 100)

    def delete_group(self, call: Call) -> dict[str, Any]:
        """Delete an empty group.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteModelPackageGroup.html
        """
        group = self._group(call, call.params["ModelPackageGroupName"])
        name = group.record["ModelPackageGroupName"]
        if group.versions:
            raise Refused("ConflictException", f"Model Package Group {name} can't be deleted: it has model packages.")
        del self._groups[call.region, name]
        sagemaker_backends[self.world.account][call.region].model_package_groups.pop(name, None)
        return {}

    def create(self, call: Call) -> dict[str, Any]:
        """Register the next version of a group. The same ClientToken again gives the same version."""
        check(call)
        params = {name: value for name, value in call.params.items() if name != "ClientToken"}
        if "ModelPackageGroupName" not in params:
            raise Refused("NotImplemented", "The embedded AWS has model packages in groups only", status=501)
        group = self._group(call, params["ModelPackageGroupName"])
        token = call.params.get("ClientToken", "")
        if token in group.tokens:
            earlier, version = group.tokens[token]
            if earlier != params:
                raise Refused("ConflictException", f"ClientToken {token} was used for a request that differs.")
            return {"ModelPackageArn": self._arn(call, group, version)}
        self._check(params)
        group.highest += 1
        group.tokens[token] = (params, group.highest)
        group.versions[group.highest] = self._record(call, group, params)
        self._tell(group.versions[group.highest], call.region)
        return {"ModelPackageArn": self._arn(call, group, group.highest)}

    def _check(self, params: Mapping[str, Any]) -> None:
        if "Tags" in params:
            # botocore's CreateModelPackageInput: a version uses its group's tags and can't have its own.
            raise Refused("ValidationException", "Tags can't be given for a model package version: tag its group.")
        if "InferenceSpecification" in params and "SourceUri" in params:
            raise Refused("ValidationException", "InferenceSpecification and SourceUri can't be given together.")
        for container in params.get("InferenceSpecification", {}).get("Containers", []):
            uri = container.get("ModelDataUrl")
            if uri and not checks.exists(self.world, uri):
                raise Refused("ValidationException", f"Could not find model data at {uri}.")

    def _record(self, call: Call, group: Group, params: Mapping[str, Any]) -> dict[str, Any]:
        name = group.record["ModelPackageGroupName"]
        return {
            "ModelApprovalStatus": "PendingManualApproval",
            "CertifyForMarketplace": False,
            "SkipModelValidation": "None",
            **params,
            "ModelPackageName": name,
            "ModelPackageGroupName": name,
            "ModelPackageVersion": group.highest,
            "ModelPackageArn": self._arn(call, group, group.highest),
            "CreationTime": self.world.now(),
            "CreatedBy": {},
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        }

    def describe(self, call: Call) -> dict[str, Any]:
        """Tell all about a version, as it was sent."""
        return self._version(call, call.params["ModelPackageName"])[1]

    def describe_batch(self, call: Call) -> dict[str, Any]:
        """Tell about many versions; those that don't exist are in the error map."""
        found: dict[str, Any] = {}
        missing: dict[str, Any] = {}
        for arn in call.params["ModelPackageArnList"]:
            try:
                record = self._version(call, arn)[1]
            except Refused as refused:
                missing[arn] = {"ErrorCode": refused.code, "ErrorResponse": refused.message}
                continue
            found[arn] = {name: record[name] for name in (*_SUMMARY, "InferenceSpecification") if name in record}
        return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": missing}

    def list(self, call: Call) -> dict[str, Any]:
        """List versions; without a group or a type only unversioned packages, of which there are none here."""
        params = call.params
        name = params.get("ModelPackageGroupName")
        if name is not None:
            records = list(self._group(call, name).versions.values())
        elif params.get("ModelPackageType", "Unversioned") == "Unversioned":
            records = []
        else:
            groups = [group for (region, _), group in self._groups.items() if region == call.region]
            records = [record for group in groups for record in group.versions.values()]
        approval = params.get("ModelApprovalStatus")
        records = [record for record in records if _matches(record, params, record["ModelPackageName"])]
        records = [record for record in records if approval in {None, record["ModelApprovalStatus"]}]
        records.sort(
            key=lambda record: (record["CreationTime"], record["ModelPackageVersion"]),
            reverse=params.get("SortOrder") == "Descending",
        )
        summaries = [{field: record[field] for field in _SUMMARY if field in record} for record in records]
        return page(summaries, params, "ModelPackageSummaryList", 100)

    def versions(self, region: str) -> Iterator[dict[str, Any]]:
        """Every version of a region."""
        return (
            record
            for (where, _), group in self._groups.items()
            if where == region
            for record in group.versions.values()
        )

    def update(self, call: Call) -> dict[str, Any]:
        """Change what is given and nothing else; custom metadata is merged."""
        check(call)
        params = call.params
        _, record = self._version(call, params["ModelPackageArn"])
        before = record["ModelApprovalStatus"]
        record |= {name: params[name] for name in _REPLACED if name in params}
        metadata = record.get("CustomerMetadataProperties", {}) | params.get("CustomerMetadataProperties", {})
        for key in params.get("CustomerMetadataPropertiesToRemove", []):
            metadata.pop(key, None)
        if metadata or "CustomerMetadataProperties" in record:
            record["CustomerMetadataProperties"] = metadata
        if more := params.get("AdditionalInferenceSpecificationsToAdd"):
            record["AdditionalInferenceSpecifications"] = [*record.get("AdditionalInferenceSpecifications", []), *more]
        record |= {"LastModifiedTime": self.world.now(), "LastModifiedBy": {}}
        if record["ModelApprovalStatus"] != before:
            self._tell(record, call.region)
        return {"ModelPackageArn": record["ModelPackageArn"]}

    def delete(self, call: Call) -> dict[str, Any]:
        """Delete a version. Its number is not given again."""
        group, record = self._version(call, call.params["ModelPackageName"])
        del group.versions[record["ModelPackageVersion"]]
        return {}

    def _group(self, call: Call, name: str) -> Group:
        group = self._groups.get((call.region, name.rpartition("/")[2]))
        if group is None:
            arn = f"arn:aws:sagemaker:{call.region}:{call.account}:model-package-group/{name.rpartition('/')[2]}"
            raise Refused("ValidationException", f"ModelPackageGroup {arn} does not exist.")
        return group

    def _version(self, call: Call, arn: str) -> tuple[Group, dict[str, Any]]:
        name, _, number = arn.rpartition(":model-package/")[2].partition("/")
        group = self._groups.get((call.region, name))
        if group is None or not number.isdigit() or int(number) not in group.versions:
            raise Refused("ValidationException", f"ModelPackage {arn} does not exist.")
        return group, group.versions[int(number)]

    def _arn(self, call: Call, group: Group, version: int) -> str:
        name = group.record["ModelPackageGroupName"]
        return f"arn:aws:sagemaker:{call.region}:{call.account}:model-package/{name}/{version}"

    def _tell(self, record: Mapping[str, Any], region: str) -> None:
        """Publish the event of a new version or a changed approval.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        detail = {name: record[name] for name in (*_SUMMARY, "CustomerMetadataProperties") if name in record}
        arn = record["ModelPackageArn"]
        self.world.publish("aws.sagemaker", "SageMaker Model Package State Change", detail, [arn], region)


def _matches(record: Mapping[str, Any], params: Mapping[str, Any], name: str) -> bool:
    created = record["CreationTime"]
    return (
        params.get("NameContains", "").lower() in name.lower()
        and ("CreationTimeAfter" not in params or created >= params["CreationTimeAfter"])
        and ("CreationTimeBefore" not in params or created <= params["CreationTimeBefore"])
    )
