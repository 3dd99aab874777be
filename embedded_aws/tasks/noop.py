"""Tasks that are no processes: running and healthy the moment they start, gone the moment they stop.

For tests of scale (MOORAGE_LOCAL_RUNNER=noop). Nothing is pulled, nothing listens.
"""

from __future__ import annotations

from embedded_aws.tasks.fleet import Fleet
from embedded_aws.tasks.model import Task


class NoopRunner:
    """Reports at once what a process would report later."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def start(self, task: Task) -> None:
        """Report the task running and healthy."""
        for container in task.containers:
            container.digest = container.image.partition("@")[2] or None
        self._fleet.report_pulling(task)
        self._fleet.report_running(task)
        for container in task.containers:
            if container.definition.get("healthCheck"):
                self._fleet.report_health(task, container, "HEALTHY")
        self._fleet.report_proven(task)

    def stop(self, task: Task) -> None:
        """Report the task stopped."""
        for container in task.containers:
            container.exit_code = 0
        self._fleet.report_stopping(task)
        self._fleet.report_stopped(task)
