"""Starting, finding and stopping the embedded AWS."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from embedded_aws import control
from embedded_aws.errors import StartFailedError


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("home")
    yield path
    control.down(path)


def test_up_twice_finds_the_running_one(home: Path) -> None:
    """A second `up` starts nothing: same pid, same endpoint, and `status` agrees."""
    first = control.up(home)
    assert first.running
    assert first.endpoint.startswith("http://127.0.0.1:")
    assert control.up(home) == first == control.status(home)


def test_a_second_program_is_refused(home: Path) -> None:
    """The home's lock refuses a second program even when the record of the first is lost."""
    first = control.up(home)
    record = (home / "local.json").read_text()
    (home / "local.json").unlink()
    with pytest.raises(StartFailedError, match="already runs"):
        control.up(home)
    (home / "local.json").write_text(record)
    assert control.status(home) == first


def test_a_stale_record_is_replaced(home: Path) -> None:
    """After kill -9 the record is stale: `status` reports stopped and `up` starts a new program."""
    first = control.up(home)
    os.kill(first.pid, signal.SIGKILL)
    os.waitpid(first.pid, 0)
    assert json.loads((home / "local.json").read_text())["pid"] == first.pid
    assert not control.status(home).running
    assert control.up(home).pid != first.pid


def test_down_stops_the_program_and_may_be_repeated(home: Path) -> None:
    """`down` returns when the program has ended. A second `down` and a missing home are no errors."""
    first = control.up(home)
    assert not control.down(home).running
    assert os.waitpid(first.pid, 0)[1] == 0
    assert not (home / "local.json").exists()
    assert not control.down(home).running
    assert not control.down(home / "missing").running
