"""ECS as alive as AWS: services that roll out, tasks that run. What is behind the API is in `tasks/`.

MOORAGE_LOCAL_RUNNER says what a task is: `process` (default), `docker` or `noop`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from controller.errors import UsageError
from controller.local.strict.ecs import clusters, definitions, deployments, services, tags, tasks
from controller.local.tasks.docker import DockerRunner
from controller.local.tasks.fleet import Fleet, Runner
from controller.local.tasks.noop import NoopRunner
from controller.local.tasks.process import ProcessRunner
from controller.local.world import World

_RUNNERS: dict[str, Callable[[Fleet], Runner]] = {"process": ProcessRunner, "docker": DockerRunner, "noop": NoopRunner}


def install(world: World) -> None:
    """Take over clusters, task definitions, services, tasks and deployments. Raises UsageError: no such runner."""
    fleet = Fleet(world)
    wanted = os.environ.get("MOORAGE_LOCAL_RUNNER", "process")
    if wanted not in _RUNNERS:
        raise UsageError(f"MOORAGE_LOCAL_RUNNER is {' or '.join(_RUNNERS)}, not {wanted!r}")
    fleet.runner = _RUNNERS[wanted](fleet)
    world.on_reset(fleet.reset)
    for room in (clusters, definitions, services, tasks, deployments, tags):
        room.register(world, fleet)
