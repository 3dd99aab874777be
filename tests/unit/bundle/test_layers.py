"""Layers are the same bytes everywhere, and the server runs from them alone."""

from __future__ import annotations

import ast
import gzip
import io
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from controller.bundle import Bundle, runtime_files
from controller.bundle.layers import (
    Layer,
    _load_cached,
    _store_cached,
    digest_server_layers,
    pack_model_layer,
    pack_server_layers,
    read_manifest,
)
from controller.bundle.package_file import PackageFile
from controller.errors import BundleError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where packed dependencies are kept; not there yet."""
    return tmp_path_factory.mktemp("layers") / "cache"


@pytest.fixture(scope="session")
def layers(cache: Path) -> tuple[Layer, Layer]:
    """The dependencies and the server, packed once."""
    return pack_server_layers(cache, "amd64")


def members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer.content), mode="r:gz") as tar:
        return {member.name: member for member in tar}


def test_the_model_layer_holds_the_bundle_and_nothing_else(bundle: Bundle) -> None:
    """Exactly two plain files, with the bundle's bytes, at the place where the server looks."""
    layer = pack_model_layer(bundle)
    with tarfile.open(fileobj=io.BytesIO(layer.content), mode="r:gz") as tar:
        found = {member.name: file.read() for member in tar if (file := tar.extractfile(member))}
        assert len(found) == len(tar.getmembers())
    assert found == {f"opt/model/{name}": content for name, content in bundle.files().items()}
    assert set(found) == {"opt/model/model.ubj", "opt/model/manifest.json"}


def test_digests_and_size_are_of_the_bytes(bundle: Bundle) -> None:
    """`digest` and `size` describe the compressed bytes, `diff_id` the plain tar."""
    layer = pack_model_layer(bundle)
    assert layer.digest == f"sha256:{sha256(layer.content).hexdigest()}"
    assert layer.size == len(layer.content)
    assert layer.diff_id == f"sha256:{sha256(gzip.decompress(layer.content)).hexdigest()}"


def test_the_manifest_is_read_out_of_a_model_layer_alone(bundle: Bundle, layers: tuple[Layer, Layer]) -> None:
    """What was packed is read back without the model behind it; another layer, or half of one, is refused."""
    packed = pack_model_layer(bundle).content
    assert read_manifest(io.BytesIO(packed)) == bundle.manifest
    for wrong in (layers[1].content, packed[:200], b"no gzip"):
        with pytest.raises(BundleError, match="model layer can't be read"):
            read_manifest(io.BytesIO(wrong))


def test_entries_say_nothing_of_the_machine(layers: tuple[Layer, Layer]) -> None:
    """Sorted, dated 1970, owned by root, readable by all, without names; and so is the gzip header."""
    for layer in layers:
        found = members(layer)
        assert list(found) == sorted(found)
        kinds = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in found.values()}
        assert kinds == {(0, 0, 0, "", "", 0o644, tarfile.REGTYPE)}
        assert layer.content[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_layer_bytes_are_independent_of_the_environment(layers: tuple[Layer, Layer], tmp_path: Path) -> None:
    """A process with another umask, time zone, locale, hash seed and directory packs the same server layer."""
    program = (
        "import os; os.umask(0o077)\n"
        "from controller.bundle import layers, runtime_files\n"
        "server = layers._pack_layer('server', layers._tar_entries(runtime_files.server_files()))\n"
        "print(server.digest, layers.digest_server_layers())"
    )
    environment = {
        "PYTHONPATH": str(ROOT),
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [layers[1].digest, digest_server_layers()]


def test_packed_dependencies_are_reused(layers: tuple[Layer, Layer], cache: Path) -> None:
    """The second time nothing is packed: the kept file stays, and gives the same layer."""
    (kept,) = cache.iterdir()
    before = kept.stat()
    assert pack_server_layers(cache, "amd64") == layers
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_damaged_cached_layer_is_ignored(bundle: Bundle, tmp_path: Path) -> None:
    """A kept file must hold what its name says; empty, cut, altered or swapped, it is not taken."""
    _store_cached(tmp_path, "inputs", layer := pack_model_layer(bundle))
    (path,) = tmp_path.iterdir()
    assert (found := _load_cached(tmp_path, "inputs")) is not None
    assert found.content == layer.content
    assert _load_cached(tmp_path, "others") is None
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:-1],
        whole[:-8] + bytes(8),
        whole[:20] + b"\xff" * 20 + whole[40:],
        gzip.compress(b"x"),
    ):
        path.write_bytes(damaged)
        assert _load_cached(tmp_path, "inputs") is None


