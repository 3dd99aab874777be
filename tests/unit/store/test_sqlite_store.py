"""What only a file can go through: other processes, kill -9, damage, other versions."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from controller.core.record import Record
from controller.core.values import Key
from controller.errors import StoreError
from controller.store.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[3]

_WRITER = """
import sys
from pathlib import Path
from controller.core.record import Record
from controller.core.values import Key
from controller.store.sqlite import SqliteStore
path, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = SqliteStore(path)
for number in range(count):
    key, owner = Key("prod", "s3/object", "x"), Key("prod", "ModelService", "x")
    store.put_record(Record(key, {"who": who, "number": number}, owner))
    print(number, flush=True)
"""


def writer(path: Path, who: str, count: int) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _WRITER, str(path), who, str(count)]
    return subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.sqlite"


def test_processes_make_the_file_together_and_lose_no_write(path):
    """Four processes open a file that isn't there yet and put 60 records each, at once: all are there."""
    writers = [writer(path, str(number), 60) for number in range(4)]
    assert [process.communicate()[1] for process in writers] == [None] * 4
    assert [process.returncode for process in writers] == [0] * 4
    store = SqliteStore(path)
    assert len(store.list_records("prod")) == 240
    store.close()


def test_committed_records_survive_sigkill(path):
    """Every put that returned survives; what was under way is there whole or not at all."""
    process = writer(path, "victim", 100_000)
    assert process.stdout is not None
    reported = [process.stdout.readline() for _ in range(25)]
    process.send_signal(signal.SIGKILL)
    reported += process.stdout.read().splitlines()
    process.stdout.close()
    process.wait()
    store = SqliteStore(path)
    found = [record.identity["number"] for record in store.list_records("prod")]
    store.close()
    assert found == list(range(len(found)))
    assert len(reported) <= len(found) <= len(reported) + 1


def test_a_second_opening_finds_the_first_ones_records(path):
    """What is written stays when the program ends."""
    record = Record(Key("e", "k", "n"), {}, Key("e", "ModelService", "n"))
    first = SqliteStore(path)
    first.put_record(record)
    first.close()
    second = SqliteStore(path)
    assert list(second.list_records("e")) == [record]
    second.close()


def test_only_the_owner_may_read_the_file(path):
    """Specs and outputs are nobody else's reading."""
    SqliteStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be one" * 40, b"SQLite format 3\0" + b"\1" * 4000]
)
def test_damaged_file_is_reported(path, content):
    """A StoreError with the path and a way out, and the file is left as it is."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match="move it away") as caught:
        SqliteStore(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_found_at_the_start(path):
    """A page of noise inside an otherwise sound file."""
    store = SqliteStore(path)
    for number in range(200):
        store.put_record(
            Record(Key("e", "k", "n"), {"number": number, "pad": "x" * 200}, Key("e", "ModelService", "n"))
        )
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(8192))
    with pytest.raises(StoreError):
        SqliteStore(path)


def test_corrupt_entry_is_reported(path):
    """Somebody edited the database by hand."""
    store = SqliteStore(path)
    store.put_record(Record(Key("e", "k", "n"), {}, Key("e", "ModelService", "n")))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE records SET body = '{\"surprise\": 1}'")
    connection.close()
    with pytest.raises(StoreError, match="isn't valid"):
        store.list_records("e")
    store.close()


def test_a_newer_file_is_refused(path):
    """Its version and ours are named; nothing is written to it."""
    SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="99"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused(path):
    """Its tables are not ours to mix with."""
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        SqliteStore(path)


def test_unwritable_path_is_reported(tmp_path):
    """The parent is a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        SqliteStore(tmp_path / "file" / "store.sqlite")


def test_closed_store_raises(path):
    """It isn't opened again behind the caller's back."""
    store = SqliteStore(path)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.list_records("e")


def test_threads_that_end_leave_no_connection(path):
    """A hundred short threads: at the end only this one's connection is open."""
    store = SqliteStore(path)
    for _ in range(100):
        thread = threading.Thread(target=store.list_records, args=("e",))
        thread.start()
        thread.join()
    assert len(store._connections) == 1
    store.close()
