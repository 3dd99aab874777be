"""Two loops and a CI run at the same moment on one empty account: the lease lets one of them work, and nothing is made
twice.
"""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import pytest

from embedded_aws import control
from tests.e2e.test_s3_backend import ONCE, ONE_OF_EACH_TYPE, SharedAccount

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def loop_options() -> list[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return ["reconcile", "-f", "specs", "--interval", "1s", "--listen", f"127.0.0.1:{probe.getsockname()[1]}"]


def is_ready(account: SharedAccount, machine: str) -> bool:
    code, out, _ = account.run(machine, "get", "housing-model", "-f", "specs", "-o", "json")
    if code:
        return False
    found = {entry["type"]: entry["status"] for entry in json.loads(out)["status"]["conditions"]}
    return found["Ready"] == "True"


def test_two_loops_and_a_ci_run_create_everything_once(tmp_path: Path) -> None:
    """All three start from nothing.

    What stands in the end is one of each, the loops end in order, and CI finds nothing to do.
    """
    account = SharedAccount(tmp_path, control.up(tmp_path / "aws").endpoint)
    try:
        loops = [account.start(f"loop-{number}", *loop_options()) for number in (1, 2)]
        code, _, err = account.run("ci", *ONCE)
        assert code in (0, 8), err
        deadline = time.monotonic() + 300
        while not is_ready(account, "onlooker"):
            assert time.monotonic() < deadline, "it did not become ready"
            assert [loop.poll() for loop in loops] == [None, None]
            time.sleep(0.5)
        assert account.object_counts() == ONE_OF_EACH_TYPE
        for loop in loops:
            loop.send_signal(signal.SIGTERM)
        for loop in loops:
            loop.communicate(timeout=60)
        assert [loop.returncode for loop in loops] == [0, 0]
        code, out, err = account.run("ci", *ONCE)
        assert code == 0, err
        assert json.loads(out)["steps"] == {}
        assert account.object_counts() == ONE_OF_EACH_TYPE
    finally:
        control.down(tmp_path / "aws")
