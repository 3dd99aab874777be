"""What is installed in somebody's image, from layers as many programs write them.

And what is made of ones that can't be read.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from controller.bundle import inventory
from controller.bundle.inventory import Inventory, Package
from controller.errors import BundleError

PACKED = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN = "application/vnd.oci.image.layer.v1.tar"
STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: the library
 Package: not-a-package
 Version: 0

Package: old
Status: deinstall ok config-files
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2025b-0+deb12u1
"""
LIBC = Package("deb", "libc6", "2.36-9+deb12u10", "amd64")
TZDATA = Package("deb", "tzdata", "2025b-0+deb12u1", "all")
RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n\nName: of-the-text\n"
DPKG = "var/lib/dpkg/status"
LIB = "usr/local/lib/python3.11/site-packages"


@dataclass
class Body:
    """A blob in small pieces."""

    content: bytes

    def chunks(self, size: int = 777) -> Iterator[bytes]:
        yield from (self.content[at : at + size] for at in range(0, len(self.content), size))


@dataclass
class Registry:
    """Blobs by digest; `fetched` are those that were asked for."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    @contextmanager
    def fetch_blob(self, digest: str) -> Iterator[Body]:
        self.fetched.append(digest)
        yield Body(self.blobs[digest])

    def image(self, *layers: bytes, media_type: str = PACKED) -> bytes:
        """The manifest of an image of these layers."""
        digests = [f"sha256:{sha256(layer).hexdigest()}" for layer in layers]
        self.blobs |= dict(zip(digests, layers, strict=True))
        return json.dumps({"layers": [{"digest": one, "mediaType": media_type} for one in digests]}).encode()

    def missing_blobs(self, digests: Sequence[str]) -> set[str]:
        raise NotImplementedError

    def push_blob(self, digest: str, pieces: object) -> None:
        raise NotImplementedError

    def put_manifest(self, manifest: bytes, media_type: str, tag: str) -> None:
        raise NotImplementedError


def tar(files: Mapping[str, str], form: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("etc/mtab")
        link.type, link.linkname = tarfile.SYMTYPE, "/proc/mounts"
        archive.addfile(link)
    return packed.getvalue()


def layer(files: Mapping[str, str], form: int = tarfile.PAX_FORMAT) -> bytes:
    return gzip.compress(tar(files, form), 1)


def inventory_of(tmp_path: Path, *layers: bytes, media_type: str = PACKED, env: Sequence[str] = ()) -> Inventory:
    registry = Registry()
    config = json.dumps({"config": {"Env": list(env)}}).encode()
    return inventory.read_inventory(registry, registry.image(*layers, media_type=media_type), config, tmp_path)


def test_debian_and_python_packages_are_found(tmp_path: Path) -> None:
    """Installed ones alone, a Python as the image's environment names it, and the distribution they are of."""
    found = inventory_of(
        tmp_path,
        layer({DPKG: STATUS, "usr/lib/os-release": RELEASE}),
        layer({f"{LIB}/Charset_Normalizer-3.4.dist-info/METADATA": METADATA.format("Charset_Normalizer", "3.4")}),
        env=["PATH=/bin", "PYTHON_VERSION=3.11.14"],
    )
    python, normalizer = Package("generic", "python", "3.11.14"), Package("pypi", "charset-normalizer", "3.4")
    assert found == Inventory((LIBC, TZDATA, python, normalizer), "debian-12")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_of_long_names_is_read(tmp_path: Path, form: int) -> None:
    """POSIX's prefix, GNU's long names and pax headers, with paths as programs begin them."""
    directory = "./opt/" + "/".join(["d" * 40] * (2 if form == tarfile.USTAR_FORMAT else 6))
    path = f"{directory}/a-1.dist-info/METADATA"
    found = inventory_of(tmp_path, layer({path: METADATA.format("a", "1"), f"./{DPKG}": STATUS}, form))
    assert found.packages == (LIBC, TZDATA, Package("pypi", "a", "1"))


