"""The pure parts of a task: health checks, command lines, and the model layer's files."""

from __future__ import annotations

import gzip
import io
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from embedded_aws.images.manifest import Descriptor
from embedded_aws.tasks.container_runtime import ContainerRuntime, build_container_command, build_health_command
from embedded_aws.tasks.health_check import EAGER, HealthCheck
from embedded_aws.tasks.image_pull import PullError, write_model_files


def check(**settings: int) -> HealthCheck:
    return HealthCheck.of({"command": ["CMD", "true"], **settings}, started=100.0)


def test_the_first_success_counts_at_once() -> None:
    """A container is healthy as soon as a check passes, long before ECS's own first check.

    After that the interval holds.
    """
    health = check()
    assert health.due == 100 + EAGER
    assert not health.record(100.6, passed=False)
    assert health.due == 100.6 + EAGER
    assert health.record(101.2, passed=True)
    assert (health.status, health.due) == ("HEALTHY", 131.2)


def test_failures_count_at_the_intervals_alone() -> None:
    """Extra early checks never make a container unhealthy: that takes `retries` failures an interval apart."""
    health, now, verdicts = check(interval=10, retries=2), 100.0, []
    while health.status == "UNKNOWN":
        now = health.due
        verdicts.append(health.record(now, passed=False))
    assert (now, health.status) == (120.0, "UNHEALTHY")
    assert verdicts[-1] is True
    assert not any(verdicts[:-1])


def test_the_start_period_ignores_failures() -> None:
    """Failures in the start period don't count. After a success in it, failures count at once."""
    health = check(interval=10, retries=1, startPeriod=60)
    while (now := health.due) < 159:
        assert not health.record(now, passed=False)
    assert health.record(160.0, passed=False)
    early = check(interval=10, retries=1, startPeriod=60)
    early.record(101.0, passed=True)
    assert early.record(111.0, passed=False)
    assert early.status == "UNHEALTHY"


def test_a_success_restarts_the_count_of_failures() -> None:
    """A success between failures restarts the count, and an unhealthy container may recover."""
    health = check(interval=5, retries=2)
    assert [health.record(t, passed=p) for t, p in [(101, True), (106, False), (111, True), (116, False)]] == [
        True,
        False,
        False,
        False,
    ]
    assert health.record(121, passed=False)
    assert health.record(126, passed=True)
    assert health.status == "HEALTHY"


def test_commands_join_as_docker_joins_them() -> None:
    """The definition's command replaces the image's; its entry point drops the image's command too."""
    image = {"Entrypoint": ["python", "-m", "server"], "Cmd": ["--port", "1"]}
    assert build_container_command({}, image) == ["python", "-m", "server", "--port", "1"]
    assert build_container_command({"command": ["--port", "2"]}, image) == ["python", "-m", "server", "--port", "2"]
    assert build_container_command({"entryPoint": ["sh"]}, image) == ["sh"]
    assert build_container_command({"entryPoint": ["sh"], "command": ["-c", "x"]}, {}) == ["sh", "-c", "x"]
    assert build_health_command(["CMD", "python", "-c", "x"]) == ["python", "-c", "x"]
    assert build_health_command(["CMD-SHELL", "exit 0"]) == ["/bin/sh", "-c", "exit 0"]


