"""The base image of a model's images, copied into their repository once: from then on its tag means the same image.

The tag is resolved once and recorded in ECR itself, so an upstream that moves or deletes it changes nothing, and a new
version of the model finds every layer but its own in place. Another base is another `image.base` in the spec.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence

from controller.aws import AwsClient
from controller.aws.batch_failures import describe_failures
from controller.aws.ecr_repository import EcrRepository
from controller.bundle import image, runtime_files
from controller.bundle.publish import copy_blob
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key, Ref, Value, digest
from controller.errors import BundleError, MissingError
from controller.resources.base import PermissionScope, Resource

# The default base, as an ECR pull-through cache of the public registry names it.
DEFAULT_BASE = f"ecr-public/docker/library/python:{runtime_files.PYTHON_VERSION}-slim"
_ECR_URI = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<rest>.+)")
_OWN_REPOSITORY_ARN = "ecr:{region}:{account}:repository/{repository}"
_BASE_REPOSITORY_ARN = "ecr:{region}:{base_account}:repository/{base_repository}"


class BaseImage(Resource):
    """One for each base and architecture that a ModelService names."""

    kind = "ecr/base-image"
    # The tag's first meaning holds, also for a spec that returns to it.
    superseded_policy = "keep"
    policy = FieldPolicy(revisioned=True, volatile=frozenset({"digest"}))
    permissions = {
        "ecr.describe_images": frozenset({"ecr:DescribeImages"}),
        # The first image that a pull-through cache fetches also creates its repository:
        # https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-iam.html
        "ecr.batch_get_image": frozenset({"ecr:BatchGetImage", "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"}),
        "ecr.get_download_url_for_layer": frozenset({"ecr:GetDownloadUrlForLayer"}),
        "ecr.batch_check_layer_availability": frozenset({"ecr:BatchCheckLayerAvailability"}),
        "ecr.initiate_layer_upload": frozenset({"ecr:InitiateLayerUpload"}),
        "ecr.upload_layer_part": frozenset({"ecr:UploadLayerPart"}),
        "ecr.complete_layer_upload": frozenset({"ecr:CompleteLayerUpload"}),
        "ecr.put_image": frozenset({"ecr:PutImage"}),
        "ecr.batch_delete_image": frozenset({"ecr:BatchDeleteImage"}),
    }
    scopes = {
        "ecr:": (PermissionScope(_OWN_REPOSITORY_ARN),),
        "ecr:BatchGetImage": (PermissionScope(_OWN_REPOSITORY_ARN), PermissionScope(_BASE_REPOSITORY_ARN)),
        "ecr:BatchImportUpstreamImage": (PermissionScope(_BASE_REPOSITORY_ARN),),
        "ecr:CreateRepository": (PermissionScope(_BASE_REPOSITORY_ARN),),
        "ecr:GetDownloadUrlForLayer": (PermissionScope(_BASE_REPOSITORY_ARN),),
    }
    retention_category = "service"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one node for the spec's base or the default one."""
        trained = context.trainable_spec
        if trained is None:
            return
        spec = trained.spec.image
        parts = {"base": spec.base or DEFAULT_BASE, "architecture": spec.architecture}
        yield Node(
            context.own_key(self.kind), {"repository": Ref(context.own_key("ecr/repository"), "name"), **parts}, parts
        )

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Find the copy by its tag, which follows from the spec."""
        found = {}
        for target in targets:
            digest_ = (
                EcrRepository(aws, target.identity["repository"]).digests_by_tag().get(base_image_tag(target.identity))
            )
            if digest_ is not None:
                found[target.key] = _observed(target.identity, digest_)
        return found

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Copy what is missing, then the manifest.

        Raises BundleError if there is no such image for the architecture.
        """
        if seen is not None:
            return seen
        identity = step.node.identity
        source, target = _source_repository(aws, identity["base"]), EcrRepository(aws, identity["repository"])
        manifest = _platform_manifest(source, identity["base"], identity["architecture"])
        for blob in sorted(target.missing_blobs(image.list_blob_digests(manifest))):
            copy_blob(blob, source, target)
        target.put_manifest(
            manifest, str(json.loads(manifest).get("mediaType", image.MANIFEST_TYPE)), base_image_tag(identity)
        )
        return _observed(identity, image.compute_digest(manifest))

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the copy; ECR itself removes layers that no image uses any more."""
        name, tag = target.identity["repository"], base_image_tag(target.identity)
        with contextlib.suppress(MissingError):
            answer = aws.write("ecr", "batch_delete_image", repositoryName=name, imageIds=[{"imageTag": tag}])
            if left := describe_failures(answer):
                return Waiting("NotDeleted", left, failing=True)
        return None

    def scope_variables(self, context: SpecContext, node: Node) -> Mapping[str, Value]:
        """Return its own repository, and the one that contains the base image."""
        place = _ECR_URI.fullmatch(node.identity["base"])
        account, rest = (
            (place["account"], place["rest"]) if place else (context.location.account, node.identity["base"])
        )
        base = {"base_account": account, "base_repository": rest.partition("@")[0].partition(":")[0]}
        return {**node.identity, **base}


def base_image_tag(identity: Mapping[str, Value]) -> str:
    """Return the tag of the copy: `base-0f1e2d3c4b5a`."""
    return f"base-{digest(identity['base'], identity['architecture'])[:12]}"


def _observed(identity: Mapping[str, Value], digest_: str) -> Observed:
    return Observed({name: identity[name] for name in ("base", "architecture")}, {"digest": digest_})


def _source_repository(aws: AwsClient, base: str) -> EcrRepository:
    """Return the repository that contains the base image."""
    account, rest = "", base
    if "." in base.partition("/")[0]:
        place = _ECR_URI.fullmatch(base)
        if place is None or place["region"] != aws.region:
            raise BundleError(
                "the base image is in a registry that can't be read from here",
                where=base,
                hint=f"copy it into ECR in {aws.region}, or reach it by a pull-through cache",
            )
        account, rest = place["account"], place["rest"]
    return EcrRepository(aws, rest.partition("@")[0].partition(":")[0], "" if account == aws.account else account)


def _platform_manifest(source: EcrRepository, base: str, architecture: str) -> bytes:
    """Return the base image's manifest for the architecture."""
    name, _, pinned = base.rpartition("/")[2].partition("@")
    try:
        manifest = source.get_manifest(tag=name.partition(":")[2], digest=pinned)
        if image.is_index(manifest):
            manifest = source.get_manifest(digest=image.select_platform(manifest, architecture))
    except MissingError as error:
        raise BundleError(
            "the base image is not there",
            where=base,
            why=error.why,
            hint="make the pull-through cache that its name says, or set image.base to an image that is",
        ) from error
    return manifest
