"""The store in one SQLite file: the local backend.

Each thread has a connection with write-ahead logging, and `BEGIN IMMEDIATE` around every write: a deferred transaction
that reads before it writes fails under concurrency instead of waiting. Threads wait for one another in Python, because
SQLite waits for another connection by sleeping ever longer.

A pending change is on the disk before its call is sent. All other writes are handed to the kernel, where they outlive
the process, and are on the disk with the next pending one. A power cut may undo the last of them, which the next
observation finds again.
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
from controller.store.base import MAX_EVENTS

# The file's header identifies its program: "MOOR".
_APPLICATION_ID = 0x4D4F4F52
_SCHEMA_VERSION = 1
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
# A key in a body, and each of a list of keys, have the same JSON text.
_SELECT_BY_OWNERS = """
SELECT body FROM records WHERE environment = ? AND json_extract(body, '$.owner') IN (SELECT value FROM json_each(?))
ORDER BY seq
"""
_OWNER_CONDITION = "environment = ? AND kind = ? AND name = ?"
_LOCK_TIMEOUT = 30.0  # seconds for which a write waits for another process's


class SqliteStore:
    """The store in the file `path`, which is created if necessary. Any number of processes may have it open.

    Raises StoreError if the file is damaged, belongs to another program, or was written by a newer Moorage.
    """

    def __init__(self, path: Path, *, max_events: int = MAX_EVENTS) -> None:
        self.path, self._max_events = path, max_events
        self._thread_local, self._write_lock = threading.local(), threading.Lock()
        self._connections: weakref.WeakSet[_ThreadConnection] = weakref.WeakSet()
        with self._map_errors():
            self._open()

    def refresh(self) -> None:
        """Do nothing: every result is read from the file."""

    def list_records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        """Return every record of an environment, or those of some specs, in the order they were first stored."""
        if owners is None:
            texts = self._select_texts("SELECT body FROM records WHERE environment = ? ORDER BY seq", environment)
        else:
            texts = self._select_texts(_SELECT_BY_OWNERS, environment, json.dumps([*owners], ensure_ascii=False))
        return [documents.parse_record(text) for text in texts]

    def get_record(self, id_: str) -> Record | None:
        """Return the record with this id; None if there is none."""
        texts = self._select_texts("SELECT body FROM records WHERE id = ?", id_)
        return documents.parse_record(texts[0]) if texts else None

    def put_record(self, record: Record) -> None:
        """Insert or replace the record with this id."""
        with self._transaction(durable=record.pending is not None) as connection:
            connection.execute(
                "INSERT INTO records (id, environment, body) VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (record.id, record.key.environment, documents.serialize_record(record)),
            )

    def delete_record(self, record: Record) -> None:
        """Delete the record with this id; fine if there is none."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM records WHERE id = ?", (record.id,))

    def get_status(self, owner: Key) -> Status | None:
        """Return the last saved status of a spec; None if there is none."""
        texts = self._select_texts(f"SELECT body FROM statuses WHERE {_OWNER_CONDITION}", *owner)  # noqa: S608  (a constant)
        return documents.parse_status(texts[0]) if texts else None

    def list_statuses(self, environment: str) -> Collection[Status]:
        """Return the last saved statuses of an environment, by kind and name."""
        texts = self._select_texts("SELECT body FROM statuses WHERE environment = ? ORDER BY kind, name", environment)
        return [documents.parse_status(text) for text in texts]

    def save_status(self, status: Status) -> None:
        """Insert or replace a spec's status."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO statuses (environment, kind, name, body) VALUES (?, ?, ?, ?)",
                (*status.owner, documents.serialize_status(status)),
            )

    def delete_status(self, owner: Key) -> None:
        """Delete a spec's status; its events stay."""
        with self._transaction() as connection:
            connection.execute(f"DELETE FROM statuses WHERE {_OWNER_CONDITION}", owner)  # noqa: S608  (a constant)

    def emit(self, event: Event) -> None:
        """Append an event; the oldest beyond the limit are dropped."""
        with self._transaction() as connection:
            added = connection.execute(
                "INSERT INTO events (environment, kind, name, body) VALUES (?, ?, ?, ?)",
                (*event.owner, documents.serialize_event(event)),
            )
            connection.execute("DELETE FROM events WHERE seq <= ?", ((added.lastrowid or 0) - self._max_events,))

    def list_events(self, owner: Key | None = None, *, limit: int = 100) -> Collection[Event]:
        """Return the newest events, oldest first; of one spec, or of all."""
        where, values = ("1", ()) if owner is None else (_OWNER_CONDITION, owner)
        texts = self._select_texts(f"SELECT body FROM events WHERE {where} ORDER BY seq DESC LIMIT ?", *values, limit)  # noqa: S608  (constants)
        return [documents.parse_event(text) for text in reversed(texts)]

    def close(self) -> None:
        """Release the file, in all threads."""
        for seat in list(self._connections):
            seat.connection.close()

    def _select_texts(self, query: str, *values: str | int) -> list[str]:
        with self._map_errors():
            return [str(row[0]) for row in self._connection().execute(query, values)]

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        with self._map_errors(), self._write_lock:
            connection = self._connection()
            # NORMAL: a commit doesn't wait for the disk, but after a power cut a WAL is consistent up to some commit.
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        seat: _ThreadConnection | None = getattr(self._thread_local, "seat", None)
        if seat is None:
            seat = self._thread_local.seat = _ThreadConnection(_connect(self.path))
            self._connections.add(seat)
        return seat.connection

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes that create the file or switch it to WAL at once would make each other fail, so they take turns.
        with _directory_lock(self.path.parent):
            self.path.touch(mode=0o600)
            connection = self._connection()
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("the integrity check found damage")
            application, version, tables = (
                connection.execute(query).fetchone()[0]
                for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
            )
            if tables == 0:
                _create_schema(connection)
            elif application != _APPLICATION_ID:
                raise StoreError("the store's file is a database of another program", where=str(self.path))
            elif version > _SCHEMA_VERSION:
                raise StoreError(
                    "the store's file was written by a newer Moorage",
                    where=str(self.path),
                    why=f"its version is {version}, this release supports {_SCHEMA_VERSION}",
                    hint="upgrade Moorage, or use another state directory",
                )

    @contextmanager
    def _map_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                "the store's file can't be used",
                where=str(self.path),
                why=str(error),
                hint="if it is damaged, move it away and run again: ownership is read from AWS's tags,"
                " only history is lost",
            ) from error


class _ThreadConnection:
    """One thread's connection; it is closed when the thread ends, or by the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)


def _create_schema(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    pragmas = f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_SCHEMA_VERSION};"
    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {pragmas} COMMIT;")


@contextmanager
def _directory_lock(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
