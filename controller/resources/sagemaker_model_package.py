"""SageMaker model packages: the versions of a model, each with its metrics, its gate's decision and its approval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.aws.images import xgboost_image_uri
from controller.aws.model_registry import list_versions, list_versions_by_group, search_versions
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Held, Ready, Verdict, Waiting
from controller.core.values import Key, Ref, Value, digest
from controller.errors import MissingError, NotFoundError
from controller.resources.base import PermissionScope, Resource

# A version has no name of its own: the fingerprint in its description finds it with one listing.
_FINGERPRINT_PREFIX = "fingerprint "
_METADATA_PREFIX = "moorage:"


class ModelPackage(Resource):
    """The version that a training produced. Only the gate's decision may change, and with it the approval.

    A person's own approval or rejection stands until the gates or the metrics change: the approval itself isn't
    compared.
    """

    kind = "sagemaker/model-package"
    condition_type = "Approved"
    superseded_policy = "collect"
    # An image names its model by content alone.
    reference_outputs = frozenset({"arn", "model_sha256"})
    retention_category = "registry"
    policy = FieldPolicy(
        ignore=frozenset({"model", "image", "bundle", "model_sha256", "metrics", "approval", "message", "passed"})
    )
    permissions = {
        "sagemaker.list_model_packages": frozenset({"sagemaker:ListModelPackages"}),
        "sagemaker.search": frozenset({"sagemaker:Search"}),
        "sagemaker.describe_model_package": frozenset({"sagemaker:DescribeModelPackage"}),
        "sagemaker.create_model_package": frozenset(
            {"sagemaker:CreateModelPackage", "ecr:BatchGetImage", "s3:GetObject"}
        ),
        "sagemaker.update_model_package": frozenset({"sagemaker:UpdateModelPackage"}),
        "sagemaker.delete_model_package": frozenset({"sagemaker:DeleteModelPackage"}),
    }
    scopes = {
        "sagemaker:": (PermissionScope("sagemaker:{region}:{account}:model-package/{group}/*"),),
        "sagemaker:ListModelPackages": (PermissionScope("sagemaker:{region}:{account}:model-package/*"),),
        "ecr:": (PermissionScope("ecr:{region}:{registry}:repository/sagemaker-xgboost"),),
        "s3:": (
            PermissionScope("s3:::{bucket}/training/moorage-{owner}-????????/*"),
            PermissionScope("s3:::*/{job}/output/model.tar.gz"),
        ),
    }

    def scope_variables(self, context: SpecContext, node: Node) -> Mapping[str, Value]:
        """Return its group, the account of the algorithm's image, and the job that the spec names."""
        registry, job = (
            str(node.desired["image"]).partition(".")[0],
            context.trainable_spec.training.job if context.trainable_spec else None,
        )
        return {**node.identity, "registry": registry, "job": job}

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one version for the spec's fingerprint."""
        trained = context.trainable_spec
        if trained is None:
            return
        bundle, gate = context.own_key("model/bundle"), context.own_key("model/gate")
        desired = {
            "model": Ref(context.own_key("sagemaker/training-job"), "artifact"),
            "image": xgboost_image_uri(context.location.region, trained.training.algorithm.version),
            "bundle": Ref(bundle, "url"),
            "model_sha256": Ref(bundle, "model_sha256"),
            "metrics": Ref(bundle, "metrics"),
            "approval": trained.spec.model.approval,
            "decision": Ref(gate, "decision"),
            "passed": Ref(gate, "passed"),
            "message": Ref(gate, "message"),
        }
        group = Ref(context.own_key("sagemaker/model-package-group"), "name")
        yield Node(context.own_key(self.kind), {"group": group, "fingerprint": context.fingerprint}, desired)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Find each version by its fingerprint, through a listing. The oldest of several counts.

        Many are listed at once, and searched for: a search result that matches what was applied needs no description.
        """
        many = self.should_list(targets)
        listed = list_versions_by_group(aws) if many else {}
        known = search_versions(aws, [target.identity["group"] for target in targets]) if many else {}
        found = {}
        for target in targets:
            group, mark = target.identity["group"], _FINGERPRINT_PREFIX + target.identity["fingerprint"]
            versions = listed.get(group, ()) if many else list_versions(aws, group)
            version = next((one for one in versions if one.get("ModelPackageDescription") == mark), None)
            if version is not None:
                found[target.key] = self._describe_version(aws, target, version, known.get(version["ModelPackageArn"]))
        return found

    def _describe_version(
        self, aws: AwsClient, target: Target, version: Mapping[str, Any], known: Mapping[str, Any] | None
    ) -> Observed:
        """Return a version from the search if it is as applied, or else from the registry."""
        if known is not None:
            observed = _observed({**known, **version})
            if self.matches_applied(target, observed.fields):
                return observed
        return _observed(aws.read("sagemaker", "describe_model_package", ModelPackageName=version["ModelPackageArn"]))

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Judge the approval: approved is ready.

        Rejected and pending hold the candidate while what serves keeps serving.
        """
        approval, version = seen.outputs["approval"], seen.outputs["version"]
        message = (
            node.desired["message"] if seen.outputs["passed"] is (approval == "Approved") else seen.outputs["message"]
        )
        if seen.outputs["status"] == "Failed":
            return Failed("RegistrationFailed", f"version {version} could not be registered")
        if seen.outputs["status"] != "Completed":
            return Waiting("Registering", f"version {version} is being registered", requeue_after=5)
        if approval == "Approved":
            return Ready("Approved", f"version {version}: {message}")
        if approval == "Rejected":
            return Held("GateFailed" if not seen.outputs["passed"] else "Rejected", f"version {version}: {message}")
        return Held("AwaitingApproval", f"version {version} waits for a person to approve it in the model registry")

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Register the version, or update its approval to the gates' present decision."""
        context = step.node.desired
        decision = {"ModelApprovalStatus": _approval_status(context), "CustomerMetadataProperties": _metadata(context)}
        if seen is None:
            return _observed(_register_version(aws, _make_request(step.node) | decision))
        arn, message = seen.outputs["arn"], context["message"]
        aws.write("sagemaker", "update_model_package", ModelPackageArn=arn, ApprovalDescription=message, **decision)
        return _observed(aws.read("sagemaker", "describe_model_package", ModelPackageName=arn))

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the version."""
        try:
            found = self.observe(aws, [target]).get(target.key)
            if found is not None:
                aws.write("sagemaker", "delete_model_package", ModelPackageName=found.outputs["arn"])
        except MissingError:
            return None
        return None


def _register_version(aws: AwsClient, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Register a version and describe it.

    While AWS remembers a token, it returns what that token created, even if that was deleted since: then another token
    registers a new version.
    """
    arn = aws.write("sagemaker", "create_model_package", **request)["ModelPackageArn"]
    try:
        return aws.read("sagemaker", "describe_model_package", ModelPackageName=arn)
    except MissingError:
        again = {**request, "ClientToken": digest(request["ClientToken"], arn)[:36]}
        arn = aws.write("sagemaker", "create_model_package", **again)["ModelPackageArn"]
        return aws.read("sagemaker", "describe_model_package", ModelPackageName=arn)


