"""The stores that the conformance suite runs over, and a bucket that can be made to fail."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from controller.errors import AwsError, ConflictError, MissingError
from controller.store.base import Store
from controller.store.memory import MemoryStore
from controller.store.s3 import S3Store
from controller.store.sqlite import SqliteStore


class FakeBucket:
    """Objects in memory. `faults` are raised by the next puts, in turn: None lets one pass, and an error with `done`
    is raised after the write.
    """

    where = "s3://bucket"

    def __init__(self) -> None:
        self.there = True
        self.objects: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.faults: list[tuple[AwsError, bool] | None] = []
        self.before_put: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def list(self, prefix: str) -> Mapping[str, str]:
        with self._lock:
            self._call("list")
            return {key: _etag(body) for key, body in self.objects.items() if key.startswith(prefix)}

    def get(self, key: str) -> tuple[bytes, str] | None:
        with self._lock:
            self._call(f"get {key}")
            body = self.objects.get(key)
            return None if body is None else (body, _etag(body))

    def put(self, key: str, body: bytes, etag: str | None) -> str:
        self.before_put()
        with self._lock:
            self._call(f"put {key}")
            error, done = (self.faults.pop(0) if self.faults else None) or (None, True)
            if done:
                found = self.objects.get(key)
                if (None if found is None else _etag(found)) != etag:
                    raise ConflictError("it is another one", code="PreconditionFailed")
                self.objects[key] = body
            if error is not None:
                raise error
            return _etag(body)

    def _call(self, call: str) -> None:
        self.calls.append(call)
        if not self.there:
            raise MissingError("there is no such bucket", code="NoSuchBucket")


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


@pytest.fixture
def bucket() -> FakeBucket:
    """An empty bucket."""
    return FakeBucket()


STORE_FACTORIES: dict[str, Callable[[Path, int], Store]] = {
    "memory": lambda _, kept: MemoryStore(max_events=kept),
    "sqlite": lambda path, kept: SqliteStore(path, max_events=kept),
    "s3": lambda _, kept: S3Store(FakeBucket(), max_events=kept),
}


@pytest.fixture(params=STORE_FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each store in turn, empty; it keeps twenty events."""
    store = STORE_FACTORIES[request.param](tmp_path / "state" / "store.sqlite", 20)
    yield store
    store.close()
