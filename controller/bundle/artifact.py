"""Reads the model out of a training job's `model.tar.gz` as a stream. Nothing is ever extracted to a path.

The archive must hold exactly what SageMaker's XGBoost container writes: one plain file named `xgboost-model`. Its
bytes are counted on both sides of the decompression, so a bomb is stopped when it starts to expand.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from controller.bundle.model_file import ModelFile, identify
from controller.bundle.tar import Stream, TarError, read_single
from controller.errors import BundleError

MEMBER = "xgboost-model"
_GZIP = b"\x1f\x8b"
_CHUNK = 2**16
_HINT = f"an artifact is made by: tar -czf model.tar.gz {MEMBER}"


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


def read_artifact(stream: Stream | BinaryIO, limits: Limits | None = None) -> ModelFile:
    """Read the one model in a `model.tar.gz`; `stream` needs only `read`. Raise BundleError if it can't be trusted."""
    limits = limits or Limits()
    inflated = _Inflated(stream, limits)
    try:
        content = read_single(inflated, MEMBER, limits.size)
        inflated.finish()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BundleError("the artifact is damaged or no tar.gz", why=str(error), hint=_HINT) from error
    except TarError as error:
        raise BundleError("the artifact is not what a training job writes", why=str(error), hint=_HINT) from error
    return identify(content)


class _Counted:
    """A stream that counts what was read from it."""

    def __init__(self, stream: Stream | BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data


class _Inflated:
    """The archive behind the compression, which refuses to grow beyond the limits."""

    def __init__(self, stream: Stream | BinaryIO, limits: Limits) -> None:
        self._compressed = _Counted(stream)
        # To read, GzipFile asks its source for `read` alone.
        self._file = gzip.GzipFile(fileobj=self._compressed, mode="rb")  # type: ignore[call-overload]
        self._limits = limits
        self._count = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes. Raise TarError beyond the limits."""
        data: bytes = self._file.read(min(size, _CHUNK))
        self._count += len(data)
        if self._count > self._limits.size + 2**20:
            raise TarError(f"it expands to more than {self._limits.size:,} bytes")
        if self._count > max(2**20, self._limits.ratio * self._compressed.count):
            raise TarError(f"it expands more than {self._limits.ratio}-fold, as no model does")
        return data

    def finish(self) -> None:
        """Read on to the end, where gzip keeps its checksum; only zeros may follow the archive's."""
        while rest := self.read(_CHUNK):
            if rest.strip(b"\0"):
                raise TarError("it goes on after its end")
