"""ECR's rules: verified layers, true digests, immutable tags, downloadable blobs, and seeded base images.

moto keeps repositories, tags and policies. Error codes are those that the ECR API reference lists for each operation;
texts follow AWS's answers. `images/` reads blobs and manifests.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from aiohttp import web
from moto.ecr.models import Image, Repository, ecr_backends

from embedded_aws.api_call import ApiCall, ApiError
from embedded_aws.emulator import Emulator
from embedded_aws.images import base_image, docker_import
from embedded_aws.images.blobs import DIRECTORY, PART_SIZE, BlobDirectory
from embedded_aws.images.manifest import ImageManifest, ManifestError, parse_manifest

_LAYERS = "/_moorage/layers"


def install(emulator: Emulator) -> None:
    """Register handlers of the image and layer operations, and the routes of downloads and scan findings."""
    handlers = EcrHandlers(emulator)
    for operation in (
        handlers.initiate_layer_upload,
        handlers.upload_layer_part,
        handlers.complete_layer_upload,
        handlers.put_image,
        handlers.batch_get_image,
        handlers.batch_delete_image,
        handlers.get_download_url_for_layer,
        handlers.describe_images,
        handlers.describe_image_scan_findings,
        handlers.list_image_referrers,
    ):
        name = "".join(word.capitalize() for word in operation.__name__.split("_"))
        emulator.register_handler("ecr", name, operation)
    emulator.add_route(_LAYERS + "/{digest:sha256:[0-9a-f]{64}}", handlers.download_blob, "GET")
    emulator.add_route("/_moorage/findings", handlers.set_findings, "PUT")
    emulator.on_reset(handlers.reset)


class StoredImage(Image):  # type: ignore[misc]  # moto has no types
    """An image whose digest, size and media types come from its manifest."""

    def __init__(self, repository: Repository, tag: str | None, text: str, manifest: ImageManifest) -> None:
        digest = _digest(text)
        super().__init__(repository.account_id, tag, text, repository.name, manifest.media_type, digest)
        self.manifest = manifest
        self.artifact_media_type = manifest.config.media_type if manifest.config else None

    @property
    def image_size_in_bytes(self) -> int:
        """The compressed size of what a pull transfers, in bytes (DescribeImages)."""
        return self.manifest.size


class EcrHandlers:
    """The handlers of ECR. The server calls each under the emulator's lock."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._blobs = BlobDirectory(emulator.home / DIRECTORY)
        self._findings: dict[str, int] = {}

    def reset(self) -> None:
        """Forget all blobs. Seed the base images in the home region, each an index of two architectures."""
        self._blobs.clear()
        self._findings = {}
        backend = ecr_backends[self._emulator.account][self._emulator.region]
        repository = backend.create_repository(base_image.REPOSITORY, None, {}, {}, "MUTABLE", [])
        for python in base_image.PYTHONS:
            manifests = {}
            for architecture, (text, blobs) in self._build_base_images(python).items():
                repository.layers.update(blobs)
                manifests[architecture] = text
                repository.images.append(StoredImage(repository, None, text, parse_manifest(text)))
            text = base_image.build_index(manifests)
            repository.images.append(StoredImage(repository, base_image.build_tag(python), text, parse_manifest(text)))

    def _build_base_images(self, python: str) -> dict[str, tuple[str, dict[str, int]]]:
        """Return manifest and blobs of a Python's base image by architecture.

        The image is synthetic, or comes from Docker where tasks are containers.
        """
        if os.environ.get("MOORAGE_LOCAL_RUNNER") == "docker" and python == base_image.PYTHONS[0]:
            image = os.environ.get("MOORAGE_LOCAL_BASE") or f"python:{base_image.build_tag(python)}"
            architecture, text, blobs = docker_import.import_image("docker", image, self._blobs.put)
            return {architecture: (text, blobs)}
        return {name: base_image.build_image(self._blobs.put, python, name) for name in base_image.ARCHITECTURES}

    def initiate_layer_upload(self, call: ApiCall) -> Mapping[str, Any]:
        """Open an upload."""
        return {"uploadId": self._blobs.begin_upload(_get_repository(call).name), "partSize": PART_SIZE}

    def upload_layer_part(self, call: ApiCall) -> Mapping[str, Any]:
        """Take one part, in order."""
        repository, params = _get_repository(call), call.params
        received = self._blobs.append_part(
            repository.name,
            params["uploadId"],
            params["partFirstByte"],
            params["partLastByte"],
            params["layerPartBlob"],
        )
        return _repository_fields(repository) | {"uploadId": params["uploadId"], "lastByteReceived": received}

    def complete_layer_upload(self, call: ApiCall) -> Mapping[str, Any]:
        """Verify the layer and keep it."""
        repository, params = _get_repository(call), call.params
        digest = self._blobs.complete_upload(
            repository.name, params["uploadId"], params["layerDigests"], repository.layers
        )
        return _repository_fields(repository) | {"uploadId": params["uploadId"], "layerDigest": digest}

    def put_image(self, call: ApiCall) -> Mapping[str, Any]:
        """Keep a manifest whose parts all exist, under its own digest."""
        repository, params = _get_repository(call), call.params
        text, tag = params["imageManifest"], params.get("imageTag")
        if params.get("imageDigest") not in {None, _digest(text)}:
            raise ApiError(
                "ImageDigestDoesNotMatchException",
                f"The image digest '{params['imageDigest']}' doesn't match the manifest's digest '{_digest(text)}'",
            )
        try:
            manifest = parse_manifest(text, params.get("imageManifestMediaType"))
        except ManifestError as error:
            raise ApiError(
                "InvalidParameterException",
                f"Invalid parameter at 'ImageManifest' failed to satisfy constraint: '{error}'",
            ) from error
        _require_parts(repository, manifest)
        image = _add_image(repository, StoredImage(repository, None, text, manifest), tag)
        if repository.image_scanning_configuration.get("scanOnPush"):
            image.last_scan = self._emulator.now()
        return {"image": _describe_image(repository, image, tag)}

    def batch_get_image(self, call: ApiCall) -> Mapping[str, Any]:
        """Return manifests as they were put. A media type that the caller doesn't accept is a failure."""
        repository, params = _get_repository(call), call.params
        accepted = params.get("acceptedMediaTypes") or []
        found: dict[str, list[Any]] = {"images": [], "failures": []}
        for image_id in params["imageIds"]:
            image = _find_image(repository, image_id)
            if image is None or (accepted and image.image_manifest_media_type not in accepted):
                reason = "Requested image not found"
                failure = {"imageId": image_id, "failureCode": "ImageNotFound", "failureReason": reason}
                found["failures"].append(failure)
            else:
                image.last_recorded_pull_time = self._emulator.now()
                found["images"].append(_describe_image(repository, image, image_id.get("imageTag")))
        return found

    def batch_delete_image(self, call: ApiCall) -> Mapping[str, Any]:
        """Remove a tag, and with the last tag the image; or, by digest, the image with all its tags."""
        repository = _get_repository(call)
        result: dict[str, list[Any]] = {"imageIds": [], "failures": []}
        for image_id in call.params["imageIds"]:
            image, code = _find_image(repository, image_id), "ImageNotFound"
            if image and "imageTag" not in image_id and _is_in_index(repository, image):
                image, code = None, "ImageReferencedByManifestList"
            if image is None:
                result["failures"].append({"imageId": image_id, "failureCode": code, "failureReason": code})
                continue
            tags = [image_id["imageTag"]] if "imageTag" in image_id else list(image.image_tags)
            ids = [{"imageDigest": image.image_digest, "imageTag": tag} for tag in tags]
            result["imageIds"] += ids or [{"imageDigest": image.image_digest}]
            for tag in tags:
                image.remove_tag(tag)
            if not image.image_tags:
                repository.images.remove(image)
                _delete_referrers(repository, image.image_digest)
        return result

    def list_image_referrers(self, call: ApiCall) -> Mapping[str, Any]:
        """List the artifacts that point at an image, filtered by type."""
        repository, params = _get_repository(call), call.params
        types = params.get("filter", {}).get("artifactTypes") or []
        found = [
            {
                "digest": image.image_digest,
                "mediaType": image.image_manifest_media_type,
                "artifactType": image.manifest.artifact_type,
                "size": len(image.image_manifest),
            }
            for image in _find_referrers(repository, params["subjectId"]["imageDigest"])
            if not types or image.manifest.artifact_type in types
        ]
        return {"referrers": found}

    async def set_findings(self, request: web.Request) -> web.Response:
        """Set the findings of all scans from now on: severity → count.

        For trying `image.maxSeverity`; AWS has no such call.
        """
        with self._emulator.lock:
            self._findings = {str(name): int(count) for name, count in (await request.json()).items()}
        return web.json_response(self._findings)

    def get_download_url_for_layer(self, call: ApiCall) -> Mapping[str, Any]:
        """Return the URL of a layer or config. AWS returns an S3 URL that is signed for an hour."""
        repository, digest = _get_repository(call), call.params["layerDigest"]
        if digest not in repository.layers:
            raise _layers_not_found(repository, [digest])
        return {"downloadUrl": f"{self._emulator.endpoint}{_LAYERS}/{digest}", "layerDigest": digest}

    async def download_blob(self, request: web.Request) -> web.StreamResponse:
        """Send a blob."""
        path = self._blobs.blob_path(request.match_info["digest"])
        return web.FileResponse(path) if path.exists() else web.Response(status=404)

    def describe_images(self, call: ApiCall) -> Mapping[str, Any]:
        """Describe images, newest last. Raises ImageNotFoundException when a named image is missing."""
        repository, params = _get_repository(call), call.params
        tag_status = params.get("filter", {}).get("tagStatus", "ANY")
        if image_ids := params.get("imageIds"):
            images = [_find_image(repository, image_id) for image_id in image_ids]
            if None in images:
                # moto answers with AWS's error.
                return call.call_moto()
        else:
            images = [
                i for i in repository.images if tag_status == "ANY" or bool(i.image_tags) == (tag_status == "TAGGED")
            ]
        return {"imageDetails": [_describe_image_detail(repository, image) for image in images if image]}

    def describe_image_scan_findings(self, call: ApiCall) -> Mapping[str, Any]:
        """Report a scan that the push or StartImageScan made, with the findings set before.

        Without a scan: ScanNotFoundException.
        """
        repository, image_id = _get_repository(call), call.params["imageId"]
        image = _find_image(repository, image_id)
        if image is None or image.last_scan is None:
            code = "ScanNotFoundException" if image else "ImageNotFoundException"
            raise ApiError(code, f"Image scan does not exist for the image with '{image_id}' in '{repository.name}'")
        return _repository_fields(repository) | {
            "imageId": image_id,
            "imageScanStatus": {"status": "COMPLETE", "description": "The scan was completed successfully."},
            "imageScanFindings": {
                "findings": [],
                "findingSeverityCounts": self._findings,
                "imageScanCompletedAt": image.last_scan,
            },
        }


