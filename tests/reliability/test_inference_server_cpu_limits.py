"""The inference server where there is little: a quarter of a processor, one core, four processes on too few cores."""

from __future__ import annotations

import json
import os
import re
import signal
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.inference_server.conftest import housing_bundle, start_process, train_bundle
from tests.unit.inference_server.model_bundles import to_lists
from tests.unit.inference_server.server_process import BODY, RepeatingClient, ServerProcess, get, send, until

__all__ = ["housing_bundle", "start_process", "train_bundle"]

ONE_CORE = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))
CLIENTS = 6


@dataclass(frozen=True)
class CpuQuota:
    """A control group that may use a quarter of one processor. `under` starts a command in it."""

    directory: Path

    @property
    def command_prefix(self) -> Sequence[str]:
        return ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.directory / "cgroup.procs"))

    @property
    def throttle_count(self) -> int:
        """How often the kernel has held its processes back."""
        found = re.search(r"^nr_throttled (\d+)$", (self.directory / "cpu.stat").read_text(), re.MULTILINE)
        assert found
        return int(found[1])


@pytest.fixture
def cpu_quota() -> Iterator[CpuQuota]:
    """Make a control group, as Fargate does for a task of 0.25 vCPU; of version 2, or 1 where the machine has that."""
    version_2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    parent = Path("/sys/fs/cgroup") if version_2 else Path("/sys/fs/cgroup/cpu")
    directory = parent / f"moorage-{uuid.uuid4().hex}"
    try:
        directory.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if version_2:
            (directory / "cpu.max").write_text("25000 100000")
        else:
            (directory / "cpu.cfs_period_us").write_text("100000")
            (directory / "cpu.cfs_quota_us").write_text("25000")
        yield CpuQuota(directory)
    except OSError as error:
        pytest.skip(f"no processor quota can be set here: {error}")
    finally:
        directory.rmdir()


def check_lifecycle(bundle: Any, process: ServerProcess, workers: int) -> None:
    """Start, answer many clients rightly, count them all, and leave without losing one."""
    port = {process.wait_until_started() for _ in range(workers)}.pop()
    until(lambda: f"moorage_workers_ready {workers}.0" in send(port, "/metrics").decode())
    check_exact_counts(bundle, port)
    rows = bundle.rows[: CLIENTS * 3].reshape(CLIENTS, 3, -1)
    clients = [
        RepeatingClient(port, bool(index % 2), json.dumps({"instances": to_lists(some)}), bundle.predict(some).tolist())
        for index, some in enumerate(rows)
    ]
    until(lambda: all(client.count >= 20 for client in clients))
    assert (
        max(thread_counts(process, workers)) <= 2
    )  # the event loop's, and the one for large bodies: none of libxgboost's
    process.process.send_signal(signal.SIGTERM)
    assert [process.read_line()["event"] for _ in range(workers)] == ["draining"] * workers
    assert get(port, "/readyz") == 503
    for client in clients:
        client.join(60)
    code, log, err = process.wait_for_exit()
    assert [client.failures for client in clients] == [[]] * CLIENTS
    assert (code, [line["event"] for line in log], err) == (0, ["stopped"] * workers, "")


def check_exact_counts(bundle: Any, port: int) -> None:
    """Ask for many small predictions and one large at once; whichever process is asked then knows of all of them."""
    large, small = bundle.rows[:600], 90
    with ThreadPoolExecutor(8) as pool:
        answer = pool.submit(send, port, "/predict", json.dumps({"instances": to_lists(large)}, indent=8))
        for each in [pool.submit(send, port, "/predict", BODY) for _ in range(small)]:
            assert len(json.loads(each.result())["predictions"]) == 1
        assert json.loads(answer.result())["predictions"] == bundle.predict(large).tolist()
    for _ in range(8):
        lines = send(port, "/metrics").decode().splitlines()
        assert f'moorage_requests_total{{route="predict",status="200"}} {small + 1}.0' in lines
        assert f"moorage_rows_total {small + len(large)}.0" in lines
        assert f"moorage_batch_rows_sum {small + len(large)}.0" in lines
        assert "moorage_requests_pending 0.0" in lines


def thread_counts(process: ServerProcess, workers: int) -> list[int]:
    """Count the threads of each process that serves."""
    parent = process.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    serving = children if workers > 1 else [str(parent)]
    assert len(serving) == workers
    return [len(list(Path(f"/proc/{each}/task").iterdir())) for each in serving]


@pytest.mark.parametrize("workers", [1, 4])
def test_quarter_cpu_quota(cpu_quota: CpuQuota, housing_bundle: Any, start_process: Any, workers: int) -> None:
    """Under a processor quota, which hides none of the machine's cores: all is right, only slower."""
    check_lifecycle(
        housing_bundle,
        start_process(
            housing_bundle.directory, "--workers", str(workers), under=cpu_quota.command_prefix, DRAIN_DELAY="1"
        ),
        workers,
    )
    assert cpu_quota.throttle_count


@pytest.mark.parametrize("workers", [1, 4])
def test_single_core(housing_bundle: Any, start_process: Any, workers: int) -> None:
    """On one core."""
    check_lifecycle(
        housing_bundle,
        start_process(housing_bundle.directory, "--workers", str(workers), under=ONE_CORE, DRAIN_DELAY="1"),
        workers,
    )


@pytest.mark.parametrize("workers", [4])
def test_four_workers(housing_bundle: Any, start_process: Any, workers: int) -> None:
    """On whatever cores the machine has."""
    check_lifecycle(
        housing_bundle, start_process(housing_bundle.directory, "--workers", str(workers), DRAIN_DELAY="1"), workers
    )
