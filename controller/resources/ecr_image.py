"""The image that serves one version of a model: a base image, the server's layers, and a layer with the model.

It is assembled here, without Docker, and pushed blob by blob. Its tag follows from its parts, so an existing image is
never made again, and a superseded one is available for a rollback.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from controller.aws import AwsClient
from controller.aws.ecr_repository import EcrRepository
from controller.aws.images import ecr_registry_host
from controller.bundle import image, inventory, layers, runtime_files, sbom, signature
from controller.bundle.build import Bundle
from controller.bundle.publish import publish_image
from controller.bundle.referrer import Referrer, make_referrer
from controller.bundle.runtime_files import Runtime
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key, Ref, Value, digest
from controller.errors import BundleError
from controller.resources.base import PermissionScope, Resource

_BUNDLE_FILES = ("model.ubj", "manifest.json")


class ModelImage(Resource):
    """One image for each selected version of each ModelService."""

    kind = "ecr/image"
    superseded_policy = "collect"
    reference_outputs = frozenset({"uri"})
    policy = FieldPolicy(
        revisioned=True,
        volatile=frozenset({"uri", "digest", "tag"}),
        # The locations of bundle and repository don't affect the image; `model` and the other parts do.
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
        "ecr:": (PermissionScope("ecr:{region}:{account}:repository/{repository}"),),
        "s3:": (PermissionScope("s3:::{bucket}/bundles/{owner}/*"),),
        "kms:": (PermissionScope("{key}"),),
    }
    retention_category = "service"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one image of the selected version."""
        trained = context.trainable_spec
        if trained is None:
            return
        selection, spec = context.own_key("model/selection"), trained.spec.image
        parts = {
            "version": Ref(selection, "version"),
            "model": Ref(selection, "model_sha256"),
            "server": context.inputs.server_digest,
            "base": Ref(context.own_key("ecr/base-image"), "digest"),
            "architecture": spec.architecture,
        }
        if spec.signing:
            parts["key"] = spec.signing.key
        repository = context.own_key("ecr/repository")
        desired = {**parts, "bundle": Ref(selection, "bundle"), "kept": Ref(repository, "arn")}
        yield Node(context.own_key(self.kind), {"repository": Ref(repository, "name"), **parts}, desired)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Find each image by its tag, which means exactly these parts. One listing for each repository."""
        found = ((target, _find_digest(aws, target.identity)) for target in targets)
        return {target.key: _observed(aws, target.identity, digest_) for target, digest_ in found if digest_}

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Assemble the image and push what the registry lacks. Raises BundleError for an unsuitable bundle or base."""
        if seen is not None:
            return seen
        identity, bundle = step.node.identity, _read_bundle(aws, step.node)
        repository = EcrRepository(aws, identity["repository"])
        base = repository.get_manifest(digest=identity["base"])
        with repository.fetch_blob(image.get_config_digest(base)) as body:
            config = body.read()
        made, server = self._assemble(base, config, identity, bundle)
        brings = inventory.read_inventory(repository, base, config, self.resource_context.cache_directory)
        bill = sbom.build_sbom(made, bundle, base_digest=identity["base"], base_inventory=brings, server_version=server)
        beside = [make_referrer(made.manifest, sbom.MEDIA_TYPE, bill, sbom.MEDIA_TYPE)]
        if "key" in identity:
            uri = _observed(aws, identity, made.digest).outputs["uri"]
            beside.append(_sign_image(aws, made, identity["key"], uri.partition("@")[0]))
        publish_image(made, repository, repository, model_image_tag(identity), beside)
        return _observed(aws, identity, made.digest)

    def _assemble(
        self, base: bytes, config: bytes, identity: Mapping[str, Value], bundle: Bundle
    ) -> tuple[image.AssembledImage, str]:
        """Return the image on a base with this manifest and config, and the version of the server in it."""
        architecture, server = identity["architecture"], image.get_server_version(config)
        below = () if server else layers.pack_server_layers(self.resource_context.cache_directory, architecture)
        server = server or identity["server"][:12]
        made = image.assemble_image(
            base,
            config,
            [*below, layers.pack_model_layer(bundle)],
            runtime=Runtime(runtime_files.PYTHON_VERSION, architecture),
            server_version=server,
            annotations=_provenance_annotations(bundle, identity["base"]),
        )
        return made, server

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the image with its bill of materials and its signature."""
        left = EcrRepository(aws, target.identity["repository"]).delete_image(model_image_tag(target.identity))
        return Waiting("NotDeleted", left, failing=True) if left else None

    def status_facts(self, seen: Observed) -> Mapping[str, Value]:
        """Return the image's URI."""
        return {"image": seen.outputs["uri"]}


