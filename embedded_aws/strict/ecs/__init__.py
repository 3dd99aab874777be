"""ECS as alive as AWS: services that roll out, tasks that run. What is behind the API is in `tasks/`.

MOORAGE_LOCAL_RUNNER says what a task is: `process` (default), `docker` or `noop`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from embedded_aws.errors import SettingError
from embedded_aws.strict.ecs import clusters, definitions, deployments, services, tags, tasks
from embedded_aws.tasks.docker import DockerRunner
from embedded_aws.tasks.fleet import Fleet, Runner
from embedded_aws.tasks.noop import NoopRunner
from embedded_aws.tasks.process import ProcessRunner
from embedded_aws.world import World

_RUNNERS: dict[str, Callable[[Fleet], Runner]] = {"process": ProcessRunner, "docker": DockerRunner, "noop": NoopRunner}


def install(world: World) -> None:
    """Take over clusters, task definitions, services, tasks and deployments. Raises SettingError: no such runner."""
    fleet = Fleet(world)
    wanted = os.environ.get("MOORAGE_LOCAL_RUNNER", "process")
    if wanted not in _RUNNERS:
        raise SettingError(f"MOORAGE_LOCAL_RUNNER is {' or '.join(_RUNNERS)}, not {wanted!r}")
    fleet.runner = _RUNNERS[wanted](fleet)
    world.on_reset(fleet.reset)
    for room in (clusters, definitions, services, tasks, deployments, tags):
        room.register(world, fleet)