def test_no_scientific_stack_gets_into_the_image(layers: tuple[Layer, Layer]) -> None:
    """numpy, scipy and the xgboost package stay out, and so does what an installer or a compiler leaves behind."""
    names = [name.removeprefix("opt/moorage/lib/") for layer in layers for name in members(layer)]
    tops = {name.partition("/")[0] for name in names}
    assert not tops & {"numpy", "scipy", "pip", "controller", "boto3"}
    assert [name for name in names if name.startswith("xgboost/")] == ["xgboost/lib/libxgboost.so"]
    assert not [name for name in names if name.endswith((".pyc", ".pyx", "/RECORD", "/INSTALLER"))]
    assert "aiohttp-" in "".join(tops), "metadata and licences stay"


def test_layers_run_without_other_packages(layers: tuple[Layer, Layer], tmp_path: Path) -> None:
    """A bare interpreter with only the two layers imports every root and the server, and loads libxgboost."""
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer.content), mode="r:gz") as tar:
            for member in tar:
                path = tmp_path / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                file = tar.extractfile(member)
                path.write_bytes(file.read() if file else b"")
    libraries = tmp_path / "opt/moorage/lib"
    program = (
        "import sys, ctypes, aiohttp.web, orjson, prometheus_client, structlog, uvloop, inference_server.manifest\n"
        f"ctypes.CDLL({str(libraries / 'xgboost/lib/libxgboost.so')!r})\n"
    )
    subprocess.run(
        [sys.executable, "-S", "-P", "-c", program],
        env={"PYTHONPATH": str(libraries)},
        cwd=tmp_path,
        check=True,
        timeout=60,
    )


def test_every_server_import_is_in_a_layer() -> None:
    """Each third-party module that the server can't start without is in a layer; tracing, an extra, is left out."""
    imported = set()
    for file in runtime_files.server_files():
        if file.path.endswith(".py"):
            for node in ast.walk(ast.parse(file.source_path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                imported |= {name.partition(".")[0] for name in names}
    packed = {file.path.partition("/")[0].removesuffix(".py") for file in runtime_files.find_installed("amd64")}
    assert imported - set(sys.stdlib_module_names) - {runtime_files.SERVER_PACKAGE, "opentelemetry"} <= packed


def test_the_servers_digest_follows_its_sources() -> None:
    """Every source of the server's package counts, by path and content."""
    paths = {file.path for file in runtime_files.server_files()}
    assert "inference_server/manifest.py" in paths
    assert not [path for path in paths if "__pycache__" in path]
    assert len(digest_server_layers()) == 64


def test_a_changed_or_missing_file_is_refused(tmp_path: Path) -> None:
    """What was edited after its installation is not what was pinned, and does not get into an image."""
    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    file = PackageFile("module.py", sha256(b"x = 1\n").hexdigest(), source)
    assert file.read() == b"x = 1\n"
    source.write_text("x = 2\n")
    with pytest.raises(BundleError, match="an installed file was changed"):
        file.read()
    source.unlink()
    with pytest.raises(BundleError, match="an installed file is missing"):
        file.read()


def test_recorded_digests_are_those_of_the_files() -> None:
    """The digests that identify the closure are the contents' own, for every file."""
    for file in runtime_files.find_installed("amd64"):
        assert sha256(file.source_path.read_bytes()).hexdigest() == file.sha256