def decide_approval(aws: AwsClient, group: str, *, approve: bool, version: int | None, message: str) -> tuple[int, str]:
    """Record a person's decision on a version of a group, by default the newest that waits for one.

    Returns its number, and the message of its gates if they held it. Raises NotFoundError if the version doesn't exist.
    """
    listed = list(
        aws.iter_items("sagemaker", "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group)
    )
    versions = {item["ModelPackageVersion"]: item for item in listed}
    waiting = [n for n, item in versions.items() if item.get("ModelApprovalStatus") == "PendingManualApproval"]
    chosen = version if version is not None else max(waiting, default=None)
    if chosen is None or chosen not in versions:
        raise NotFoundError(
            "no version waits for approval" if chosen is None else f"there is no version {chosen}",
            where=group.rpartition("/")[2],
            hint=f"its versions: {_format_versions(versions)}" if versions else "nothing was trained yet",
        )
    arn = versions[chosen]["ModelPackageArn"]
    before = aws.read("sagemaker", "describe_model_package", ModelPackageName=arn)
    status = "Approved" if approve else "Rejected"
    aws.write(
        "sagemaker",
        "update_model_package",
        ModelPackageArn=arn,
        ModelApprovalStatus=status,
        ApprovalDescription=message or f"{status.lower()} by a person",
    )
    failed = before.get("CustomerMetadataProperties", {}).get(f"{_METADATA_PREFIX}decision", "").startswith("failed")
    return chosen, str(before.get("ApprovalDescription", "")) if failed else ""


def _format_versions(versions: Mapping[int, Mapping[str, Any]]) -> str:
    return ", ".join(f"{n} ({versions[n].get('ModelApprovalStatus')})" for n in sorted(versions, reverse=True)[:5])


def _approval_status(desired: Mapping[str, Value]) -> str:
    if not desired["passed"]:
        return "Rejected"
    return "Approved" if desired["approval"] == "auto" else "PendingManualApproval"


def _metadata(desired: Mapping[str, Value]) -> dict[str, str]:
    measured = {
        f"{_METADATA_PREFIX}metric:{dataset}:{name}": repr(value)
        for dataset, metrics in desired["metrics"].items()
        for name, value in metrics.items()
    }
    return {
        **measured,
        f"{_METADATA_PREFIX}bundle": desired["bundle"],
        f"{_METADATA_PREFIX}model-sha256": desired["model_sha256"],
        f"{_METADATA_PREFIX}decision": desired["decision"],
    }


def _make_request(node: Node) -> dict[str, Any]:
    context = node.desired
    statistics = {"ContentType": "application/json", "S3Uri": f"{context['bundle']}manifest.json"}
    container = {"Image": context["image"], "ModelDataUrl": context["model"]}
    return {
        "ModelPackageGroupName": node.identity["group"],
        "ModelPackageDescription": _FINGERPRINT_PREFIX + node.identity["fingerprint"],
        # botocore generates a random token if none is given, and a repeated call would register a second version.
        "ClientToken": digest(node.identity)[:36],
        "ModelMetrics": {"ModelQuality": {"Statistics": statistics}},
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv", "application/json"],
            "SupportedResponseMIMETypes": ["text/csv", "application/json"],
        },
    }


def _observed(package: Mapping[str, Any]) -> Observed:
    metadata = package.get("CustomerMetadataProperties", {})
    decision = metadata.get(f"{_METADATA_PREFIX}decision", "")
    outputs = {
        "arn": package["ModelPackageArn"],
        "version": package["ModelPackageVersion"],
        "status": package["ModelPackageStatus"],
        "approval": package.get("ModelApprovalStatus", "PendingManualApproval"),
        "message": package.get("ApprovalDescription", ""),
        "passed": decision.startswith("passed"),
        "model_sha256": metadata.get(f"{_METADATA_PREFIX}model-sha256", ""),
    }
    return Observed({"decision": decision}, outputs)
