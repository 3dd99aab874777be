"""One file that goes into an image: known by its digest, read when it is packed, and then held against that digest."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from controller.errors import BundleError


@dataclass(frozen=True, order=True)
class File:
    """`path` is below the directory of packages, `sha256` in hex; `source` is where it is now, or the wheel with `member`."""

    path: str
    sha256: str
    source: Path
    member: str = ""

    def read(self) -> bytes:
        """Return the content. Raise BundleError if it isn't what its package recorded."""
        where, hint = f"{self.source} {self.member}".strip(), "install again: make setup"
        try:
            content = self._content()
        except (OSError, KeyError, BadZipFile) as error:
            raise BundleError("an installed file is gone", where=where, hint=hint) from error
        if sha256(content).hexdigest() != self.sha256:
            raise BundleError("an installed file was changed", where=where, hint=hint)
        return content

    def _content(self) -> bytes:
        if not self.member:
            return self.source.read_bytes()
        with ZipFile(self.source) as wheel:
            return wheel.read(self.member)
