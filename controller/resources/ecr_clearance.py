"""The clearance: whether the image to deploy is signed by the spec's key, and has no findings that forbid it.

It is read anew in each pass and stored nowhere: a later finding of ECR stops the next rollout, too. What serves keeps
serving.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from controller.aws import AwsClient
from controller.aws.ecr_repository import EcrRepository
from controller.bundle import signature
from controller.core.graph import Node, Observed, Target
from controller.core.spec_context import SpecContext
from controller.core.status import Held, Ready, Verdict, Waiting
from controller.core.values import Key, Ref, Value
from controller.errors import MissingError, RejectedError
from controller.resources.base import PermissionScope, Resource

SEVERITIES = ("low", "medium", "high", "critical")
_SCAN_RUNNING = ("PENDING", "IN_PROGRESS")
# Enhanced scanning says ACTIVE of an image that it keeps scanning.
_SCAN_COMPLETE = ("COMPLETE", "ACTIVE")


class ImageClearance(Resource):
    """The clearance of one image, if the spec requires it. Output: the image's `uri`."""

    kind = "ecr/clearance"
    read_only = True
    permissions = {
        "ecr.describe_image_scan_findings": frozenset({"ecr:DescribeImageScanFindings"}),
        # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html
        "ecr.list_image_referrers": frozenset({"ecr:BatchGetImage"}),
        "ecr.batch_get_image": frozenset({"ecr:BatchGetImage"}),
        "kms.verify": frozenset({"kms:Verify"}),
    }
    scopes = {
        "ecr:": (PermissionScope("ecr:{region}:{account}:repository/{repository}"),),
        "kms:": (PermissionScope("{key}"),),
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one node if the spec requires a signature or limits findings."""
        if context.trainable_spec is None or not context.trainable_spec.spec.image.needs_clearance:
            return
        spec, made = context.trainable_spec.spec.image, context.own_key("ecr/image")
        identity = {
            "repository": Ref(context.own_key("ecr/repository"), "name"),
            "digest": Ref(made, "digest"),
            "uri": Ref(made, "uri"),
            "maxSeverity": spec.max_severity or "",
            "key": spec.signing.key if spec.signing else "",
        }
        yield Node(context.own_key(self.kind), identity)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Read the findings and the signatures."""
        return {
            target.key: Observed(
                {},
                {
                    "uri": target.identity["uri"],
                    **(_read_scan(aws, target.identity) if target.identity["maxSeverity"] else {}),
                    **({"signed": _is_signed(aws, target.identity)} if target.identity["key"] else {}),
                },
            )
            for target in targets
        }

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Judge the image: a missing or false signature, a finding, or a scan without a result holds it.

        A running scan waits.
        """
        if seen.outputs.get("signed") is False:
            return Held("NotSigned", f"no signature of {node.identity['key']} on {node.identity['uri']}")
        scan = seen.outputs.get("scan", "COMPLETE")
        if scan in _SCAN_RUNNING:
            return Waiting("ScanUnderWay", "ECR scans the image")
        if scan not in _SCAN_COMPLETE:
            return Held("NotScanned", f"ECR could not scan the image: {scan}")
        if found := _format_forbidden_findings(node.identity["maxSeverity"], seen.outputs.get("findings", {})):
            return Held(
                "FindingsForbid", f"ECR's scan found {found}; image.maxSeverity is {node.identity['maxSeverity']}"
            )
        return Ready()


def _read_scan(aws: AwsClient, identity: Mapping[str, Value]) -> dict[str, Value]:
    wanted = {"repositoryName": identity["repository"], "imageId": {"imageDigest": identity["digest"]}}
    try:
        answer = aws.read("ecr", "describe_image_scan_findings", **wanted)
    except MissingError:  # ScanNotFoundException: it was just pushed
        return {"scan": "PENDING"}
    counts = answer.get("imageScanFindings", {}).get("findingSeverityCounts", {})
    return {"scan": answer["imageScanStatus"]["status"], "findings": dict(counts)}


def _format_forbidden_findings(worst: str, counts: Mapping[str, int]) -> str:
    """Return the findings at or above `worst`, for people; ECR's UNDEFINED and INFORMATIONAL are below all."""
    if not worst:
        return ""
    names = [name for name in reversed(SEVERITIES[SEVERITIES.index(worst) :]) if counts.get(name.upper())]
    return ", ".join(f"{counts[name.upper()]} {name}" for name in names)


def _is_signed(aws: AwsClient, identity: Mapping[str, Value]) -> bool:
    name, digest = identity["uri"].partition("@")[0], identity["digest"]
    message = signature.build_payload(name, digest)
    for manifest in EcrRepository(aws, identity["repository"]).iter_referrers(digest, signature.ARTIFACT_TYPE):
        for found in signature.iter_signatures(manifest, name, digest):
            if _is_valid_signature(aws, identity["key"], message, found):
                return True
    return False


def _is_valid_signature(aws: AwsClient, key: str, message: bytes, found: bytes) -> bool:
    asked = {"KeyId": key, "Message": message, "Signature": found, "MessageType": "RAW"}
    try:
        return bool(aws.read("kms", "verify", **asked, SigningAlgorithm="ECDSA_SHA_256")["SignatureValid"])
    except RejectedError as error:
        if error.code == "KMSInvalidSignatureException":
            return False
        raise