def model_image_tag(identity: Mapping[str, Value]) -> str:
    """Return the tag of the image that consists of these parts, readable by its version: `v3-0f1e2d3c4b5a`."""
    return f"v{identity['version']}-{digest(identity)[:12]}"


def _find_digest(aws: AwsClient, identity: Mapping[str, Value]) -> str:
    return EcrRepository(aws, identity["repository"]).digests_by_tag().get(model_image_tag(identity), "")


def _observed(aws: AwsClient, identity: Mapping[str, Value], digest_: str) -> Observed:
    fields = {name: value for name, value in identity.items() if name != "repository"}
    uri = f"{ecr_registry_host(aws.account, aws.region)}/{identity['repository']}@{digest_}"
    return Observed(fields, {"uri": uri, "digest": digest_, "tag": model_image_tag(identity)})


def _sign_image(aws: AwsClient, made: image.AssembledImage, key: str, repository: str) -> Referrer:
    """Return the image's signature with a KMS key, in `cosign`'s format."""
    message = signature.build_payload(repository, made.digest)
    answer = aws.write("kms", "sign", KeyId=key, Message=message, MessageType="RAW", SigningAlgorithm="ECDSA_SHA_256")
    return signature.make_signature_referrer(made.manifest, repository, answer["Signature"])


def _provenance_annotations(bundle: Bundle, base: str) -> dict[str, str]:
    """Return the origin of the image as annotations, without what is unknown."""
    manifest, lineage = bundle.manifest, bundle.manifest.lineage
    reported = {
        "org.opencontainers.image.title": manifest.name,
        "org.opencontainers.image.version": str(manifest.version or ""),
        "org.opencontainers.image.revision": lineage.get("commit", ""),
        "org.opencontainers.image.base.digest": base,
        "dev.moorage.data": lineage.get("data_digest", ""),
        "dev.moorage.fingerprint": lineage.get("fingerprint", ""),
        "dev.moorage.model": manifest.model.sha256,
        "dev.moorage.training-job": lineage.get("training_job", ""),
    }
    return {name: value for name, value in reported.items() if value}


def _read_bundle(aws: AwsClient, node: Node) -> Bundle:
    """Return the bundle that the version was registered with. Raises BundleError if it contains another model."""
    place = urlsplit(node.desired["bundle"])
    prefix = place.path.strip("/")
    files = {name: _read_object(aws, place.netloc, f"{prefix}/{name}") for name in _BUNDLE_FILES}
    bundle = Bundle.from_files(files, version=int(node.identity["version"]))
    if bundle.manifest.model.sha256 != node.identity["model"]:
        raise BundleError(
            "the bundle holds another model than the version that was selected",
            where=node.desired["bundle"],
            why=f"it has {bundle.manifest.model.sha256[:12]}…, the version {node.identity['model'][:12]}…",
            hint="train again, or pin another version",
        )
    return bundle


def _read_object(aws: AwsClient, bucket: str, key: str) -> bytes:
    with aws.read("s3", "get_object", Bucket=bucket, Key=key)["Body"] as body:
        content: bytes = body.read()
        return content
