"""Find what served before: the revisions of a task definition, and whether a revision's version can serve again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.values import Key
from controller.errors import MissingError, NotFoundError
from controller.lineage.hop import VERSION_LABEL, find_server_container
from controller.lineage.provenance import METADATA_PREFIX, find_package


def find_rollback_target(aws: AwsClient, owner: Key, family: str, revision: int | None = None) -> tuple[int, int]:
    """Return a revision of a task definition, and the model version that it served.

    Without `revision`, the newest that served another version than the newest of all. Raises NotFoundError if there is
    none, or if its version no longer exists, is no longer approved, or has no bundle.
    """
    arns = aws.iter_items("ecs", "list_task_definitions", "taskDefinitionArns", familyPrefix=family, status="ACTIVE")
    numbers = sorted(int(arn.rpartition(":")[2]) for arn in arns if arn.split("/")[-1].rpartition(":")[0] == family)
    wanted = numbers[::-1] if revision is None else [number for number in numbers if number == revision]
    newest = 0
    for number in wanted:
        version = _read_version(aws, f"{family}:{number}")
        newest = newest or version
        if version and (revision is not None or version != newest):
            package = find_package(aws, owner, version) or {}
            if package.get("ModelApprovalStatus") != "Approved":
                state = package.get("ModelApprovalStatus", "no longer in the registry")
                raise NotFoundError(f"revision {number} served version {version}, which is {state}", where=owner.name)
            _require_bundle(aws, owner, version, package)
            return number, version
    raise _no_revision(owner, revision, numbers)


def _no_revision(owner: Key, revision: int | None, numbers: Sequence[int]) -> NotFoundError:
    hint = f"revisions: {', '.join(map(str, numbers)) or 'none'}"
    if revision is None:
        return NotFoundError("no other model has served before", where=owner.name, hint=hint)
    if not 0 < revision < max(numbers, default=0) or revision in numbers:
        return NotFoundError(f"there is no revision {revision} that served a model", where=owner.name, hint=hint)
    return NotFoundError(
        f"revision {revision} is gone",
        where=owner.name,
        why="policy.history tells how many ready ones are kept",
        hint=f"{hint}; what it served is trained or, if its version is still registered, built again from the bundle "
        "once the spec asks for it: put the spec back, or set spec.model.version",
    )


def _require_bundle(aws: AwsClient, owner: Key, version: int, package: Mapping[str, Any]) -> None:
    """Raise NotFoundError if a version's bundle no longer exists: without its image it can't serve any more."""
    place = str(package.get("CustomerMetadataProperties", {}).get(f"{METADATA_PREFIX}bundle", ""))
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    try:
        aws.read("s3", "head_object", Bucket=bucket, Key=f"{prefix}manifest.json")
    except MissingError:
        raise NotFoundError(
            f"the bundle of version {version} is gone",
            where=owner.name,
            why=place,
            hint="put the spec back: it trains again",
        ) from None


def _read_version(aws: AwsClient, definition: str) -> int:
    found = aws.read("ecs", "describe_task_definition", taskDefinition=definition)["taskDefinition"]
    version = find_server_container(found["containerDefinitions"]).get("dockerLabels", {}).get(VERSION_LABEL, "")
    return int(version) if version.isdecimal() else 0
