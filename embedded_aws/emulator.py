"""The services that every strict module shares: account, lock, time, events, logs and child processes.

A strict module registers its handlers in `install(emulator)` (see `strict/__init__.py`) and keeps its own state. It
drops that state in a hook given to `on_reset`. No code for a single AWS service belongs here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.events.models import events_backends
from moto.logs.models import logs_backends

from embedded_aws.api_call import ApiCall, ApiResponse
from embedded_aws.child_processes import ChildProcesses
from embedded_aws.weather import Weather

Handler = Callable[[ApiCall], Mapping[str, Any] | ApiResponse]
Worker = Callable[[threading.Event], None]


def utc_now() -> datetime:
    """Return the current time, timezone-aware and in UTC."""
    return datetime.now(UTC)


@dataclass
class Emulator:
    """One embedded AWS.

    Every API call and every handler runs under `lock`. A worker takes the lock whenever it touches moto's state,
    because moto is not thread-safe. It never holds the lock while it waits or computes.
    """

    home: Path
    account: str = "123456789012"
    region: str = "us-east-1"
    endpoint: str = ""
    now: Callable[[], datetime] = utc_now
    weather: Weather = field(default_factory=Weather)
    lock: threading.RLock = field(default_factory=threading.RLock)
    processes: ChildProcesses = field(default_factory=ChildProcesses)
    handlers: dict[tuple[str, str], Handler] = field(default_factory=dict)
    routes: list[web.RouteDef] = field(default_factory=list)
    contexts: list[Callable[[web.Application], AsyncIterator[None]]] = field(default_factory=list)
    _resets: list[Callable[[], None]] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def register_handler(self, service: str, operation: str, handler: Handler) -> None:
        """Let `handler` answer `service.operation` in place of moto.

        Raises ValueError for a second handler of an operation.
        """
        if (service, operation) in self.handlers:
            raise ValueError(f"{service}.{operation} has a handler already")
        self.handlers[service, operation] = handler

    def add_route(self, path: str, handler: Callable[[web.Request], Any], method: str = "*") -> None:
        """Serve `path` (in aiohttp's pattern syntax) outside the lock. `handler` is a coroutine function."""
        self.routes.append(web.route(method, path, handler))

    def add_context(self, manager: Callable[[web.Application], AsyncIterator[None]]) -> None:
        """Keep what `manager` sets up before its yield for as long as the program serves.

        It has the form of aiohttp's `cleanup_ctx`.
        """
        self.contexts.append(manager)

    def on_reset(self, hook: Callable[[], None]) -> None:
        """Call `hook` after moto's state was emptied, at start and at every reset.

        A hook clears its state, then seeds it.
        """
        self._resets.append(hook)

    def start_worker(self, name: str, worker: Worker) -> None:
        """Run `worker(stop)` in a thread of its own.

        It must return soon after `stop` is set: wait with `stop.wait(seconds)`.
        """
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=worker, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def publish_event(
        self, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str] = (), region: str = ""
    ) -> None:
        """Put an event on the region's default EventBridge bus. Rules deliver it to their targets."""
        entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail, default=str)}
        with self.lock:
            backend = events_backends[self.account][region or self.region]
            backend.put_events([entry | {"Resources": list(resources)}])

    def write_log_lines(self, group: str, stream: str, lines: Sequence[str], region: str = "") -> None:
        """Append `lines` to a CloudWatch Logs stream. Create group and stream if missing, as AWS's own services do."""
        if not lines:
            return
        with self.lock:
            backend = logs_backends[self.account][region or self.region]
            if group not in backend.groups:
                backend.create_log_group(group, {})
            backend.ensure_log_stream(group, stream)
            stamp = int(self.now().timestamp() * 1000)
            # PutLogEvents refuses an empty message.
            events = [{"timestamp": stamp, "message": line or " "} for line in lines]
            backend.put_log_events(group, stream, events)

    def reset(self) -> None:
        """Forget everything: stop workers and child processes, empty moto, let the strict modules seed their state."""
        self._stop_workers()
        with self.lock:
            self._stop = threading.Event()
            BackendDict.reset()
            reset_model_data()
            for hook in self._resets:
                hook()

    def stop(self) -> None:
        """Stop workers and child processes for good."""
        self._stop_workers()

    def _stop_workers(self) -> None:
        """Stop the workers, then the child processes: a worker may have started one at the last moment."""
        self._stop.set()
        self.processes.stop_all()
        for thread in self._threads:
            thread.join(10)
        self._threads = []
        self.processes.stop_all()
