"""The image that serves one version of a model: a base image, the server's layers, and a layer with the model.

It is put together here, without Docker, and pushed blob by blob. Its tag follows from what it is made of, so an image
that exists is never made again, and one that was superseded is at hand for a rollback.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from controller.aws import Aws
from controller.aws.images import registry
from controller.aws.repository import Repository
from controller.bundle import closure, image, inventory, layers, sbom, signature
from controller.bundle.build import Bundle
from controller.bundle.closure import Runtime
from controller.bundle.publish import publish
from controller.bundle.referrer import Referrer, refer
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Waiting
from controller.core.values import Key, Ref, Value, digest
from controller.core.wanted import Wanted
from controller.errors import BundleError
from controller.resources.base import Resource, Scope

_FILES = ("model.ubj", "manifest.json")


class ModelImage(Resource):
    """One for each selected version of each ModelService."""

    kind = "ecr/image"
    superseded = "collect"
    handles = frozenset({"uri"})
    policy = FieldPolicy(
        revisioned=True,
        volatile=frozenset({"uri", "digest", "tag"}),
        # Where bundle and repository are doesn't tell what is in the image; `model` and the other parts do.
        ignore=frozenset({"bundle", "kept"}),
    )
    permissions = {
        "ecr.describe_images": frozenset({"ecr:DescribeImages"}),
        "ecr.batch_get_image": frozenset({"ecr:BatchGetImage"}),
        "ecr.get_download_url_for_layer": frozenset({"ecr:GetDownloadUrlForLayer"}),
        "ecr.batch_check_layer_availability": frozenset({"ecr:BatchCheckLayerAvailability"}),
        "ecr.initiate_layer_upload": frozenset({"ecr:InitiateLayerUpload"}),
        "ecr.upload_layer_part": frozenset({"ecr:UploadLayerPart"}),
        "ecr.complete_layer_upload": frozenset({"ecr:CompleteLayerUpload"}),
        "ecr.put_image": frozenset({"ecr:PutImage"}),
        # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html
        "ecr.list_image_referrers": frozenset({"ecr:BatchGetImage"}),
        "ecr.batch_delete_image": frozenset({"ecr:BatchDeleteImage"}),
        "s3.get_object": frozenset({"s3:GetObject"}),
        "kms.sign": frozenset({"kms:Sign"}),
    }
    scopes = {
        "ecr:": (Scope("ecr:{region}:{account}:repository/{repository}"),),
        "s3:": (Scope("s3:::{bucket}/bundles/{owner}/*"),),
        "kms:": (Scope("{key}"),),
    }
    retain = "service"

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One, of the selected version."""
        trained = want.trained
        if trained is None:
            return
        selection, spec = want.own("model/selection"), trained.spec.image
        parts = {
            "version": Ref(selection, "version"),
            "model": Ref(selection, "model_sha256"),
            "server": want.inputs.server_digest,
            "base": Ref(want.own("ecr/base-image"), "digest"),
            "architecture": spec.architecture,
        }
        if spec.signing:
            parts["key"] = spec.signing.key
        repository = want.own("ecr/repository")
        desired = {**parts, "bundle": Ref(selection, "bundle"), "kept": Ref(repository, "arn")}
        yield Node(want.own(self.kind), {"repository": Ref(repository, "name"), **parts}, desired)

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """By tag: what has it was made of exactly these parts. One listing for each repository."""
        found = ((target, _find(aws, target.identity)) for target in targets)
        return {target.key: _observed(aws, target.identity, digest_) for target, digest_ in found if digest_}

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Put it together and push what the registry lacks. Raises BundleError for a bundle or a base that won't do."""
        if seen is not None:
            return seen
        identity, bundle = step.node.identity, _bundle(aws, step.node)
        repository = Repository(aws, identity["repository"])
        base = repository.manifest(digest=identity["base"])
        with repository.fetch(image.config_of(base)) as body:
            config = body.read()
        made, server = self._assemble(base, config, identity, bundle)
        brings = inventory.take(repository, base, config, self.workshop.cache)
        bill = sbom.bill(made, bundle, base=identity["base"], brings=brings, server=server)
        beside = [refer(made.manifest, sbom.MEDIA_TYPE, bill, sbom.MEDIA_TYPE)]
        if "key" in identity:
            uri = _observed(aws, identity, made.digest).outputs["uri"]
            beside.append(_signed(aws, made, identity["key"], uri.partition("@")[0]))
        publish(made, repository, repository, tag_of(identity), beside)
        return _observed(aws, identity, made.digest)

    def _assemble(
        self, base: bytes, config: bytes, identity: Mapping[str, Value], bundle: Bundle
    ) -> tuple[image.Image, str]:
        """The image on a base of this manifest and config, and the version of the server in it."""
        architecture, server = identity["architecture"], image.server_in(config)
        below = () if server else layers.server_layers(self.workshop.cache, architecture)
        server = server or identity["server"][:12]
        made = image.assemble(
            base,
            config,
            [*below, layers.model_layer(bundle)],
            runtime=Runtime(closure.PYTHON, architecture),
            server_version=server,
            annotations=_provenance(bundle, identity["base"]),
        )
        return made, server

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Remove it with its bill of materials and its signature."""
        left = Repository(aws, target.identity["repository"]).remove(tag_of(target.identity))
        return Waiting("NotDeleted", left, failing=True) if left else None

    def facts(self, seen: Observed) -> Mapping[str, Value]:
        """What is pulled."""
        return {"image": seen.outputs["uri"]}


def tag_of(identity: Mapping[str, Value]) -> str:
    """The tag of the image that is made of these parts, readable by its version: `v3-0f1e2d3c4b5a`."""
    return f"v{identity['version']}-{digest(identity)[:12]}"


def _find(aws: Aws, identity: Mapping[str, Value]) -> str:
    return Repository(aws, identity["repository"]).tags().get(tag_of(identity), "")


def _observed(aws: Aws, identity: Mapping[str, Value], digest_: str) -> Observed:
    fields = {name: value for name, value in identity.items() if name != "repository"}
    uri = f"{registry(aws.account, aws.region)}/{identity['repository']}@{digest_}"
    return Observed(fields, {"uri": uri, "digest": digest_, "tag": tag_of(identity)})


def _signed(aws: Aws, made: image.Image, key: str, repository: str) -> Referrer:
    """The image's signature with a KMS key, as `cosign` writes it."""
    message = signature.payload(repository, made.digest)
    answer = aws.write("kms", "sign", KeyId=key, Message=message, MessageType="RAW", SigningAlgorithm="ECDSA_SHA_256")
    return signature.signed(made.manifest, repository, answer["Signature"])


