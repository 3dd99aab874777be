"""Read the model out of a training job's `model.tar.gz` as a stream. Nothing is ever extracted to a path.

The archive must hold exactly what SageMaker's XGBoost container writes: one plain file named `xgboost-model`. Its bytes
are counted before and after decompression, so a decompression bomb is stopped when it starts to expand.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from controller.bundle.tar_reader import ByteReader, TarError, read_only_member
from controller.bundle.xgboost_model import XgboostModel, identify_model
from controller.errors import BundleError

MODEL_MEMBER = "xgboost-model"
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**16
_HINT = f"an artifact is made by: tar -czf model.tar.gz {MODEL_MEMBER}"


@dataclass(frozen=True)
class ModelLimits:
    """Limits on what is read: the `size` of the model in bytes, and the ratio of the archive to its compressed form.

    Models compress about fourfold; DEFLATE reaches 1,032. The ratio is checked only after the first MiB.
    """

    max_model_bytes: int = 512 * 2**20
    max_ratio: int = 100


def read_model(path: Path, limits: ModelLimits | None = None) -> XgboostModel:
    """Read a model file, or the `model.tar.gz` around one. Raises BundleError if it can't be read or trusted."""
    limits = limits or ModelLimits()
    try:
        with path.open("rb") as file:
            if file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC:
                file.seek(0)
                return read_artifact(file, limits)
            file.seek(0)
            content = file.read(limits.max_model_bytes + 1)
    except OSError as error:
        raise BundleError("the model can't be read", where=str(path), why=error.strerror or str(error)) from error
    if len(content) > limits.max_model_bytes:
        raise BundleError(f"the model has more than {limits.max_model_bytes:,} bytes", where=str(path))
    return identify_model(content)


def read_artifact(stream: ByteReader | BinaryIO, limits: ModelLimits | None = None) -> XgboostModel:
    """Read the one model in a `model.tar.gz`; `stream` needs only `read`. Raises BundleError if it can't be trusted."""
    limits = limits or ModelLimits()
    inflated = _LimitedGzipReader(stream, limits)
    try:
        content = read_only_member(inflated, MODEL_MEMBER, limits.max_model_bytes)
        inflated.check_end()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BundleError("the artifact is damaged or not a tar.gz", why=str(error), hint=_HINT) from error
    except TarError as error:
        raise BundleError("the artifact is not what a training job writes", why=str(error), hint=_HINT) from error
    return identify_model(content)


class _CountingReader:
    """A stream that counts the bytes read from it."""

    def __init__(self, stream: ByteReader | BinaryIO) -> None:
        self._stream = stream
        self.bytes_read = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.bytes_read += len(data)
        return data


class _LimitedGzipReader:
    """The decompressed archive, which refuses to grow beyond the limits."""

    def __init__(self, stream: ByteReader | BinaryIO, limits: ModelLimits) -> None:
        self._compressed = _CountingReader(stream)
        # To read, GzipFile needs only `read` of its source.
        self._file = gzip.GzipFile(fileobj=self._compressed, mode="rb")  # type: ignore[call-overload]
        self._limits = limits
        self._count = 0

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes. Raises TarError beyond the limits."""
        data: bytes = self._file.read(min(size, _CHUNK))
        self._count += len(data)
        if self._count > self._limits.max_model_bytes + 2**20:
            raise TarError(f"it expands to more than {self._limits.max_model_bytes:,} bytes")
        if self._count > max(2**20, self._limits.max_ratio * self._compressed.bytes_read):
            raise TarError(f"it expands more than {self._limits.max_ratio}-fold, as no model does")
        return data

    def check_end(self) -> None:
        """Read to the end, where gzip keeps its checksum; only zeros may follow the archive's own end."""
        while rest := self.read(_CHUNK):
            if rest.strip(b"\0"):
                raise TarError("it has data after its end")
