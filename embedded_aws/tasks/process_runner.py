"""Run tasks as processes: each container is a process of this machine on the task's own address.

Each task has one thread for its lifecycle (pull, start, health checks, stop). Each of its containers has one thread
that waits for its end and one that forwards its output to CloudWatch Logs. Nothing polls: the lifecycle waits for
messages, or for the next health check. Not enforced: cpu, memory, user, read-only root.
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

from embedded_aws.emulator import Emulator
from embedded_aws.tasks import references
from embedded_aws.tasks.container_runtime import ContainerRuntime, build_container_command, build_health_command
from embedded_aws.tasks.health_check import HealthCheck
from embedded_aws.tasks.image_pull import PulledImage, PullError, pull_image
from embedded_aws.tasks.scheduler import ServiceScheduler
from embedded_aws.tasks.state import EcsTask, TaskContainer

# ECS takes some seconds between deregistration from Cloud Map and SIGTERM (DEACTIVATING), so that requests in flight
# can finish.
DEACTIVATION_SECONDS = 0.5
# ECS counts a task without a health check as healthy after 40 s of running (API reference, DeploymentConfiguration);
# here it takes this long.
WARM_UP_SECONDS = 1.0
_DEFAULT_STOP_TIMEOUT = 30
_CHUNK = 65536
_STOP_MESSAGE = "stop"


class ProcessRunner:
    """Runs the lifecycle of every task in its own thread."""

    def __init__(self, scheduler: ServiceScheduler) -> None:
        self._scheduler = scheduler
        scheduler.emulator.on_reset(self.remove_leftovers)
        self._lifecycles: dict[str, _TaskLifecycle] = {}

    def start(self, task: EcsTask) -> None:
        """Start the task's lifecycle in a new thread."""
        lifecycle = _TaskLifecycle(self, self._scheduler, task)
        self._lifecycles[task.id] = lifecycle
        self._scheduler.emulator.start_worker(f"task {task.id[:8]}", lambda stop: self._run(lifecycle, stop))

    def stop(self, task: EcsTask) -> None:
        """Ask the task's lifecycle to stop."""
        if lifecycle := self._lifecycles.get(task.id):
            lifecycle.messages.put(_STOP_MESSAGE)

    def remove_leftovers(self) -> None:
        """Remove what an earlier program may have left running.

        Processes die with their program, so nothing is left.
        """

    def pull_image(self, task: EcsTask, container: TaskContainer, architecture: str, directory: Path) -> PulledImage:
        """Pull a container's image; the model's files go below `directory`. Raises PullError."""
        del task
        return pull_image(self._scheduler.emulator, container.image, architecture, directory)

    def create_runtime(
        self, task: EcsTask, container: TaskContainer, image: PulledImage, directory: Path
    ) -> ContainerRuntime:
        """Return the runtime of a container."""
        del container, image
        return ContainerRuntime(sys.executable, directory, task.address)

    def _run(self, lifecycle: _TaskLifecycle, stop: threading.Event) -> None:
        try:
            lifecycle.run(stop)
        finally:
            lifecycle.clean_up()
            self._lifecycles.pop(lifecycle.task.id, None)
            shutil.rmtree(lifecycle.directory, ignore_errors=True)


@dataclass
class _RunningContainer:
    """A container's process and its health check."""

    container: TaskContainer
    process: subprocess.Popen[bytes]
    runtime: ContainerRuntime
    environment: dict[str, str]
    check: HealthCheck | None


