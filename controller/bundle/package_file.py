"""One file of an image: identified by its digest, read when it is packed, and then checked against the digest."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from controller.errors import BundleError


@dataclass(frozen=True, order=True)
class PackageFile:
    """A file of a package.

    `path` is below the directory of packages, `sha256` in hex; `source` is the present file, or the wheel with
    `member`.
    """

    path: str
    sha256: str
    source_path: Path
    wheel_member: str = ""

    def read(self) -> bytes:
        """Return the content. Raises BundleError if it isn't what its package recorded."""
        where, hint = f"{self.source_path} {self.wheel_member}".strip(), "install again: make setup"
        try:
            content = self._read_source()
        except (OSError, KeyError, BadZipFile) as error:
            raise BundleError("an installed file is missing", where=where, hint=hint) from error
        if sha256(content).hexdigest() != self.sha256:
            raise BundleError("an installed file was changed", where=where, hint=hint)
        return content

    def _read_source(self) -> bytes:
        if not self.wheel_member:
            return self.source_path.read_bytes()
        with ZipFile(self.source_path) as wheel:
            return wheel.read(self.wheel_member)
