"""The store in one SQLite file: the home of records on one machine.

A connection per thread, write-ahead logging, and `BEGIN IMMEDIATE` around every write: a deferred transaction that
reads before it writes fails under concurrency instead of waiting. Threads wait for one another in Python: SQLite waits for
another connection by sleeping ever longer.

What is about to be sent is on the disk before it is. All else is handed to the kernel, where it outlives the process, and
is on the disk with the next of those: a power cut may take back the last of what was done, which looking finds again.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.core.record import Record
from controller.core.status import Event, Status
from controller.core.values import Key
from controller.errors import StoreError
from controller.store import documents
from controller.store.base import EVENTS_KEPT

# Says in the file's header whose it is: "MOOR".
_APPLICATION = 0x4D4F4F52
_VERSION = 1
_SCHEMA = """
CREATE TABLE records (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, environment TEXT NOT NULL,
    body TEXT NOT NULL) STRICT;
CREATE INDEX records_environment ON records (environment, seq);
CREATE INDEX records_owner ON records (environment, json_extract(body, '$.owner'));
CREATE TABLE statuses (environment TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (environment, kind, name)) STRICT;
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, environment TEXT NOT NULL, kind TEXT NOT NULL,
    name TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX events_owner ON events (environment, kind, name, seq);
"""
# A key within a body, and one of a list of keys, are told as the same JSON text.
_OF_OWNERS = """
SELECT body FROM records WHERE environment = ? AND json_extract(body, '$.owner') IN (SELECT value FROM json_each(?))
ORDER BY seq
"""
_OWNER = "environment = ? AND kind = ? AND name = ?"
_LOCK_WAIT = 30.0  # seconds for which a write waits for another process's


class SqliteStore:
    """The store in the file `path`, which is made if need be. Any number of processes may have it open.

    Raises StoreError when the file is damaged, is another program's, or was written by a newer Moorage.
    """

    def __init__(self, path: Path, *, events_kept: int = EVENTS_KEPT) -> None:
        self.path, self._events_kept = path, events_kept
        self._mine, self._turn = threading.local(), threading.Lock()
        self._seats: weakref.WeakSet[_Seat] = weakref.WeakSet()
        with self._telling():
            self._open()

    def refresh(self) -> None:
        """Nothing to do: every answer is read from the file."""

    def records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        """Every record of an environment, or those of some specs, in the order they were first put."""
        if owners is None:
            texts = self._texts("SELECT body FROM records WHERE environment = ? ORDER BY seq", environment)
        else:
            texts = self._texts(_OF_OWNERS, environment, json.dumps([*owners], ensure_ascii=False))
        return [documents.record_from(text) for text in texts]

    def record(self, id_: str) -> Record | None:
        """The record with this id."""
        texts = self._texts("SELECT body FROM records WHERE id = ?", id_)
        return documents.record_from(texts[0]) if texts else None

    def put(self, record: Record) -> None:
        """Insert or replace the record with this id."""
        with self._writing(ahead=record.pending is not None) as connection:
            connection.execute(
                "INSERT INTO records (id, environment, body) VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (record.id, record.key.environment, documents.record_text(record)),
            )

    def drop(self, record: Record) -> None:
        """Forget the record with this id; fine if it isn't there."""
        with self._writing() as connection:
            connection.execute("DELETE FROM records WHERE id = ?", (record.id,))

    def status(self, owner: Key) -> Status | None:
        """The last saved status of a spec."""
        texts = self._texts(f"SELECT body FROM statuses WHERE {_OWNER}", *owner)  # noqa: S608  (a constant)
        return documents.status_from(texts[0]) if texts else None

    def statuses(self, environment: str) -> Collection[Status]:
        """The last saved statuses of an environment, by kind and name."""
        texts = self._texts("SELECT body FROM statuses WHERE environment = ? ORDER BY kind, name", environment)
        return [documents.status_from(text) for text in texts]

    def save(self, status: Status) -> None:
        """Insert or replace a spec's status."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO statuses (environment, kind, name, body) VALUES (?, ?, ?, ?)",
                (*status.owner, documents.status_text(status)),
            )

    def forget(self, owner: Key) -> None:
        """Remove a spec's status; its events stay."""
        with self._writing() as connection:
            connection.execute(f"DELETE FROM statuses WHERE {_OWNER}", owner)  # noqa: S608  (a constant)

    def emit(self, event: Event) -> None:
        """Append an event; the oldest beyond the limit go."""
        with self._writing() as connection:
            added = connection.execute(
                "INSERT INTO events (environment, kind, name, body) VALUES (?, ?, ?, ?)",
                (*event.owner, documents.event_text(event)),
            )
            connection.execute("DELETE FROM events WHERE seq <= ?", ((added.lastrowid or 0) - self._events_kept,))

    def events(self, owner: Key | None = None, *, limit: int = 100) -> Collection[Event]:
        """The newest events, oldest first; of one spec, or of all."""
        where, values = ("1", ()) if owner is None else (_OWNER, owner)
        texts = self._texts(f"SELECT body FROM events WHERE {where} ORDER BY seq DESC LIMIT ?", *values, limit)  # noqa: S608  (constants)
        return [documents.event_from(text) for text in reversed(texts)]

    def close(self) -> None:
        """Release the file, in all threads."""
        for seat in list(self._seats):
            seat.connection.close()

    def _texts(self, query: str, *values: str | int) -> list[str]:
        with self._telling():
            return [str(row[0]) for row in self._connection().execute(query, values)]

    @contextmanager
    def _writing(self, *, ahead: bool = False) -> Iterator[sqlite3.Connection]:
        with self._telling(), self._turn:
            connection = self._connection()
            # NORMAL: a commit doesn't wait for the disk, but what a power cut leaves of a WAL is whole up to some commit.
            connection.execute(f"PRAGMA synchronous = {'FULL' if ahead else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        seat: _Seat | None = getattr(self._mine, "seat", None)
        if seat is None:
            seat = self._mine.seat = _Seat(_connect(self.path))
            self._seats.add(seat)
        return seat.connection

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes that make the file or switch it to WAL at once would fail each other: one after the other.
        with _locked(self.path.parent):
            self.path.touch(mode=0o600)
            connection = self._connection()
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("its check finds damage")
            application, version, tables = (
                connection.execute(query).fetchone()[0]
                for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
            )
            if tables == 0:
                _make(connection)
            elif application != _APPLICATION:
                raise StoreError("the store's file is another program's database", where=str(self.path))
            elif version > _VERSION:
                raise StoreError(
                    "the store's file was written by a newer Moorage",
                    where=str(self.path),
                    why=f"its version is {version}, this release knows {_VERSION}",
                    hint="upgrade Moorage, or use another state directory",
                )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                "the store's file can't be used",
                where=str(self.path),
                why=str(error),
                hint="if it is damaged, move it away and run again: what is owned is read from AWS's tags,"
                " only history is lost",
            ) from error


class _Seat:
    """One thread's connection; it is closed when the thread ends, or by the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_LOCK_WAIT, isolation_level=None, check_same_thread=False)


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    pragmas = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION};"
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {pragmas} COMMIT;")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