def test_higher_layers_override_lower_ones(tmp_path: Path) -> None:
    """A database that is written again, a file that is taken away, a directory that is emptied."""
    kept, absent, emptied = (METADATA.format(name, "1") for name in ("kept", "gone", "emptied"))
    below = {
        DPKG: STATUS,
        f"{LIB}/kept.dist-info/METADATA": kept,
        f"{LIB}/gone.dist-info/METADATA": absent,
        "opt/emptied.dist-info/METADATA": emptied,
    }
    newer = STATUS.replace("2.36-9+deb12u10", "2.36-9+deb12u11")
    above = {DPKG: newer, f"{LIB}/.wh.gone.dist-info": "", "opt/.wh..wh..opq": ""}
    found = inventory_of(tmp_path, layer(below), layer(above))
    assert [package.name for package in found.packages] == ["libc6", "tzdata", "kept"]
    assert found.packages[0].version == "2.36-9+deb12u11"


def test_distroless_images_have_a_file_for_each_package(tmp_path: Path) -> None:
    """`status.d`, whose stanzas have no status, beside checksums that are none."""
    stanza = "Package: libssl3\nVersion: 3.0.17-1~deb12u2\nArchitecture: arm64\n"
    found = inventory_of(
        tmp_path,
        layer({"var/lib/dpkg/status.d/libssl3": stanza, "var/lib/dpkg/status.d/libssl3.md5sums": stanza}),
    )
    assert found.packages == (Package("deb", "libssl3", "3.0.17-1~deb12u2", "arm64"),)


def test_a_base_without_dpkg_is_fine_and_says_so(tmp_path: Path) -> None:
    """Its Python packages are told all the same."""
    found = inventory_of(tmp_path, layer({"lib/a.dist-info/METADATA": METADATA.format("a", "1")}))
    assert found.packages == (Package("pypi", "a", "1"),)
    assert found.gap == "it has no dpkg database: of its system's packages nothing is known"


def test_unreadable_layer_is_recorded_as_a_gap(tmp_path: Path) -> None:
    """Another compression, a damaged tar, a sparse file: nothing is known, and nothing fails."""
    sparse = io.BytesIO(tar({DPKG: STATUS}, tarfile.GNU_FORMAT))
    block = bytearray(sparse.getvalue())
    block[156:157] = b"S"
    block[148:156] = f"{sum(block[:148]) + 8 * 32 + sum(block[156:512]):06o}\0 ".encode()
    gaps = [
        inventory_of(tmp_path, b"zstd", media_type=f"{PLAIN}+zstd").gap,
        inventory_of(tmp_path, gzip.compress(b"x" * 2000)).gap,
        inventory_of(tmp_path, layer({DPKG: STATUS})[:200]).gap,
        inventory_of(tmp_path, bytes(block), media_type=PLAIN).gap,
    ]
    assert all(gap.startswith("its layers were not read: ") for gap in gaps)
    assert gaps[0].endswith(f"one is of type {PLAIN}+zstd")
    assert gaps[3].endswith("a member is sparse")


def test_an_image_is_read_once(tmp_path: Path) -> None:
    """What was read is kept under the image's digest; a damaged note of it is read again."""
    registry = Registry()
    manifest = registry.image(layer({DPKG: STATUS}))
    first = inventory.read_inventory(registry, manifest, b"{}", tmp_path)
    assert inventory.read_inventory(registry, manifest, b"{}", tmp_path) == first
    assert len(registry.fetched) == 1
    (kept,) = tmp_path.iterdir()
    kept.write_text("{")
    assert inventory.read_inventory(registry, manifest, b"{}", tmp_path) == first
    assert len(registry.fetched) == 2


def test_blob_with_wrong_digest_is_refused(tmp_path: Path) -> None:
    """A registry that gives something else, whether that can be read or not, ends the build."""
    for content in (layer({DPKG: STATUS.replace("libc6", "libc7")}), b"no tar"):
        registry = Registry()
        manifest = registry.image(layer({DPKG: STATUS}))
        registry.blobs = dict.fromkeys(registry.blobs, content)
        with pytest.raises(BundleError, match="other bytes"):
            inventory.read_inventory(registry, manifest, b"{}", tmp_path)


def test_names_with_control_characters_are_omitted(tmp_path: Path) -> None:
    """What an image says of itself goes into a document that people read: odd names and versions are left out."""
    odd = "Package: a\x1b[2J\nStatus: install ok installed\nVersion: 1\n\n" + STATUS
    assert inventory_of(tmp_path, layer({DPKG: odd})).packages == (LIBC, TZDATA)
