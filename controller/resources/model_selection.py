"""The selection: which version serves. It connects the train lane, which writes versions, with the serve lane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.aws.model_registry import PackageVersion, list_versions, list_versions_by_group, search_versions
from controller.core.graph import Node, Observed, Target
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Ready, Verdict
from controller.core.values import Key, Ref, Value
from controller.errors import MissingError
from controller.resources.base import PermissionScope, Resource

_PREFIX = "moorage:"


class ModelSelection(Resource):
    """The approved version of the spec's fingerprint, whatever its number; otherwise the one that serves.

    A pin overrides both.

    So a reverted commit serves its old model again without training, and a failed, rejected or unfinished training
    never takes down what serves. A pin that can't be followed keeps what serves, and reports it.
    """

    kind = "model/selection"
    read_only = True
    permissions = {
        "sagemaker.list_model_packages": frozenset({"sagemaker:ListModelPackages"}),
        "sagemaker.search": frozenset({"sagemaker:Search"}),
        "sagemaker.describe_model_package": frozenset({"sagemaker:DescribeModelPackage"}),
        "ecs.describe_services": frozenset({"ecs:DescribeServices"}),
        "ecs.describe_task_definition": frozenset({"ecs:DescribeTaskDefinition"}),
    }
    scopes = {
        "sagemaker:": (PermissionScope("sagemaker:{region}:{account}:model-package/{group}/*"),),
        "sagemaker:ListModelPackages": (PermissionScope("sagemaker:{region}:{account}:model-package/*"),),
        "ecs:": (PermissionScope("ecs:{region}:{account}:service/{cluster}/{service}"),),
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one selection for the model.

        It reads the candidate, so steps that depend on a candidate in progress come later.
        """
        trained = context.trainable_spec
        if trained is None:
            return
        identity = {
            "group": Ref(context.own_key("sagemaker/model-package-group"), "name"),
            "fingerprint": context.fingerprint,
            "pin": trained.spec.model.version,
            "cluster": context.environment.spec.cluster,
            "service": context.service_name,
        }
        reads = () if trained.spec.model.version else (context.own_key("sagemaker/model-package"),)
        yield Node(context.own_key(self.kind), identity, reads=reads)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Choose a version from the registry, or otherwise from what runs."""
        many = self.should_list(targets)
        listed = list_versions_by_group(aws) if many else {}
        known = search_versions(aws, [target.identity["group"] for target in targets]) if many else {}
        found = {}
        for target in targets:
            group = target.identity["group"]
            versions = {
                one["ModelPackageVersion"]: one
                for one in (listed.get(group, ()) if many else list_versions(aws, group))
            }
            chosen = _choose_version(target.identity, versions)
            problem = (
                "" if chosen or not target.identity["pin"] else _describe_pin_problem(target.identity["pin"], versions)
            )
            chosen = chosen or versions.get(_find_serving_version(aws, target.identity))
            if chosen is not None:
                # Of the search's results only immutable facts are used: metrics, digest, location.
                arn = chosen["ModelPackageArn"]
                package = known.get(arn) or aws.read("sagemaker", "describe_model_package", ModelPackageName=arn)
                found[target.key] = Observed({}, {**_outputs(package), "problem": problem})
            elif problem:
                found[target.key] = Observed({}, {"problem": f"{problem}, and nothing serves yet"})
        return found

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Judge the selection: a pin that can't be followed is a failure, though what serves keeps serving."""
        del node
        problem = seen.outputs["problem"]
        return (
            Failed("PinNotFollowed", f"{problem}; version {seen.outputs['version']} goes on serving")
            if problem
            else Ready()
        )

    def status_facts(self, seen: Observed) -> Mapping[str, Value]:
        """Return the model that serves."""
        return {
            "model": {
                "version": seen.outputs["version"],
                "sha256": seen.outputs["model_sha256"],
                "metrics": seen.outputs["metrics"],
            }
        }


def _choose_version(identity: Mapping[str, Value], versions: Mapping[int, PackageVersion]) -> PackageVersion | None:
    approved = {
        number: package for number, package in versions.items() if package.get("ModelApprovalStatus") == "Approved"
    }
    if identity["pin"]:
        return approved.get(identity["pin"])
    mark = f"fingerprint {identity['fingerprint']}"
    ours = [number for number, package in approved.items() if package.get("ModelPackageDescription") == mark]
    return approved[max(ours)] if ours else None


def _describe_pin_problem(pin: int, versions: Mapping[int, PackageVersion]) -> str:
    if pin not in versions:
        return f"version {pin} is pinned and doesn't exist"
    return f"version {pin} is pinned and is {versions[pin].get('ModelApprovalStatus')}"


def _find_serving_version(aws: AwsClient, identity: Mapping[str, Value]) -> int:
    """Return the version that the running service names; 0 if it names none."""
    try:
        answer = aws.read("ecs", "describe_services", cluster=identity["cluster"], services=[identity["service"]])
        service = next((item for item in answer["services"] if item["status"] == "ACTIVE"), None)
        if service is None:
            return 0
        definition = aws.read("ecs", "describe_task_definition", taskDefinition=service["taskDefinition"])[
            "taskDefinition"
        ]
    except MissingError:
        return 0
    labels = definition["containerDefinitions"][0].get("dockerLabels", {})
    version = labels.get("dev.moorage.model-version", "")
    return int(version) if version.isdecimal() else 0


def _outputs(package: Mapping[str, Any]) -> dict[str, Value]:
    metadata = package.get("CustomerMetadataProperties", {})
    metrics: dict[str, dict[str, float]] = {}
    for name, value in metadata.items():
        if name.startswith(f"{_PREFIX}metric:"):
            dataset, metric = name.split(":")[2:]
            metrics.setdefault(dataset, {})[metric] = float(value)
    return {
        "version": package["ModelPackageVersion"],
        "arn": package["ModelPackageArn"],
        "fingerprint": package["ModelPackageDescription"].removeprefix("fingerprint "),
        "model_sha256": metadata[f"{_PREFIX}model-sha256"],
        "bundle": metadata[f"{_PREFIX}bundle"],
        "metrics": metrics,
    }
