"""Layer uploads and the blobs they become: files named by their sha256. moto keeps repositories and tags."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedded_aws.api_call import ApiError

# Relative to the embedded AWS's home.
DIRECTORY = "ecr"

# InitiateLayerUpload answers 10 MiB; UploadLayerPart takes at most 20 MiB (its layerPartBlob's length limit), and every
# part but the last has at least 5 MiB (CompleteLayerUpload's LayerPartTooSmallException).
PART_SIZE = 10 * 1024 * 1024
PART_MAX = 20 * 1024 * 1024
PART_MIN = 5 * 1024 * 1024


@dataclass
class LayerUpload:
    """A layer upload in progress. `path` has the bytes received so far, `sha256` their running hash."""

    repository: str
    path: Path
    size: int = 0
    smallest_part: int = PART_MAX
    last_part_size: int = 0
    sha256: Any = field(default_factory=hashlib.sha256)


class BlobDirectory:
    """Every layer and config of all repositories, stored once. The caller holds the emulator's lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._uploads: dict[str, LayerUpload] = {}

    def clear(self) -> None:
        """Delete all blobs and uploads."""
        self._uploads.clear()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)

    def blob_path(self, digest: str) -> Path:
        """Return the file that holds the blob `sha256:…`."""
        return self._directory / digest.removeprefix("sha256:")

    def put(self, content: bytes) -> str:
        """Store `content` and return its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blob_path(digest).write_bytes(content)
        return digest

    def begin_upload(self, repository: str) -> str:
        """Open an upload and return its id."""
        upload_id = str(uuid.uuid4())
        self._uploads[upload_id] = LayerUpload(repository, self._directory / f"upload-{upload_id}")
        return upload_id

    def append_part(self, repository: str, upload_id: str, first: int, last: int, part: bytes) -> int:
        """Append the bytes `first` to `last`, both included; return the last byte received so far.

        Raises UploadNotFoundException, InvalidParameterException (over 20 MiB) and InvalidLayerPartException (not
        consecutive to the previous part, or of another length than announced). Source: ECR API reference,
        UploadLayerPart.
        """
        upload = self._get_upload(repository, upload_id)
        if len(part) > PART_MAX:
            raise ApiError(
                "InvalidParameterException",
                "Invalid parameter at 'layerPartBlob' failed to satisfy constraint: "
                f"'Member must have length less than or equal to {PART_MAX}'",
            )
        if first != upload.size or last - first + 1 != len(part):
            raise ApiError(
                "InvalidLayerPartException",
                "The layer part size is not valid, or the first byte specified is not consecutive to the last byte of "
                f"a previous layer part upload: upload '{upload_id}' has received bytes up to {upload.size - 1}, "
                f"this part says {first}-{last} and has {len(part)} bytes",
            )
        with upload.path.open("ab") as file:
            file.write(part)
        upload.sha256.update(part)
        if upload.size:
            upload.smallest_part = min(upload.smallest_part, upload.last_part_size)
        upload.size, upload.last_part_size = upload.size + len(part), len(part)
        return upload.size - 1

    def complete_upload(self, repository: str, upload_id: str, digests: list[str], present: dict[str, int]) -> str:
        """Verify the upload against its announced digest, store it, and return the digest. `present`: digest → size.

        Raises the errors of CompleteLayerUpload: EmptyUpload-, LayerPartTooSmall-, InvalidLayer- and
        LayerAlreadyExistsException. The last two also discard the upload.
        """
        upload = self._get_upload(repository, upload_id)
        where = f"in the repository with name '{repository}'"
        if not upload.size:
            raise ApiError("EmptyUploadException", f"The upload '{upload_id}' {where} has no layer parts")
        if upload.smallest_part < PART_MIN:
            raise ApiError("LayerPartTooSmallException", f"Layer parts must be at least {PART_MIN} bytes, but the last")
        digest = f"sha256:{upload.sha256.hexdigest()}"
        del self._uploads[upload_id]
        if digests != [digest]:
            upload.path.unlink()
            raise ApiError(
                "InvalidLayerException", f"The layer {where} has digest '{digest}', but {digests} was promised"
            )
        upload.path.replace(self.blob_path(digest))
        if digest in present:
            raise ApiError("LayerAlreadyExistsException", f"Layer with digest '{digest}' already exists {where}")
        present[digest] = upload.size
        return digest

    def _get_upload(self, repository: str, upload_id: str) -> LayerUpload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.repository != repository:
            raise ApiError(
                "UploadNotFoundException",
                f"Upload with id '{upload_id}' could not be found for the repository with name '{repository}'",
            )
        return upload
