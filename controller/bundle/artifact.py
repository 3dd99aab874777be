"""Reads the model out of a training job's `model.tar.gz` as a stream. Nothing is ever extracted to a path.

The archive must hold exactly what SageMaker's XGBoost container writes: one regular file named `xgboost-model`. Its
bytes are counted on both sides of the decompression, so a bomb is stopped when it starts to expand.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from controller.bundle.model_file import ModelFile, identify
from controller.errors import BundleError

MEMBER = "xgboost-model"
_GZIP = b"\x1f\x8b"
_CHUNK = 2**16


@dataclass(frozen=True)
class Limits:
    """How much is read: `size` of the model in bytes, and how often the archive may be larger than its compressed form.

    Models compress about fourfold; DEFLATE reaches 1,032. The ratio is held only after the first MiB.
    """

    size: int = 512 * 2**20
    ratio: int = 100


def read_model(path: Path, limits: Limits | None = None) -> ModelFile:
    """Read a model file, or the `model.tar.gz` around one. Raise BundleError if it can't be read or trusted."""
    limits = limits or Limits()
    try:
        with path.open("rb") as file:
            if file.read(len(_GZIP)) == _GZIP:
                file.seek(0)
                return read_artifact(file, limits)
            file.seek(0)
            content = file.read(limits.size + 1)
    except OSError as error:
        raise BundleError("the model can't be read", where=str(path), why=error.strerror or str(error)) from error
    if len(content) > limits.size:
        raise BundleError(f"the model has more than {limits.size:,} bytes", where=str(path))
    return identify(content)


def read_artifact(stream: BinaryIO, limits: Limits | None = None) -> ModelFile:
    """Read the one model in a `model.tar.gz`; `stream` needs only `read`. Raise BundleError if it can't be trusted."""
    limits = limits or Limits()
    inflated = _Inflated(stream, limits)
    try:
        with tarfile.open(fileobj=inflated, mode="r|") as archive:
            content = _only_member(archive, limits)
        inflated.finish()
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, OverflowError) as error:
        raise BundleError("the artifact is damaged or no tar.gz", why=str(error), hint=_hint()) from error
    return identify(content)


def _only_member(archive: tarfile.TarFile, limits: Limits) -> bytes:
    content: bytes | None = None
    for member in archive:
        if content is not None:
            raise BundleError("the artifact has more than one member", why=f"{_shown(member)} follows", hint=_hint())
        if member.name != MEMBER:
            raise BundleError(f"the artifact's member is named {_shown(member)}, not {MEMBER!r}", hint=_hint())
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse is not None:
            raise BundleError(f"the artifact's member {MEMBER!r} is not a plain file", hint=_hint())
        if member.size > limits.size:
            raise BundleError(f"the model has {member.size:,} bytes; at most {limits.size:,} are read")
        file = archive.extractfile(member)
        content = file.read() if file else b""
    if content is None:
        raise BundleError("the artifact is empty", hint=_hint())
    return content


def _shown(member: tarfile.TarInfo) -> str:
    return repr(member.name if len(member.name) <= 80 else member.name[:80] + "…")


def _hint() -> str:
    return f"an artifact is made by: tar -czf model.tar.gz {MEMBER}"


class _Counted:
    """A stream that counts what was read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data


class _Inflated(io.RawIOBase):
    """The archive behind the compression, which refuses to grow beyond the limits."""

    def __init__(self, stream: BinaryIO, limits: Limits) -> None:
        self._compressed = _Counted(stream)
        # GzipFile asks its source for `read` alone when it reads.
        self._file = gzip.GzipFile(fileobj=self._compressed, mode="rb")  # type: ignore[call-overload]
        self._limits = limits
        self._count = 0

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(min(size, _CHUNK) if size >= 0 else _CHUNK)
        self._count += len(data)
        if self._count > self._limits.size + 2**20:
            raise BundleError(f"the artifact expands to more than {self._limits.size:,} bytes", hint=_hint())
        if self._count > max(2**20, self._limits.ratio * self._compressed.count):
            raise BundleError(
                f"the artifact expands more than {self._limits.ratio}-fold, as no model does", hint=_hint()
            )
        return data

    def finish(self) -> None:
        """Read on to the end, which checks gzip's own checksum; only zeros may follow a tar's end."""
        while data := self.read():
            if data.strip(b"\0"):
                raise BundleError("the artifact goes on after its end", hint=_hint())