def _provenance(bundle: Bundle, base: str) -> dict[str, str]:
    """Where it comes from, as annotations; what isn't known is left out."""
    manifest, lineage = bundle.manifest, bundle.manifest.lineage
    told = {
        "org.opencontainers.image.title": manifest.name,
        "org.opencontainers.image.version": str(manifest.version or ""),
        "org.opencontainers.image.revision": lineage.get("commit", ""),
        "org.opencontainers.image.base.digest": base,
        "dev.moorage.data": lineage.get("data_digest", ""),
        "dev.moorage.fingerprint": lineage.get("fingerprint", ""),
        "dev.moorage.model": manifest.model.sha256,
        "dev.moorage.training-job": lineage.get("training_job", ""),
    }
    return {name: value for name, value in told.items() if value}


def _bundle(aws: Aws, node: Node) -> Bundle:
    """The bundle that the version was registered with. Raises BundleError if it isn't the model that was selected."""
    place = urlsplit(node.desired["bundle"])
    prefix = place.path.strip("/")
    files = {name: _object(aws, place.netloc, f"{prefix}/{name}") for name in _FILES}
    bundle = Bundle.reopen(files, version=int(node.identity["version"]))
    if bundle.manifest.model.sha256 != node.identity["model"]:
        raise BundleError(
            "the bundle holds another model than the version that was selected",
            where=node.desired["bundle"],
            why=f"it has {bundle.manifest.model.sha256[:12]}…, the version {node.identity['model'][:12]}…",
            hint="train again, or pin another version",
        )
    return bundle


def _object(aws: Aws, bucket: str, key: str) -> bytes:
    with aws.read("s3", "get_object", Bucket=bucket, Key=key)["Body"] as body:
        content: bytes = body.read()
        return content