def test_interpreter_paths_and_addresses_are_translated() -> None:
    """Interpreter, model directory and addresses become this machine's.

    Paths of the image's file system are dropped.
    """
    place = ContainerRuntime("/venv/bin/python", Path("/home/task"), "127.20.0.7")
    words = ["python", "--model-dir", "/opt/model", "--host", "0.0.0.0", "http://127.0.0.1:8080/livez", "python"]
    assert place.translate_command(words) == [
        "/venv/bin/python",
        "--model-dir",
        "/home/task/opt/model",
        "--host",
        "127.20.0.7",
        "http://127.20.0.7:8080/livez",
        "python",
    ]
    host = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "PYTHONPATH": "/src"}
    image = ["PATH=/usr/local/bin", "PYTHONPATH=/opt/lib", "MODE=image", "LEVEL=info"]
    seen = place.build_environment(host, image, [{"name": "LEVEL", "value": "debug"}], "eu-west-1")
    assert seen == {
        "PATH": "/bin",
        "PYTHONPATH": "/src",
        "MODE": "image",
        "LEVEL": "debug",
        "HOME": "/home/task",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def regular(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def special(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def layer(tmp_path: Path, *members: tuple[tarfile.TarInfo, bytes], tail: bytes = b"") -> tuple[Path, Descriptor]:
    """Write a layer; return its file and a correct descriptor."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    blob = gzip.compress(buffer.getvalue()) + tail
    path = tmp_path / "layer"
    path.write_bytes(blob)
    return path, Descriptor(f"sha256:{sha256(blob).hexdigest()}", len(blob))


MODEL, MANIFEST = regular("opt/model/model.ubj", b"model"), regular("opt/model/manifest.json", b"{}")


def test_a_model_layers_two_files_are_written(tmp_path: Path) -> None:
    """Both files, in either order, are written byte for byte."""
    blob, descriptor = layer(tmp_path, MANIFEST, MODEL)
    write_model_files(blob, descriptor, tmp_path / "task")
    written = {p.relative_to(tmp_path / "task"): p.read_bytes() for p in (tmp_path / "task").rglob("*") if p.is_file()}
    assert written == {Path("opt/model/model.ubj"): b"model", Path("opt/model/manifest.json"): b"{}"}


@pytest.mark.parametrize(
    "extra",
    [
        regular("opt/model/other"),
        regular("../outside"),
        regular("/opt/model/model.ubj"),
        regular("opt/model/manifest.json"),
        special("opt/model/model.ubj", tarfile.SYMTYPE, "/etc/passwd"),
        special("opt/model/model.ubj", tarfile.LNKTYPE, "opt/model/manifest.json"),
        special("opt/model", tarfile.SYMTYPE, "/"),
        special("opt/model", tarfile.DIRTYPE),
        special("opt/model/model.ubj", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member[0].type.decode()} {member[0].name}" if isinstance(member, tuple) else None,
)
def test_other_layer_members_are_refused(tmp_path: Path, extra: tuple[tarfile.TarInfo, bytes]) -> None:
    """Other names, links, directories and duplicates are refused. Nothing is written outside the task's directory."""
    blob, descriptor = layer(tmp_path, MANIFEST, extra, MODEL)
    with pytest.raises(PullError, match="no place in a model layer"):
        write_model_files(blob, descriptor, tmp_path / "task")
    files = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if not p.is_dir()}
    assert files <= {Path("layer"), Path("task/opt/model/manifest.json")}


def test_a_layer_must_match_its_descriptor(tmp_path: Path) -> None:
    """A wrong digest or size, a missing file, damage and a file over the size limit are refused."""
    blob, truth = layer(tmp_path, MANIFEST, MODEL)
    for wrong in (Descriptor("sha256:" + "0" * 64, truth.size), Descriptor(truth.digest, truth.size + 1)):
        with pytest.raises(PullError, match="unexpected digest or size"):
            write_model_files(blob, wrong, tmp_path / wrong.digest[-4:] / str(wrong.size))
    blob, truth = layer(tmp_path, MANIFEST)
    with pytest.raises(PullError, match=r"holds opt/model/model\.ubj"):
        write_model_files(blob, truth, tmp_path / "half")
    large, _ = regular("opt/model/manifest.json", b"")
    large.size = (4 << 20) + 1
    blob, truth = layer(tmp_path, (large, bytes(large.size)))
    with pytest.raises(PullError, match="4194305 bytes"):
        write_model_files(blob, truth, tmp_path / "large")
    blob.write_bytes(b"\x1f\x8b broken")
    with pytest.raises(PullError, match="failed to register layer"):
        write_model_files(blob, truth, tmp_path / "broken")
