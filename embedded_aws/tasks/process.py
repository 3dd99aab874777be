"""Tasks that are real: each container a process of this machine on the task's own address.

A task has one thread that lives its life (pull, start, health checks, stop), and each of its containers one thread
that waits for its end and one that carries its output to CloudWatch Logs. Nothing polls: the life waits for messages,
or for the next health check. Not enforced: cpu, memory, user, read-only root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from embedded_aws.tasks import references
from embedded_aws.tasks.command import Place, container_command, health_command
from embedded_aws.tasks.fleet import Fleet
from embedded_aws.tasks.health import HealthCheck
from embedded_aws.tasks.image import PulledImage, PullError, pull
from embedded_aws.tasks.model import Container, Task
from embedded_aws.world import World

# Between leaving Cloud Map and SIGTERM ECS takes some seconds (DEACTIVATING); requests on their way need a moment.
DEACTIVATION = 0.5
# A task without a health check counts after 40 s of running (API reference, DeploymentConfiguration); here after this.
PROVING = 1.0
_STOP_TIMEOUT = 30
_CHUNK = 65536
_STOP = "stop"


class ProcessRunner:
    """Gives every task a life of its own."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        fleet.world.on_reset(self.clear)
        self._lives: dict[str, _Life] = {}

    def start(self, task: Task) -> None:
        """Begin the task's life in a new thread."""
        life = _Life(self, self._fleet, task)
        self._lives[task.id] = life
        self._fleet.world.work(f"task {task.id[:8]}", lambda stop: self._run(life, stop))

    def stop(self, task: Task) -> None:
        """Ask the life to end."""
        if life := self._lives.get(task.id):
            life.messages.put(_STOP)

    def clear(self) -> None:
        """Forget what an earlier program may have left running."""

    def fetch(self, task: Task, container: Container, architecture: str, directory: Path) -> PulledImage:
        """Get a container's image; the model's files go below `directory`. Raises PullError."""
        del task
        return pull(self._fleet.world, container.image, architecture, directory)

    def place(self, task: Task, container: Container, image: PulledImage, directory: Path) -> Place:
        """Say where a container runs."""
        del container, image
        return Place(sys.executable, directory, task.address)

    def _run(self, life: _Life, stop: threading.Event) -> None:
        try:
            life.run(stop)
        finally:
            life.clear()
            self._lives.pop(life.task.id, None)
            shutil.rmtree(life.directory, ignore_errors=True)


@dataclass
class _Running:
    """A container's process and its health check."""

    container: Container
    process: subprocess.Popen[bytes]
    place: Place
    environment: dict[str, str]
    check: HealthCheck | None