class _TaskLifecycle:
    """The lifecycle of one task, from pull to end. Messages: `_STOP_MESSAGE`, or the container whose process ended."""

    def __init__(self, runner: ProcessRunner, scheduler: ServiceScheduler, task: EcsTask) -> None:
        self.task = task
        self._runner = runner
        self.messages: SimpleQueue[str | TaskContainer] = SimpleQueue()
        self.directory = scheduler.emulator.home / "tasks" / task.id
        self._scheduler, self._emulator = scheduler, scheduler.emulator
        self._running: list[_RunningContainer] = []
        self._warm_at: float | None = None

    def run(self, stop: threading.Event) -> None:
        """Run the lifecycle. When `stop` is set, the program ends or resets: from then on nothing is reported."""
        try:
            self._start_containers()
        except (PullError, references.ReferenceMissingError, OSError) as failure:
            self._stop_containers(stop, "TaskFailedToStart", _stopped_reason(failure))
            return
        if not any(item.check for item in self._running):
            self._warm_at = time.monotonic() + WARM_UP_SECONDS
        self._scheduler.report_running(self.task)
        while True:
            message = self._wait_for_message()
            if stop.is_set():
                return
            if message == _STOP_MESSAGE:
                stop.wait(DEACTIVATION_SECONDS)
                self._stop_containers(stop)
                return
            if isinstance(message, TaskContainer) and message.essential:
                self._stop_containers(stop, "EssentialContainerExited", "Essential container in task exited")
                return
            if isinstance(message, TaskContainer):
                self._scheduler.report_exited(message)
            self._run_due_checks()

    def clean_up(self) -> None:
        """Remove anything that may outlive the processes, however the lifecycle ended."""
        for item in self._running:
            item.runtime.clean_up()

    def _wait_for_message(self) -> str | TaskContainer | None:
        """Wait for a message. Return None when a health check is due."""
        dues = [item.check.due for item in self._running if item.check and item.container.exit_code is None]
        dues += [self._warm_at] if self._warm_at else []
        with suppress(Empty):
            return self.messages.get(timeout=max(0.0, min(dues) - time.monotonic()) if dues else None)
        return None

    def _run_due_checks(self) -> None:
        now = time.monotonic()
        if self._warm_at and self._warm_at <= now:
            self._warm_at = None
            self._scheduler.report_warmed_up(self.task)
        for item in self._running:
            if item.check and item.check.due <= now and item.container.exit_code is None:
                passed = self._run_probe(item, item.check)
                if item.check.record(time.monotonic(), passed=passed):
                    self._scheduler.report_health(self.task, item.container, item.check.status)

    def _run_probe(self, item: _RunningContainer, check: HealthCheck) -> bool:
        command = item.runtime.build_probe_command(build_health_command(check.command))
        probe = self._emulator.processes.spawn(command, cwd=self.directory, env=item.environment)
        try:
            return probe.wait(check.timeout) == 0
        except subprocess.TimeoutExpired:
            _kill_session(probe)
            return False

    def _start_containers(self) -> None:
        self._scheduler.report_pulling(self.task)
        self.directory.mkdir(parents=True)
        with self._emulator.lock:
            references.require_roles(self.task)
        images = [self._pull_image(container) for container in self.task.containers]
        for container, image in zip(self.task.containers, images, strict=True):
            self._start_container(container, image)

    def _pull_image(self, container: TaskContainer) -> PulledImage:
        # The default is X86_64 (API reference, RuntimePlatform).
        platform = self.task.definition.runtime_platform or {}
        architecture = {"ARM64": "arm64"}.get(platform.get("cpuArchitecture", ""), "amd64")
        image = self._runner.pull_image(self.task, container, architecture, self.directory / container.name)
        container.digest = image.digest
        return image

    def _start_container(self, container: TaskContainer, image: PulledImage) -> None:
        definition = container.definition
        root = self.directory / container.name
        root.mkdir(exist_ok=True)
        runtime = self._runner.create_runtime(self.task, container, image, root)
        with self._emulator.lock:
            entries = definition.get("secrets") or ()
            secrets = {entry["name"]: references.read_secret(self.task, entry["valueFrom"]) for entry in entries}
            options = _log_options(container)
            if options:
                references.require_log_group(self.task, options)
        variables, inherited = definition.get("environment") or (), image.config.get("Env") or ()
        environment = runtime.build_environment(os.environ, inherited, variables, self.task.region) | secrets
        process = self._emulator.processes.spawn(
            runtime.build_start_command(build_container_command(definition, image.config), environment),
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        check = definition.get("healthCheck")
        parsed = HealthCheck.of(check, time.monotonic()) if check else None
        self._running.append(_RunningContainer(container, process, runtime, environment, parsed))
        with self._emulator.lock:
            self._emulator.start_worker(
                f"logs {self.task.id[:8]}", lambda _: _forward_output(self._emulator, self.task, container, process)
            )
            self._emulator.start_worker(f"wait {self.task.id[:8]}", lambda _: self._wait_for_exit(container, process))

    def _wait_for_exit(self, container: TaskContainer, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        container.exit_code = code if code >= 0 else 128 - code
        # Processes that it started itself are in its session.
        _kill_session(process)
        self.messages.put(container)

    def _stop_containers(self, stop: threading.Event, code: str = "", reason: str = "") -> None:
        """Send SIGTERM, wait for stopTimeout, send SIGKILL, and report.

        `code` and `reason` say why without a stop request.
        """
        if stop.is_set():
            self._kill_all()
            return
        if code:
            self._scheduler.report_failed(self.task, code, reason)
        else:
            self._scheduler.report_stopping(self.task)
        for item in self._running:
            with suppress(ProcessLookupError):
                item.process.send_signal(signal.SIGTERM)
        for item in self._running:
            try:
                item.process.wait(item.container.definition.get("stopTimeout") or _DEFAULT_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                _kill_session(item.process)
                item.process.wait()
        if not stop.is_set():
            self._scheduler.report_stopped(self.task)

    def _kill_all(self) -> None:
        for item in self._running:
            _kill_session(item.process)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to the process and its whole session. Each child leads a session of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _stopped_reason(failure: Exception) -> str:
    """Return the stoppedReason. Texts follow the Amazon ECS developer guide, "Stopped tasks error codes"."""
    if isinstance(failure, PullError):
        return f"CannotPullContainerError: pull image manifest has been retried 1 time(s): {failure}"
    return (
        str(failure)
        if isinstance(failure, references.ReferenceMissingError)
        else f"CannotStartContainerError: {failure}"
    )


def _log_options(container: TaskContainer) -> dict[str, str]:
    configuration = container.definition.get("logConfiguration") or {}
    return dict(configuration.get("options") or {}) if configuration.get("logDriver") == "awslogs" else {}


def _forward_output(
    emulator: Emulator, task: EcsTask, container: TaskContainer, process: subprocess.Popen[bytes]
) -> None:
    """Forward output line by line to the stream PREFIX/CONTAINER/TASK, until the last writer closes it."""
    options, rest = _log_options(container), b""
    stream = f"{options.get('awslogs-stream-prefix', 'ecs')}/{container.name}/{task.id}"
    assert process.stdout is not None  # noqa: S101  (it was started with a pipe)
    with process.stdout as output:
        while chunk := os.read(output.fileno(), _CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            _write_log_lines(emulator, task, options, stream, lines)
    _write_log_lines(emulator, task, options, stream, [rest] if rest else [])


def _write_log_lines(
    emulator: Emulator, task: EcsTask, options: dict[str, str], stream: str, lines: list[bytes]
) -> None:
    """Append lines to the stream. A log group that was deleted meanwhile is not created again."""
    if not options or not lines:
        return
    with emulator.lock:
        if references.has_log_group(task, options):
            text = [line.decode(errors="replace") for line in lines]
            emulator.write_log_lines(options["awslogs-group"], stream, text, options.get("awslogs-region", ""))
