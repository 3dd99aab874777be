"""Import a base image from the Docker daemon, for tasks that are containers: the synthetic one has nothing to run.

The members of `docker save` are read one by one. Layers are recompressed as blobs; the config stays unchanged.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import tarfile
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import Any

from embedded_aws.errors import SettingError
from embedded_aws.images.manifest import OCI_MANIFEST

_LAYER, _CONFIG = "application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.config.v1+json"


def import_image(docker: str, image: str, put: Callable[[bytes], str]) -> tuple[str, str, dict[str, int]]:
    """Store an image's blobs through `put` (content → digest).

    Return its architecture, its manifest and the sizes of its blobs. The daemon pulls a missing image. Raises
    SettingError when it can't.
    """
    if subprocess.run([docker, "image", "inspect", image], capture_output=True, check=False).returncode:
        pulled = subprocess.run([docker, "pull", "--quiet", image], capture_output=True, text=True, check=False)
        if pulled.returncode:
            raise SettingError(
                f"Docker has no image {image!r} and can't pull it",
                why=pulled.stderr.strip(),
                hint="set MOORAGE_LOCAL_BASE to an image that it has: of Python 3.11, or built from the Dockerfile",
            )
    with TemporaryFile() as saved:
        subprocess.run([docker, "save", image], stdout=saved, check=True)
        saved.seek(0)
        with tarfile.open(fileobj=saved) as archive:
            return _convert_archive(archive, put)


def _convert_archive(archive: tarfile.TarFile, put: Callable[[bytes], str]) -> tuple[str, str, dict[str, int]]:
    (entry,) = json.loads(_read_member(archive, "manifest.json"))
    config = _read_member(archive, entry["Config"])
    described: list[dict[str, Any]] = [_store_blob(_CONFIG, config, put)]
    # Level 1 is enough: the blobs stay on this machine.
    described += [
        _store_blob(_LAYER, gzip.compress(_read_member(archive, name), 1, mtime=0), put) for name in entry["Layers"]
    ]
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described[0], "layers": described[1:]}
    sizes = {blob["digest"]: blob["size"] for blob in described}
    return json.loads(config)["architecture"], json.dumps(manifest, sort_keys=True), sizes


def _read_member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None  # noqa: S101  (Docker writes files and links to files)
    return file.read()


def _store_blob(media_type: str, content: bytes, put: Callable[[bytes], str]) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": put(content), "size": len(content)}