class _Life:
    """One task from pull to end. Messages: `_STOP`, or the container whose process has ended."""

    def __init__(self, runner: ProcessRunner, fleet: Fleet, task: Task) -> None:
        self.task = task
        self._runner = runner
        self.messages: SimpleQueue[str | Container] = SimpleQueue()
        self.directory = fleet.world.home / "tasks" / task.id
        self._fleet, self._world = fleet, fleet.world
        self._running: list[_Running] = []
        self._proven_at: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Live. When `stop` is set the program ends or forgets: then nothing is reported any more."""
        try:
            self._start()
        except (PullError, references.ReferenceMissingError, OSError) as failure:
            self._end(stop, "TaskFailedToStart", _why(failure))
            return
        if not any(item.check for item in self._running):
            self._proven_at = time.monotonic() + PROVING
        self._fleet.report_running(self.task)
        while True:
            message = self._next()
            if stop.is_set():
                return
            if message == _STOP:
                stop.wait(DEACTIVATION)
                self._end(stop)
                return
            if isinstance(message, Container) and message.essential:
                self._end(stop, "EssentialContainerExited", "Essential container in task exited")
                return
            if isinstance(message, Container):
                self._fleet.report_exited(message)
            self._tick()

    def clear(self) -> None:
        """Clear away what may outlive the processes; the life is over, however it ended."""
        for item in self._running:
            item.place.end()

    def _next(self) -> str | Container | None:
        """Wait for a message; None when it is time for a health check."""
        dues = [item.check.due for item in self._running if item.check and item.container.exit_code is None]
        dues += [self._proven_at] if self._proven_at else []
        with suppress(Empty):
            return self.messages.get(timeout=max(0.0, min(dues) - time.monotonic()) if dues else None)
        return None

    def _tick(self) -> None:
        now = time.monotonic()
        if self._proven_at and self._proven_at <= now:
            self._proven_at = None
            self._fleet.report_proven(self.task)
        for item in self._running:
            if item.check and item.check.due <= now and item.container.exit_code is None:
                passed = self._passes(item, item.check)
                if item.check.record(time.monotonic(), passed=passed):
                    self._fleet.report_health(self.task, item.container, item.check.status)

    def _passes(self, item: _Running, check: HealthCheck) -> bool:
        command = item.place.probe(health_command(check.command))
        probe = self._world.children.spawn(command, cwd=self.directory, env=item.environment)
        try:
            return probe.wait(check.timeout) == 0
        except subprocess.TimeoutExpired:
            _kill(probe)
            return False

    def _start(self) -> None:
        self._fleet.report_pulling(self.task)
        self.directory.mkdir(parents=True)
        with self._world.lock:
            references.require_roles(self.task)
        images = [self._pull(container) for container in self.task.containers]
        for container, image in zip(self.task.containers, images, strict=True):
            self._launch(container, image)

    def _pull(self, container: Container) -> PulledImage:
        # X86_64 unless the task definition says otherwise (API reference, RuntimePlatform).
        platform = self.task.definition.runtime_platform or {}
        architecture = {"ARM64": "arm64"}.get(platform.get("cpuArchitecture", ""), "amd64")
        image = self._runner.fetch(self.task, container, architecture, self.directory / container.name)
        container.digest = image.digest
        return image

    def _launch(self, container: Container, image: PulledImage) -> None:
        definition = container.definition
        root = self.directory / container.name
        root.mkdir(exist_ok=True)
        place = self._runner.place(self.task, container, image, root)
        with self._world.lock:
            entries = definition.get("secrets") or ()
            secrets = {entry["name"]: references.secret(self.task, entry["valueFrom"]) for entry in entries}
            options = _log_options(container)
            if options:
                references.require_log_group(self.task, options)
        variables, inherited = definition.get("environment") or (), image.config.get("Env") or ()
        environment = place.environment(os.environ, inherited, variables, self.task.region) | secrets
        process = self._world.children.spawn(
            place.start(container_command(definition, image.config), environment),
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        check = definition.get("healthCheck")
        parsed = HealthCheck.of(check, time.monotonic()) if check else None
        self._running.append(_Running(container, process, place, environment, parsed))
        with self._world.lock:
            self._world.work(f"logs {self.task.id[:8]}", lambda _: _carry(self._world, self.task, container, process))
            self._world.work(f"wait {self.task.id[:8]}", lambda _: self._wait(container, process))

    def _wait(self, container: Container, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        container.exit_code = code if code >= 0 else 128 - code
        # What it may have started itself is in its session.
        _kill(process)
        self.messages.put(container)

    def _end(self, stop: threading.Event, code: str = "", reason: str = "") -> None:
        """SIGTERM, stopTimeout, SIGKILL, report. `code` and `reason` are the cause when nobody had asked for it."""
        if stop.is_set():
            self._kill_all()
            return
        if code:
            self._fleet.report_failed(self.task, code, reason)
        else:
            self._fleet.report_stopping(self.task)
        for item in self._running:
            with suppress(ProcessLookupError):
                item.process.send_signal(signal.SIGTERM)
        for item in self._running:
            try:
                item.process.wait(item.container.definition.get("stopTimeout") or _STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                _kill(item.process)
                item.process.wait()
        if not stop.is_set():
            self._fleet.report_stopped(self.task)

    def _kill_all(self) -> None:
        for item in self._running:
            _kill(item.process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the process and all of its session; each child leads one of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _why(failure: Exception) -> str:
    """Return the stoppedReason; texts follow the Amazon ECS developer guide, "Stopped tasks error codes"."""
    if isinstance(failure, PullError):
        return f"CannotPullContainerError: pull image manifest has been retried 1 time(s): {failure}"
    return (
        str(failure)
        if isinstance(failure, references.ReferenceMissingError)
        else f"CannotStartContainerError: {failure}"
    )


def _log_options(container: Container) -> dict[str, str]:
    configuration = container.definition.get("logConfiguration") or {}
    return dict(configuration.get("options") or {}) if configuration.get("logDriver") == "awslogs" else {}


def _carry(world: World, task: Task, container: Container, process: subprocess.Popen[bytes]) -> None:
    """Carry output to the stream PREFIX/CONTAINER/TASK, line by line, until the last writer is gone."""
    options, rest = _log_options(container), b""
    stream = f"{options.get('awslogs-stream-prefix', 'ecs')}/{container.name}/{task.id}"
    assert process.stdout is not None  # noqa: S101  (it was started with a pipe)
    with process.stdout as output:
        while chunk := os.read(output.fileno(), _CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            _log(world, task, options, stream, lines)
    _log(world, task, options, stream, [rest] if rest else [])


def _log(world: World, task: Task, options: dict[str, str], stream: str, lines: list[bytes]) -> None:
    """Append lines; a group that was deleted meanwhile isn't made again."""
    if not options or not lines:
        return
    with world.lock:
        if references.has_log_group(task, options):
            text = [line.decode(errors="replace") for line in lines]
            world.log(options["awslogs-group"], stream, text, options.get("awslogs-region", ""))
