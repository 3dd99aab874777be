"""ECS whose services roll out and whose tasks run. The implementation behind the API is in `tasks/`.

MOORAGE_LOCAL_RUNNER selects how tasks run: `process` (default), `docker` or `noop`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from embedded_aws.emulator import Emulator
from embedded_aws.errors import SettingError
from embedded_aws.strict.ecs import clusters, deployments, services, tags, task_definitions, tasks
from embedded_aws.tasks.docker_runner import DockerRunner
from embedded_aws.tasks.noop_runner import NoopRunner
from embedded_aws.tasks.process_runner import ProcessRunner
from embedded_aws.tasks.scheduler import ServiceScheduler, TaskRunner

_RUNNERS: dict[str, Callable[[ServiceScheduler], TaskRunner]] = {
    "process": ProcessRunner,
    "docker": DockerRunner,
    "noop": NoopRunner,
}


def install(emulator: Emulator) -> None:
    """Register the handlers of all ECS operations. Raises SettingError for an unknown MOORAGE_LOCAL_RUNNER."""
    scheduler = ServiceScheduler(emulator)
    setting = os.environ.get("MOORAGE_LOCAL_RUNNER", "process")
    if setting not in _RUNNERS:
        raise SettingError(f"MOORAGE_LOCAL_RUNNER is {' or '.join(_RUNNERS)}, not {setting!r}")
    scheduler.runner = _RUNNERS[setting](scheduler)
    emulator.on_reset(scheduler.reset)
    for part in (clusters, task_definitions, services, tasks, deployments, tags):
        part.install(emulator, scheduler)
