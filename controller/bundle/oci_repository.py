"""A repository of any registry with OCI's distribution protocol, through `oras`: its authentication, our transfers.

Credentials come from Docker's configuration and its helpers unless they are given. Nothing is sent twice, except after
a response of 401. Protocol: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urljoin

from controller.errors import (
    AwsError,
    CredentialsError,
    FailedError,
    MissingError,
    MoorageError,
    QuotaError,
    RejectedError,
    UnavailableError,
    UsageError,
)

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_PART_SIZE = 10 << 20  # bytes sent at once
_TIMEOUT = (10, 60)  # seconds: to connect, and for each part
_ERRORS_BY_STATUS: dict[int, type[AwsError]] = {
    404: MissingError,
    413: QuotaError,
    429: UnavailableError,
    507: QuotaError,
}


@dataclass
class OciRepository:
    """One repository. `client` is an `oras` registry client, `name` the repository's path in it."""

    client: Any
    name: str
    _headers: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def connect(
        cls, reference: str, *, username: str = "", password: str = "", insecure: bool = False
    ) -> OciRepository:
        """Open `registry.example.com/team/model`, with Docker's credentials for it or the given ones.

        `insecure` uses plain HTTP. Raises UsageError without `oras`, UnavailableError if the registry doesn't answer.
        """
        try:
            provider = importlib.import_module("oras.provider")
        except ImportError as error:
            raise UsageError(
                "other registries need oras, which isn't installed", hint="pip install 'moorage[oci]'"
            ) from error
        host, _, name = reference.partition("/")
        client = provider.Registry(host, insecure=insecure)
        repository = cls(client, name)
        challenge = repository._send_once("GET", f"{client.prefix}://{host}/v2/").headers.get("www-authenticate", "")
        if challenge.lower().startswith("basic"):
            repository.client = client = provider.Registry(host, insecure=insecure, auth_backend="basic")
        if password:
            client.auth.set_basic_auth(username, password)
        else:
            client.auth.load_configs(client.get_container(reference))
        return repository

    def get_manifest(self, *, tag: str = "", digest: str = "") -> bytes:
        """Return the manifest or index of an image.

        Raises MissingError; FailedError if the bytes don't have the digest.
        """
        answer = self._send("GET", f"manifests/{digest or tag}", headers={"Accept": ", ".join(MANIFEST_TYPES)})
        content: bytes = answer.content
        if digest and _digest(content) != digest:
            raise FailedError("the registry returned another manifest than the requested one", where=f"{self}@{digest}")
        return content

    def missing_blobs(self, digests: Sequence[str]) -> set[str]:
        """Return the blobs that the repository doesn't have."""
        return {digest for digest in digests if self._send("HEAD", f"blobs/{digest}", accept=(404,)).status_code == 404}

    @contextmanager
    def fetch_blob(self, digest: str) -> Iterator[_Blob]:
        """Open a blob. The caller must check its bytes against the digest."""
        answer = self._send("GET", f"blobs/{digest}", stream=True)
        try:
            yield _Blob(answer, self)
        finally:
            answer.close()

    def push_blob(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Upload a blob part by part; the registry checks it against the digest."""
        place, sent = self._upload_location(self._send("POST", "blobs/uploads/")), 0
        for part in _split_into_parts(chunks):
            headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{sent}-{sent + len(part) - 1}"}
            place = self._upload_location(self._send("PATCH", place, headers=headers, data=part))
            sent += len(part)
        self._send("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}")

    def put_manifest(self, manifest: bytes, media_type: str, tag: str) -> None:
        """Add the image, by its digest alone if `tag` is empty, and read it back.

        Raises FailedError if the registry stored something else.
        """
        tag = tag or _digest(manifest)
        found = self._send("HEAD", f"manifests/{tag}", accept=(404,), headers={"Accept": ", ".join(MANIFEST_TYPES)})
        if found.status_code == 404:
            self._send("PUT", f"manifests/{tag}", headers={"Content-Type": media_type}, data=manifest)
        if self.get_manifest(tag=tag) != manifest:
            raise FailedError(
                "the registry holds another image under this tag",
                where=f"{self}:{tag}",
                hint="delete that image, or choose another tag",
            )

    def __str__(self) -> str:
        return f"{self.client.hostname}/{self.name}"

    def _upload_location(self, answer: Any) -> str:
        return urljoin(str(answer.request.url), str(answer.headers["location"]))

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        stream: bool = False,
        accept: tuple[int, ...] = (),
    ) -> Any:
        """Send a request, again if the registry asks for authentication.

        Raises the error of a response of 400 or more.
        """
        url = path if "://" in path else f"{self.client.prefix}://{self.client.hostname}/v2/{self.name}/{path}"
        answer = self._send_once(method, url, {**self._headers, **(headers or {})}, data, stream=stream)
        if answer.status_code == 401 and hasattr(self.client.auth, "_basic_auth"):
            self._headers, _ = self.client.auth.authenticate_request(answer, {}, refresh=True)
            answer = self._send_once(method, url, {**self._headers, **(headers or {})}, data, stream=stream)
        if answer.status_code < 400 or answer.status_code in accept:
            return answer
        raise _error_for_response(answer, f"{method} {self}")

    def _send_once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        *,
        stream: bool = False,
    ) -> Any:
        try:
            return self.client.session.request(
                method,
                url,
                headers=headers,
                data=data,
                stream=stream,
                timeout=_TIMEOUT,
                verify=self.client._tls_verify,  # noqa: SLF001
            )
        except OSError as error:  # what requests raises is an OSError
            raise _unreachable_error(self, error) from error


@dataclass(frozen=True)
class _Blob:
    answer: Any
    repository: OciRepository

    def chunks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield the bytes, in pieces of at most `size`."""
        try:
            yield from self.answer.iter_content(size)
        except OSError as error:
            raise _unreachable_error(self.repository, error) from error

    def read(self) -> bytes:
        """Return all bytes."""
        return b"".join(self.chunks())


def _unreachable_error(repository: OciRepository, error: OSError) -> MoorageError:
    return UnavailableError(
        "the registry can't be reached, or broke off",
        where=str(repository),
        why=type(error).__name__,
        hint="run again: blobs that exist are not sent again",
    )


def _error_for_response(answer: Any, where: str) -> MoorageError:
    """Return the error for a refusal; the registry's own words are in `why`."""
    why = f"{answer.status_code} {answer.text[:300]}".strip()
    if answer.status_code in (401, 403):
        return CredentialsError(
            "the registry doesn't accept the credentials",
            where=where,
            why=why,
            hint="log in again; ECR's tokens expire after twelve hours",
        )
    if answer.status_code >= 500 and answer.status_code not in _ERRORS_BY_STATUS:
        return UnavailableError("the registry failed", where=where, why=why, hint="run again")
    if answer.status_code == 400 and "DIGEST_INVALID" in why:
        return UnavailableError(
            "the registry received other bytes than were announced", where=where, why=why, hint="run again"
        )
    kind = _ERRORS_BY_STATUS.get(answer.status_code, RejectedError)
    return kind("the registry refuses the request", where=where, why=why)


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _split_into_parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    kept = bytearray()
    for piece in chunks:
        kept += piece
        if len(kept) >= _PART_SIZE:
            yield bytes(kept)
            kept.clear()
    if kept:
        yield bytes(kept)
