"""Tasks without processes: running and healthy as soon as they start, stopped as soon as they are asked to stop.

For tests of scale (MOORAGE_LOCAL_RUNNER=noop). Nothing is pulled, nothing listens.
"""

from __future__ import annotations

from embedded_aws.tasks.scheduler import ServiceScheduler
from embedded_aws.tasks.state import EcsTask


class NoopRunner:
    """Reports at once what a process runner would report later."""

    def __init__(self, scheduler: ServiceScheduler) -> None:
        self._scheduler = scheduler

    def start(self, task: EcsTask) -> None:
        """Report the task running and healthy."""
        for container in task.containers:
            container.digest = container.image.partition("@")[2] or None
        self._scheduler.report_pulling(task)
        self._scheduler.report_running(task)
        for container in task.containers:
            if container.definition.get("healthCheck"):
                self._scheduler.report_health(task, container, "HEALTHY")
        self._scheduler.report_warmed_up(task)

    def stop(self, task: EcsTask) -> None:
        """Report the task stopped."""
        for container in task.containers:
            container.exit_code = 0
        self._scheduler.report_stopping(task)
        self._scheduler.report_stopped(task)
