"""Trace the origin: the pulled image, the version in it, its training job, the job's rows and their commit."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from controller.aws import AwsClient
from controller.aws.ecr_repository import EcrRepository
from controller.bundle.image import find_model_layer
from controller.bundle.layers import read_manifest
from controller.core.ownership import is_owned_by, parse_tags
from controller.core.values import Key
from controller.errors import BundleError, MissingError
from controller.lineage.hop import NOT_MADE_BY_MOORAGE, Hop

METADATA_PREFIX = "moorage:"
"""How the names begin under which a registered version is told about."""


def trace_image(aws: AwsClient, container: Mapping[str, Any]) -> tuple[Hop, Mapping[str, Any]]:
    """Return the pulled image, and the facts in its model layer."""
    digest, name = container.get("imageDigest", ""), container.get("image", "").partition("@")[0]
    repository = EcrRepository(aws, name.partition("/")[2])
    if digest and ".dkr.ecr." not in name:
        return Hop("image", digest, {"repository": name}, f"it isn't from ECR: {NOT_MADE_BY_MOORAGE}"), {}
    if not digest or not repository.name:
        return Hop("image", digest, {}, "ECS doesn't say which image it pulled"), {}
    try:
        layer = find_model_layer(repository.get_manifest(digest=digest))
        if layer is None:
            return Hop("image", digest, {"repository": name}, f"it has no model layer: {NOT_MADE_BY_MOORAGE}"), {}
        with repository.fetch_blob(layer) as body:
            manifest = read_manifest(body)
    except MissingError:
        return Hop("image", digest, {"repository": name}, "it was deleted from the registry; its tasks run on"), {}
    except BundleError as error:
        return Hop("image", digest, {"repository": name}, str(error)), {}
    reported = {**manifest.lineage, "version": manifest.version, "model_sha256": manifest.model.sha256}
    return Hop("image", digest, {"repository": name, "model": manifest.model.sha256}, ""), reported


def trace_version(aws: AwsClient, owner: Key, version: str, sha256: str) -> tuple[Hop, Mapping[str, Any]]:
    """Return the registered version, compared with the model in the image."""
    if not version.isdecimal():
        return Hop("version", problem="neither image nor task definition names a version"), {}
    package = find_package(aws, owner, int(version))
    if package is None:
        return Hop("version", version, {}, f"version {version} is not in the model registry"), {}
    metadata = package.get("CustomerMetadataProperties", {})
    facts = {
        "arn": package["ModelPackageArn"],
        "approval": package.get("ModelApprovalStatus"),
        "fingerprint": package.get("ModelPackageDescription", "").removeprefix("fingerprint "),
        "metrics": {
            name.removeprefix(f"{METADATA_PREFIX}metric:").replace(":", "."): float(value)
            for name, value in sorted(metadata.items())
            if name.startswith(f"{METADATA_PREFIX}metric:")
        },
    }
    registered = metadata.get(f"{METADATA_PREFIX}model-sha256", "")
    problem = ""
    if sha256 and registered != sha256:
        problem = f"it registers the model {registered[:12] or '(none)'}, and the image holds {sha256[:12]}"
    elif facts["approval"] != "Approved":
        problem = f"it serves, and is {facts['approval']}"
    return Hop("version", version, facts, problem), package


def find_package(aws: AwsClient, owner: Key, version: int) -> Mapping[str, Any] | None:
    """Return a version of the owner as SageMaker describes it; None if it isn't registered."""
    groups = aws.iter_items(
        "sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", NameContains=owner.name
    )
    for group in groups:
        arn = group["ModelPackageGroupArn"]
        if not is_owned_by(owner, parse_tags(aws.iter_items("sagemaker", "list_tags", "Tags", ResourceArn=arn))):
            continue
        name = group["ModelPackageGroupName"]
        for found in aws.iter_items(
            "sagemaker", "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=name
        ):
            if found["ModelPackageVersion"] == version:
                return aws.read("sagemaker", "describe_model_package", ModelPackageName=found["ModelPackageArn"])
    return None


def trace_job(
    aws: AwsClient, package: Mapping[str, Any], image_facts: Mapping[str, Any]
) -> tuple[Hop, Mapping[str, Any]]:
    """Return the training job of the version's artifact, compared with the image's facts."""
    containers = package.get("InferenceSpecification", {}).get("Containers", [{}])
    artifact = str(containers[0].get("ModelDataUrl") or image_facts.get("artifact", ""))
    # SageMaker writes OUTPUT/JOB/output/model.tar.gz.
    parts = artifact.split("/")
    name = str(image_facts.get("training_job", "")).rpartition("/")[2] or (parts[-3] if len(parts) > 5 else "")
    if not name:
        return Hop("job", problem="neither image nor version names a training job"), {}
    try:
        job = aws.read("sagemaker", "describe_training_job", TrainingJobName=name)
    except MissingError:
        return Hop("job", name, {}, "the training job was deleted"), {}
    facts = {
        "arn": job["TrainingJobArn"],
        "status": job["TrainingJobStatus"],
        "algorithm": job.get("AlgorithmSpecification", {}).get("TrainingImage"),
        "hyperparameters": dict(sorted(job.get("HyperParameters", {}).items())),
        "ended": str(job.get("TrainingEndTime", "")),
    }
    wrote = job.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    problem = "" if wrote == artifact else f"it wrote {wrote or 'nothing'}, and the version was made of {artifact}"
    return Hop("job", name, facts, problem), job


def trace_data(aws: AwsClient, job: Mapping[str, Any], image_facts: Mapping[str, Any]) -> Hop:
    """Return the rows that the job read, compared with the digest in their address."""
    digest = str(image_facts.get("data_digest", ""))
    urls = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
        for channel in job.get("InputDataConfig", ())
    }
    if not urls:
        return Hop("data", digest, {}, "without the job nothing tells where its rows are")
    if not digest:
        # Rows of an adopted job: no digest shows whether they have changed since the job read them.
        return Hop("data", facts={"channels": urls})
    problems = [text for name, url in sorted(urls.items()) if (text := _rows_problem(aws, name, url))]
    return Hop("data", digest, {"channels": urls}, "; ".join(problems))


def _rows_problem(aws: AwsClient, channel: str, url: str) -> str:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    try:
        head = aws.read("s3", "head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except MissingError:
        return f"the {channel} rows were deleted"
    found = base64.b64decode(head.get("ChecksumSHA256", "")).hex()
    return "" if found in key.split("/") else f"the {channel} rows are other ones now"


def trace_commit(image_facts: Mapping[str, Any]) -> Hop:
    """Return the commit of the specs that the model was trained from, according to the image."""
    commit = str(image_facts.get("commit", ""))
    if not commit:
        return Hop(
            "commit", problem="the image names none: its specs were not in Git" if image_facts else "no image tells it"
        )
    dirty = "its specs had changes that were not committed" if commit.endswith("-dirty") else ""
    return Hop("commit", commit.removesuffix("-dirty"), {}, dirty)
