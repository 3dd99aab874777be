"""A real registry at its worst: gone in mid-push, a token that ran out, a tag that is taken.

Each push is taken up again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from controller.bundle.oci_repository import OciRepository
from controller.errors import CredentialsError, FailedError, MissingError, UnavailableError
from tests.containers.conftest import ContainerRegistry, new_registry

BLOB = bytes(range(256)) * 4096 * 24  # three parts
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def manifest(*blobs: bytes) -> bytes:
    described = [{"mediaType": "application/octet-stream", "digest": digest(blob), "size": len(blob)} for blob in blobs]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": described[0], "layers": described}
    ).encode()


def pieces(content: bytes) -> Iterator[bytes]:
    yield from (content[start : start + (1 << 20)] for start in range(0, len(content), 1 << 20))


@pytest.fixture
def own_registry(tmp_path: Path) -> ContainerRegistry:
    """A registry that the test starts and stops."""
    return new_registry(tmp_path)


def test_push_interrupted_by_registry_outage_resumes(own_registry: ContainerRegistry) -> None:
    """The blob that was on its way isn't there; the one before it is, and isn't sent again."""
    small = b"small"
    with own_registry.serving():
        repository = own_registry.open("model")
        repository.push_blob(digest(small), [small])
    with pytest.raises(UnavailableError, match="can't be reached"):
        repository.push_blob(digest(BLOB), pieces(BLOB))
    serving = own_registry.serving()
    serving.__enter__()

    def cut_off() -> Iterable[bytes]:
        for number, piece in enumerate(pieces(BLOB)):
            if number == 15:
                serving.__exit__(None, None, None)
            yield piece

    with pytest.raises(UnavailableError, match="run again"):
        repository.push_blob(digest(BLOB), cut_off())
    with own_registry.serving():
        assert repository.missing_blobs([digest(small), digest(BLOB)]) == {digest(BLOB)}
        repository.push_blob(digest(BLOB), pieces(BLOB))
        repository.put_manifest(manifest(small, BLOB), MANIFEST_TYPE, "1")
        assert repository.missing_blobs([digest(BLOB)]) == set()
        with repository.fetch_blob(digest(BLOB)) as body:
            assert body.read() == BLOB


def test_expired_token_is_reported_and_push_resumes(own_registry: ContainerRegistry) -> None:
    """ECR's last twelve hours: after that each call is refused, with what to do; logging in again resumes."""
    with own_registry.serving():
        repository = own_registry.open("model")
        repository.push_blob(digest(b"one"), [b"one"])
        own_registry.accept_token("the-next-token")
        with pytest.raises(CredentialsError, match="tokens expire after twelve hours"):
            repository.push_blob(digest(b"two"), [b"two"])
        renewed = own_registry.open("model", "the-next-token")
        assert renewed.missing_blobs([digest(b"one"), digest(b"two")]) == {digest(b"two")}
        renewed.push_blob(digest(b"two"), [b"two"])


def test_blob_with_wrong_digest_is_refused(registry: ContainerRegistry) -> None:
    """The registry holds the bytes against the digest; what is wrong isn't kept."""
    repository = registry.open("promised")
    with pytest.raises(UnavailableError, match="other bytes than were announced"):
        repository.push_blob(digest(b"this"), [b"that"])
    assert repository.missing_blobs([digest(b"this"), digest(b"that")]) == {digest(b"this"), digest(b"that")}


def test_existing_tag_is_not_moved(registry: ContainerRegistry) -> None:
    """Somebody else's image under the tag is left as it is."""
    repository = registry.open("taken")
    for blob in (b"one", b"two"):
        repository.push_blob(digest(blob), [blob])
    repository.put_manifest(manifest(b"one"), MANIFEST_TYPE, "1")
    with pytest.raises(FailedError, match="another image under this tag"):
        repository.put_manifest(manifest(b"two"), MANIFEST_TYPE, "1")
    assert repository.get_manifest(tag="1") == manifest(b"one")


def test_missing_image_and_blob_are_reported(registry: ContainerRegistry) -> None:
    """Neither an image nor a blob that is missing is taken for anything else."""
    repository: OciRepository = registry.open("empty")
    with pytest.raises(MissingError):
        repository.get_manifest(tag="1")
    fetching: Any = repository.fetch_blob(digest(b"nothing"))
    with pytest.raises(MissingError), fetching:
        pass