def _digest(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _get_repository(call: ApiCall) -> Repository:
    """Return the repository that the call names. Raises RepositoryNotFoundException, as AWS does."""
    name, registry_id = call.params["repositoryName"], call.params.get("registryId")
    repository = ecr_backends[call.account][call.region].repositories.get(name)
    if repository is None or registry_id not in {None, repository.registry_id}:
        raise ApiError(
            "RepositoryNotFoundException",
            f"The repository with name '{name}' does not exist in the registry with id '{registry_id or call.account}'",
        )
    return repository


def _repository_fields(repository: Repository) -> dict[str, Any]:
    return {"registryId": repository.registry_id, "repositoryName": repository.name}


def _describe_image(repository: Repository, image: Image, tag: str | None) -> dict[str, Any]:
    return _repository_fields(repository) | {
        "imageId": {"imageDigest": image.image_digest} | ({"imageTag": tag} if tag else {}),
        "imageManifest": image.image_manifest,
        "imageManifestMediaType": image.image_manifest_media_type,
    }


def _describe_image_detail(repository: Repository, image: Image) -> dict[str, Any]:
    details = _repository_fields(repository) | {
        "imageDigest": image.image_digest,
        "imageTags": image.image_tags or None,
        "imageSizeInBytes": image.image_size_in_bytes,
        "imagePushedAt": image.image_pushed_at,
        "imageManifestMediaType": image.image_manifest_media_type,
        "artifactMediaType": image.artifact_media_type,
        "lastRecordedPullTime": getattr(image, "last_recorded_pull_time", None),
        "imageScanStatus": {"status": "COMPLETE"} if image.last_scan else None,
    }
    return {key: value for key, value in details.items() if value is not None}


def _find_image(repository: Repository, image_id: Mapping[str, str]) -> Image | None:
    """Find an image by digest, by tag, or by both when they agree; return None otherwise."""
    digest, tag = image_id.get("imageDigest"), image_id.get("imageTag")
    matching = (
        image
        for image in repository.images
        if digest in {None, image.image_digest} and (tag is None or tag in image.image_tags)
    )
    return next(matching, None) if digest or tag else None


def _is_in_index(repository: Repository, image: Image) -> bool:
    """Return whether an index in the repository points at the image."""
    return any(part.digest == image.image_digest for other in repository.images for part in other.manifest.images)


def _find_referrers(repository: Repository, digest: str) -> list[StoredImage]:
    return [image for image in repository.images if image.manifest.subject and image.manifest.subject.digest == digest]


def _delete_referrers(repository: Repository, digest: str) -> None:
    """Delete the artifacts that point at an image, as ECR does with the image itself.

    Source: Amazon ECR user guide, "Deleting signatures and other artifacts".
    """
    for image in _find_referrers(repository, digest):
        if not image.image_tags:
            repository.images.remove(image)


def _require_parts(repository: Repository, manifest: ImageManifest) -> None:
    """Refuse a manifest that points at missing parts (PutImage: LayersNotFound-, ReferencedImagesNotFoundException)."""
    if missing := [blob.digest for blob in manifest.blobs if blob.digest not in repository.layers]:
        raise _layers_not_found(repository, missing)
    known = {image.image_digest for image in repository.images}
    if missing := [image.digest for image in manifest.images if image.digest not in known]:
        raise ApiError("ReferencedImagesNotFoundException", f"The images {missing} do not exist in '{repository.name}'")


def _layers_not_found(repository: Repository, digests: list[str]) -> ApiError:
    return ApiError(
        "LayersNotFoundException",
        f"The layers with digests '{digests}' required for pushing or pulling the image do not exist in the repository "
        f"with name '{repository.name}' in the registry with id '{repository.registry_id}'",
    )


def _add_image(repository: Repository, new: StoredImage, tag: str | None) -> Image:
    """Add the image, or add a tag to the image that has this digest; move the tag if it is mutable."""
    known = _find_image(repository, {"imageDigest": new.image_digest})
    holder = _find_image(repository, {"imageTag": tag}) if tag else known
    if known and holder is known:
        raise ApiError(
            "ImageAlreadyExistsException",
            f"Image with digest '{new.image_digest}' and tag '{tag}' already exists in the repository "
            f"with name '{repository.name}' in registry with id '{repository.registry_id}'",
        )
    if holder and tag:
        if _is_immutable(repository, tag):
            raise ApiError(
                "ImageTagAlreadyExistsException",
                f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot be overwritten "
                "because the tag is immutable.",
            )
        # Moving a tag leaves its old image untagged; it doesn't delete the image.
        holder.remove_tag(tag)
    image = known or new
    if known is None:
        repository.images.append(new)
    if tag:
        image.update_tag(tag)
    return image


def _is_immutable(repository: Repository, tag: str) -> bool:
    """Return whether the tag may not move.

    ECR has four mutability settings; the wildcards of an exclusion filter invert the setting.
    """
    setting = str(getattr(repository.image_tag_mutability, "value", repository.image_tag_mutability))
    filters = repository.image_tag_mutability_exclusion_filters or []
    excluded = any(fnmatchcase(tag, entry["filter"]) for entry in filters)
    return setting.startswith("IMMUTABLE") != excluded
