"""The base image of a model's images, copied into their repository once: what a tag meant then is what it means from now on.

So the tag is resolved once and recorded in ECR itself, an upstream that moves or loses it changes nothing, and a new
version of the model finds every layer but its own in place. Another base is another `image.base` in the spec.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence

from controller.aws import Aws
from controller.aws.failures import left_undone
from controller.aws.repository import Repository
from controller.bundle import closure, image
from controller.bundle.publish import copy
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Waiting
from controller.core.values import Key, Ref, Value, digest
from controller.core.wanted import Wanted
from controller.errors import BundleError, MissingError
from controller.resources.base import Resource, Scope

# As an ECR pull-through cache of the public registry names it.
BASE = f"ecr-public/docker/library/python:{closure.PYTHON}-slim"
_ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<rest>.+)")
_OWN = "ecr:{region}:{account}:repository/{repository}"
_BASE = "ecr:{region}:{base_account}:repository/{base_repository}"


class BaseImage(Resource):
    """One for each base and architecture that a ModelService names."""

    kind = "ecr/base-image"
    # What a tag meant is what it means from now on, also for a spec that comes back to it.
    superseded = "keep"
    policy = FieldPolicy(revisioned=True, volatile=frozenset({"digest"}))
    permissions = {
        "ecr.describe_images": frozenset({"ecr:DescribeImages"}),
        # The first image that a pull-through cache fetches also makes its repository:
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
        "ecr:": (Scope(_OWN),),
        "ecr:BatchGetImage": (Scope(_OWN), Scope(_BASE)),
        "ecr:BatchImportUpstreamImage": (Scope(_BASE),),
        "ecr:CreateRepository": (Scope(_BASE),),
        "ecr:GetDownloadUrlForLayer": (Scope(_BASE),),
    }
    retain = "service"

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One, of the spec's base or of the default one."""
        trained = want.trained
        if trained is None:
            return
        spec = trained.spec.image
        parts = {"base": spec.base or BASE, "architecture": spec.architecture}
        yield Node(want.own(self.kind), {"repository": Ref(want.own("ecr/repository"), "name"), **parts}, parts)

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """By tag, which follows from what the spec says of it."""
        found = {}
        for target in targets:
            digest_ = Repository(aws, target.identity["repository"]).tags().get(tag_of(target.identity))
            if digest_ is not None:
                found[target.key] = _observed(target.identity, digest_)
        return found

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Copy what is missing, then the manifest. Raises BundleError if there is no such image for the architecture."""
        if seen is not None:
            return seen
        identity = step.node.identity
        source, target = _source(aws, identity["base"]), Repository(aws, identity["repository"])
        manifest = _manifest(source, identity["base"], identity["architecture"])
        for blob in sorted(target.missing(image.blobs_of(manifest))):
            copy(blob, source, target)
        target.put(manifest, str(json.loads(manifest).get("mediaType", image.MANIFEST_TYPE)), tag_of(identity))
        return _observed(identity, image.digest_of(manifest))

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Remove it; layers that no image uses any more, ECR removes by itself."""
        name, tag = target.identity["repository"], tag_of(target.identity)
        with contextlib.suppress(MissingError):
            answer = aws.write("ecr", "batch_delete_image", repositoryName=name, imageIds=[{"imageTag": tag}])
            if left := left_undone(answer):
                return Waiting("NotDeleted", left, failing=True)
        return None

    def names(self, want: Wanted, node: Node) -> Mapping[str, Value]:
        """Its own repository, and the one that the base image is in."""
        place = _ECR.fullmatch(node.identity["base"])
        account, rest = (place["account"], place["rest"]) if place else (want.place.account, node.identity["base"])
        base = {"base_account": account, "base_repository": rest.partition("@")[0].partition(":")[0]}
        return {**node.identity, **base}


def tag_of(identity: Mapping[str, Value]) -> str:
    """The tag of the copy: `base-0f1e2d3c4b5a`."""
    return f"base-{digest(identity['base'], identity['architecture'])[:12]}"


def _observed(identity: Mapping[str, Value], digest_: str) -> Observed:
    return Observed({name: identity[name] for name in ("base", "architecture")}, {"digest": digest_})


def _source(aws: Aws, base: str) -> Repository:
    """Where the base image is."""
    account, rest = "", base
    if "." in base.partition("/")[0]:
        place = _ECR.fullmatch(base)
        if place is None or place["region"] != aws.region:
            raise BundleError(
                "the base image is in a registry that can't be read from here",
                where=base,
                hint=f"copy it into ECR in {aws.region}, or reach it by a pull-through cache",
            )
        account, rest = place["account"], place["rest"]
    return Repository(aws, rest.partition("@")[0].partition(":")[0], "" if account == aws.account else account)


def _manifest(source: Repository, base: str, architecture: str) -> bytes:
    """Its manifest for the architecture."""
    name, _, pinned = base.rpartition("/")[2].partition("@")
    try:
        manifest = source.manifest(tag=name.partition(":")[2], digest=pinned)
        if image.is_index(manifest):
            manifest = source.manifest(digest=image.platform_of(manifest, architecture))
    except MissingError as error:
        raise BundleError(
            "the base image is not there",
            where=base,
            why=error.why,
            hint="make the pull-through cache that its name says, or set image.base to an image that is",
        ) from error
    return manifest
