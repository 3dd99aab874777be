"""Why a model answers as it does: from the live route back to the commit, each hop read from AWS as it is now.

    route ─▶ task ─▶ image ─▶ version ─▶ job ─▶ data ─▶ commit

Neither the store nor the specs are asked: what is found is what answers, whoever put it there. What one hop says of the
next is held against what that one says of itself. A hop that is gone or contradicts says so, and the way goes on from
what is left. During a rollout two images answer; each has a way of its own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.aws import Aws
from controller.aws.repository import Repository
from controller.bundle.image import model_layer_of
from controller.bundle.layers import read_manifest
from controller.core.ownership import owned_by, tags_of
from controller.core.values import Key, Value
from controller.errors import BundleError, MissingError, NotFoundError

HOPS = ("route", "task", "image", "version", "job", "data", "commit")
_CONTAINER = "server"
_VERSION = "dev.moorage.model-version"
_STRANGE = "Moorage didn't make it"
_MARK = "moorage:"


@dataclass(frozen=True)
class Hop:
    """One of `HOPS`: what AWS knows it by, what is told of it, and what is wrong with it, empty where nothing is."""

    kind: str
    id: str = ""
    facts: Mapping[str, Value] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Lineage:
    """The ways back from a model's route: one for each image that answers, most tasks first."""

    owner: Key
    ways: tuple[tuple[Hop, ...], ...]

    @property
    def whole(self) -> bool:
        """Whether every hop of every way is there and agrees with its neighbours."""
        return not any(hop.problem for way in self.ways for hop in way)


def trace(aws: Aws, owner: Key, cluster: str) -> Lineage:
    """Follow a ModelService from its route to its commit. Reads only.

    `cluster` is where to look for its tasks when no route leads to them. Raises NotFoundError when nothing in the
    region carries its tags, and what reading AWS raises.
    """
    route, registry = _route(aws, owner)
    tasks = _registered(aws, registry) if registry else _running(aws, owner, cluster)
    if tasks is None and not route.id:
        hint = "moorage get shows what is known; another Environment may be in another region"
        raise NotFoundError(f"nothing in {aws.region} carries the tags of {owner.name}", hint=hint)
    groups = _by_image(tasks or ())
    if not groups:
        rest = (Hop(kind, problem="nothing runs that it could be read from") for kind in HOPS[2:])
        return Lineage(owner, ((route, Hop("task", problem="no task is registered: nobody answers"), *rest),))
    return Lineage(owner, tuple((route, *_way(aws, owner, group)) for group in groups))


def served_before(aws: Aws, owner: Key, family: str, revision: int | None = None) -> tuple[int, int]:
    """A revision of a task definition, and the model version that it served.

    Without `revision`, the newest that served another version than the newest of all. Raises NotFoundError when there is
    none, and when that version is no longer there, no longer approved, or without its bundle.
    """
    arns = aws.pages("ecs", "list_task_definitions", "taskDefinitionArns", familyPrefix=family, status="ACTIVE")
    numbers = sorted(int(arn.rpartition(":")[2]) for arn in arns if arn.split("/")[-1].rpartition(":")[0] == family)
    wanted = numbers[::-1] if revision is None else [number for number in numbers if number == revision]
    newest = 0
    for number in wanted:
        version = _version_of(aws, f"{family}:{number}")
        newest = newest or version
        if version and (revision is not None or version != newest):
            package = _package(aws, owner, version) or {}
            if package.get("ModelApprovalStatus") != "Approved":
                state = package.get("ModelApprovalStatus", "no longer in the registry")
                raise NotFoundError(f"revision {number} served version {version}, which is {state}", where=owner.name)
            _demand_bundle(aws, owner, version, package)
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
        hint=f"{hint}; what it served is trained or, if its version is still registered, built again from the bundle once "
        "the spec asks for it: put the spec back, or set spec.model.version",
    )


def _demand_bundle(aws: Aws, owner: Key, version: int, package: Mapping[str, Any]) -> None:
    """Raise NotFoundError when a version's bundle is gone: without its image it can't be served any more."""
    place = str(package.get("CustomerMetadataProperties", {}).get(f"{_MARK}bundle", ""))
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


def _version_of(aws: Aws, definition: str) -> int:
    found = aws.read("ecs", "describe_task_definition", taskDefinition=definition)["taskDefinition"]
    ours = (c.get("dockerLabels", {}) for c in found["containerDefinitions"] if c["name"] == _CONTAINER)
    labels: Mapping[str, str] = next(ours, {})
    version = labels.get(_VERSION, "")
    return int(version) if version.isdecimal() else 0


def _route(aws: Aws, owner: Key) -> tuple[Hop, str]:
    """The API with the owner's tags, and the Cloud Map service that its routes lead to."""
    apis = [api for api in aws.pages("apigatewayv2", "get_apis", "Items") if owned_by(owner, api.get("Tags", {}))]
    if not apis:
        return Hop("route", problem="no HTTP API carries its tags: it is reached inside the VPC only"), ""
    api = min(apis, key=lambda found: (str(found["CreatedDate"]), found["ApiId"]))
    stages = [stage["StageName"] for stage in aws.pages("apigatewayv2", "get_stages", "Items", ApiId=api["ApiId"])]
    routes = list(aws.pages("apigatewayv2", "get_routes", "Items", ApiId=api["ApiId"]))
    integrations = list(aws.pages("apigatewayv2", "get_integrations", "Items", ApiId=api["ApiId"]))
    used = {str(route.get("Target", "")).removeprefix("integrations/") for route in routes}
    uris = sorted({i.get("IntegrationUri", "") for i in integrations if i["IntegrationId"] in used})
    prefix = [f"{api['ApiEndpoint']}{'' if name == '$default' else f'/{name}'}" for name in sorted(stages)]
    facts = {
        "endpoint": prefix[0] if prefix else None,
        "routes": sorted(route["RouteKey"] for route in routes),
        "leads_to": uris,
    }
    problems = {
        "it has no stage, so nobody can call it": not stages,
        "its routes lead nowhere": not uris,
        f"{len(apis)} APIs carry its tags; this is the oldest": len(apis) > 1,
        f"its routes lead to {len(uris)} places; the first is followed": len(uris) > 1,
    }
    problem = "; ".join(text for text, holds in problems.items() if holds)
    return Hop("route", api["ApiId"], facts, problem), uris[0] if uris else ""


def _registered(aws: Aws, registry: str) -> list[Mapping[str, Any]] | None:
    """The tasks that are registered with the Cloud Map service, as ECS describes them."""
    clusters: dict[str, list[str]] = {}
    service = registry.rpartition("/")[2]
    try:
        for instance in aws.pages("servicediscovery", "list_instances", "Instances", ServiceId=service):
            clusters.setdefault(instance["Attributes"].get("ECS_CLUSTER_NAME", ""), []).append(instance["Id"])
    except MissingError:
        return []
    return [task for cluster, ids in sorted(clusters.items()) for task in _describe(aws, cluster, sorted(ids))]


def _running(aws: Aws, owner: Key, cluster: str) -> list[Mapping[str, Any]] | None:
    """The running tasks of the ECS service with the owner's tags; None when there is no such service."""
    try:
        arns = list(aws.pages("ecs", "list_services", "serviceArns", cluster=cluster))
        for start in range(0, len(arns), 10):
            some = arns[start : start + 10]
            found = aws.read("ecs", "describe_services", cluster=cluster, services=some, include=["TAGS"])["services"]
            for service in found:
                if owned_by(owner, tags_of(service.get("tags", ()), "key", "value")):
                    name = service["serviceName"]
                    ids = list(aws.pages("ecs", "list_tasks", "taskArns", cluster=cluster, serviceName=name))
                    return list(_describe(aws, cluster, ids))
    except MissingError:
        return None
    return None


def _describe(aws: Aws, cluster: str, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for start in range(0, len(ids), 100):
        yield from aws.read("ecs", "describe_tasks", cluster=cluster, tasks=list(ids[start : start + 100]))["tasks"]


def _by_image(tasks: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Tasks of one task definition that pulled one image belong together."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for task in tasks:
        pulled = _server(task.get("containers", ())).get("imageDigest", "")
        groups.setdefault((task["taskDefinitionArn"], pulled), []).append(task)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]["taskDefinitionArn"]))


def _server(described: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Our container; where somebody else's image is served, the first there is."""
    ours = (container for container in described if container.get("name") == _CONTAINER)
    return next(ours, described[0] if described else {})


def _way(aws: Aws, owner: Key, tasks: Sequence[Mapping[str, Any]]) -> Iterator[Hop]:
    """From the tasks back. `told` is what the image says of its model, or else the task definition's labels."""
    task, labels = _task(aws, tasks)
    yield task
    image, told = _image(aws, _server(tasks[0].get("containers", ())))
    yield image
    if not told and _VERSION not in labels:
        # It tells of no model; and whatever is registered under the owner's name serves elsewhere, if at all.
        yield from (Hop(kind, problem="an image that isn't Moorage's tells nothing of it") for kind in HOPS[3:])
        return
    version = told.get("version") or labels.get(_VERSION, "")
    package, described = _version(aws, owner, str(version), told.get("model_sha256", ""))
    yield package
    job, ran = _job(aws, described, told)
    yield job
    yield _data(aws, ran, told)
    yield _commit(told)


def _task(aws: Aws, tasks: Sequence[Mapping[str, Any]]) -> tuple[Hop, Mapping[str, str]]:
    arn = tasks[0]["taskDefinitionArn"]
    healthy = [task for task in tasks if task.get("healthStatus") == "HEALTHY"]
    facts = {
        "service": tasks[0].get("group", "").removeprefix("service:"),
        "tasks": sorted(task["taskArn"].rpartition("/")[2] for task in tasks),
        "healthy": len(healthy),
    }
    problem = "" if healthy else "none of its tasks is healthy"
    try:
        definition = aws.read("ecs", "describe_task_definition", taskDefinition=arn)["taskDefinition"]
    except MissingError:
        return Hop("task", arn.rpartition("/")[2], facts, "its task definition was deleted"), {}
    container = _server(definition["containerDefinitions"])
    labels: Mapping[str, str] = container.get("dockerLabels", {})
    pulled = _server(tasks[0].get("containers", ())).get("imageDigest", "")
    if _VERSION not in labels:
        strange = f"{_STRANGE}: its image, {container.get('image')}, is served as it is"
        return Hop("task", arn.rpartition("/")[2], facts, strange), labels
    if not str(container.get("image", "")).endswith(f"@{pulled}"):
        problem = f"the task definition names {container.get('image')}, and {pulled or 'nothing'} was pulled"
    return Hop("task", arn.rpartition("/")[2], facts, problem), labels


def _image(aws: Aws, container: Mapping[str, Any]) -> tuple[Hop, Mapping[str, Any]]:
    """The image that was pulled, and what its model layer says of the model."""
    digest, name = container.get("imageDigest", ""), container.get("image", "").partition("@")[0]
    repository = Repository(aws, name.partition("/")[2])
    if digest and ".dkr.ecr." not in name:
        return Hop("image", digest, {"repository": name}, f"it isn't from ECR: {_STRANGE}"), {}
    if not digest or not repository.name:
        return Hop("image", digest, {}, "ECS doesn't say which image it pulled"), {}
    try:
        layer = model_layer_of(repository.manifest(digest=digest))
        if layer is None:
            return Hop("image", digest, {"repository": name}, f"it has no model layer: {_STRANGE}"), {}
        with repository.fetch(layer) as body:
            manifest = read_manifest(body)
    except MissingError:
        return Hop("image", digest, {"repository": name}, "it was deleted from the registry; its tasks run on"), {}
    except BundleError as error:
        return Hop("image", digest, {"repository": name}, str(error)), {}
    told = {**manifest.lineage, "version": manifest.version, "model_sha256": manifest.model.sha256}
    return Hop("image", digest, {"repository": name, "model": manifest.model.sha256}, ""), told


def _version(aws: Aws, owner: Key, version: str, sha256: str) -> tuple[Hop, Mapping[str, Any]]:
    """The registered version, held against the model in the image."""
    if not version.isdecimal():
        return Hop("version", problem="neither image nor task definition names a version"), {}
    package = _package(aws, owner, int(version))
    if package is None:
        return Hop("version", version, {}, f"version {version} is not in the model registry"), {}
    metadata = package.get("CustomerMetadataProperties", {})
    facts = {
        "arn": package["ModelPackageArn"],
        "approval": package.get("ModelApprovalStatus"),
        "fingerprint": package.get("ModelPackageDescription", "").removeprefix("fingerprint "),
        "metrics": {
            name.removeprefix(f"{_MARK}metric:").replace(":", "."): float(value)
            for name, value in sorted(metadata.items())
            if name.startswith(f"{_MARK}metric:")
        },
    }
    registered = metadata.get(f"{_MARK}model-sha256", "")
    problem = ""
    if sha256 and registered != sha256:
        problem = f"it registers the model {registered[:12] or '(none)'}, and the image holds {sha256[:12]}"
    elif facts["approval"] != "Approved":
        problem = f"it serves, and is {facts['approval']}"
    return Hop("version", version, facts, problem), package


def _package(aws: Aws, owner: Key, version: int) -> Mapping[str, Any] | None:
    groups = aws.pages(
        "sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", NameContains=owner.name
    )
    for group in groups:
        arn = group["ModelPackageGroupArn"]
        if not owned_by(owner, tags_of(aws.pages("sagemaker", "list_tags", "Tags", ResourceArn=arn))):
            continue
        name = group["ModelPackageGroupName"]
        for found in aws.pages(
            "sagemaker", "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=name
        ):
            if found["ModelPackageVersion"] == version:
                return aws.read("sagemaker", "describe_model_package", ModelPackageName=found["ModelPackageArn"])
    return None


def _job(aws: Aws, package: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[Hop, Mapping[str, Any]]:
    """The training job that the version's artifact came from, held against what the image says."""
    containers = package.get("InferenceSpecification", {}).get("Containers", [{}])
    artifact = str(containers[0].get("ModelDataUrl") or told.get("artifact", ""))
    # SageMaker writes OUTPUT/JOB/output/model.tar.gz.
    parts = artifact.split("/")
    name = str(told.get("training_job", "")).rpartition("/")[2] or (parts[-3] if len(parts) > 5 else "")
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


def _data(aws: Aws, job: Mapping[str, Any], told: Mapping[str, Any]) -> Hop:
    """The rows that the job read, held against the digest in their address."""
    digest = str(told.get("data_digest", ""))
    urls = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
        for channel in job.get("InputDataConfig", ())
    }
    if not urls:
        return Hop("data", digest, {}, "without the job nothing tells where its rows are")
    if not digest:
        # Rows of a job that isn't ours: no digest tells whether they are still as the job has read them.
        return Hop("data", facts={"channels": urls})
    problems = [text for name, url in sorted(urls.items()) if (text := _rows_problem(aws, name, url))]
    return Hop("data", digest, {"channels": urls}, "; ".join(problems))


def _rows_problem(aws: Aws, channel: str, url: str) -> str:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    try:
        head = aws.read("s3", "head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except MissingError:
        return f"the {channel} rows were deleted"
    found = base64.b64decode(head.get("ChecksumSHA256", "")).hex()
    return "" if found in key.split("/") else f"the {channel} rows are other ones now"


def _commit(told: Mapping[str, Any]) -> Hop:
    commit = str(told.get("commit", ""))
    if not commit:
        return Hop("commit", problem="the image names none: its specs were not in Git" if told else "no image tells it")
    dirty = "its specs had changes that were not committed" if commit.endswith("-dirty") else ""
    return Hop("commit", commit.removesuffix("-dirty"), {}, dirty)
