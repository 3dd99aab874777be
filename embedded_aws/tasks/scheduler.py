"""The services and tasks of one embedded AWS. The scheduler carries decisions out and takes reports from runners.

Every method is called under the emulator's lock, or takes it (those that runners report through). Nothing here waits: a
runner works in its own threads, and a delayed action is a worker that calls back.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol

from moto.ecs.models import ecs_backends

from embedded_aws.emulator import Emulator
from embedded_aws.tasks import deployments, discovery, events, network
from embedded_aws.tasks.rollout import (
    CompleteDeployment,
    FailDeployment,
    ReplaceTasks,
    ReportBlocked,
    Rollout,
    RolloutState,
    RolloutTask,
    SchedulerAction,
    StartTasks,
    StopTasks,
    TaskHealth,
    decide_actions,
    read_circuit_breaker,
)
from embedded_aws.tasks.state import IN_SERVICE_STATUSES, EcsService, EcsTask, ServiceRevision, TaskContainer

# DescribeTasks shows a stopped task for about an hour (API reference, DescribeTasks).
_STOPPED_TASK_RETENTION = timedelta(hours=1)
# ECS waits longer and longer between starts of a task that keeps failing, up to 27 minutes (Amazon ECS developer guide,
# "Service throttle logic"). Here the delay grows from half a second to a minute.
_FIRST_DELAY, _MAX_DELAY = 0.5, 60.0
# After so many failures in a row ECS reports that the service can't start tasks consistently.
_IMPAIRED_AFTER = 3


class TaskRunner(Protocol):
    """Executes tasks. Both methods are called under the emulator's lock and return at once; reports come later."""

    def start(self, task: EcsTask) -> None:
        """Start the task."""

    def stop(self, task: EcsTask) -> None:
        """Stop the task. It is already deregistered from service discovery."""


class ServiceScheduler:
    """All services and tasks, by ARN. `runner` is set once, before the first service is created."""

    runner: TaskRunner

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.services: dict[str, EcsService] = {}
        self.tasks: dict[str, EcsTask] = {}
        self._addresses = network.LoopbackAddresses()
        self._scheduling: set[str] = set()

    def reset(self) -> None:
        """Forget all services and tasks. The caller has stopped their processes."""
        self.services.clear()
        self.tasks.clear()
        self._addresses = network.LoopbackAddresses()
        self._scheduling.clear()

    # --- deployments -------------------------------------------------------------------------------------------

    def deploy(self, service: EcsService, revision: ServiceRevision) -> None:
        """Make `revision` the primary deployment, in place of any unfinished one."""
        deployment = deployments.begin(service, revision, self.emulator.now())
        events.publish_deployment_state(self.emulator, service, deployment, "SERVICE_DEPLOYMENT_IN_PROGRESS")

    def drain(self, service: EcsService) -> None:
        """Delete the service: stop all tasks.

        It is INACTIVE when the last one is STOPPING (API reference, DeleteService).
        """
        deployments.drain(service, self.emulator.now())
        for task in list(service.tasks.values()):
            self.stop(
                task, "ServiceSchedulerInitiated", f"Scaling activity initiated by (deployment {task.deployment})"
            )
        self.schedule(service)

    def schedule(self, service: EcsService) -> None:
        """Take every action that is possible now. The same loop sees changes made by its own actions."""
        if service.arn in self._scheduling:
            return
        self._scheduling.add(service.arn)
        try:
            while service.status == "ACTIVE" and (actions := decide_actions(self._build_rollout(service))):
                if actions == [ReportBlocked()]:
                    if not service.blocked:
                        events.report_blocked_deployment(self.emulator, service)
                    service.blocked = True
                    break
                service.blocked = False
                for action in actions:
                    self._apply(service, action)
        finally:
            self._scheduling.discard(service.arn)
        if service.status == "DRAINING" and not any(
            task.status in IN_SERVICE_STATUSES for task in service.tasks.values()
        ):
            service.status = "INACTIVE"
            service.deployments = service.deployments[:1]
            ecs_backends[service.account][service.region].services.pop(f"{service.cluster}:{service.name}", None)
        self._report_steady_state(service)

    def _build_rollout(self, service: EcsService) -> Rollout:
        primary, configuration = service.primary, service.deployment_configuration
        fallback = next((d.id for d in service.deployments if d.status == "ACTIVE" and d.completed), None)
        leaving = (t for t in service.tasks.values() if t.deployment != primary.id and t.desired_status == "STOPPED")
        return Rollout(
            primary=primary.id,
            state=primary.rollout_state,
            desired=service.desired_count,
            tasks=tuple(
                RolloutTask(task.id, task.deployment, _task_health(task))
                for task in service.tasks.values()
                if task.desired_status == "RUNNING"
            ),
            minimum_percent=configuration["minimumHealthyPercent"],
            maximum_percent=configuration["maximumPercent"],
            breaker=read_circuit_breaker(configuration),
            failures=primary.failed_tasks,
            fallback=fallback,
            draining=any(task.status in IN_SERVICE_STATUSES for task in leaving),
            throttled=time.monotonic() < primary.throttled_until,
        )

    def _apply(self, service: EcsService, action: SchedulerAction) -> None:
        match action:
            case StartTasks(count):
                started = [self._launch_for(service) for _ in range(count)]
                events.report_tasks_started(self.emulator, service, started)
            case StopTasks(ids):
                stopped = [service.tasks[task_id] for task_id in ids]
                events.report_tasks_stopped(self.emulator, service, stopped)
                for task in stopped:
                    why = f"Scaling activity initiated by (deployment {service.primary.id})"
                    self.stop(task, "ServiceSchedulerInitiated", why)
            case ReplaceTasks(ids):
                for task_id in ids:
                    task = service.tasks[task_id]
                    events.report_unhealthy_task(self.emulator, service, task)
                    self._count_failure(task)
                    self.stop(task, "ServiceSchedulerInitiated", "Task failed container health checks")
            case CompleteDeployment():
                self._complete(service)
            case FailDeployment(fallback):
                self._fail(service, fallback)

    def _complete(self, service: EcsService) -> None:
        deployments.complete(service, self.emulator.now())
        events.publish_deployment_state(self.emulator, service, service.primary, "SERVICE_DEPLOYMENT_COMPLETED")

    def _fail(self, service: EcsService, fallback: str | None) -> None:
        failed = service.primary
        deployments.fail(service, fallback, self.emulator.now())
        events.publish_deployment_state(self.emulator, service, failed, "SERVICE_DEPLOYMENT_FAILED")
        if service.primary is not failed:
            events.publish_deployment_state(self.emulator, service, service.primary, "SERVICE_DEPLOYMENT_IN_PROGRESS")

    def _report_steady_state(self, service: EcsService) -> None:
        healthy = sum(_task_health(task) is TaskHealth.HEALTHY for task in service.tasks.values())
        steady = (
            service.primary.rollout_state is RolloutState.COMPLETED
            and len(service.tasks) == healthy == service.desired_count
        )
        if steady and not service.steady and service.status == "ACTIVE":
            events.report_steady_state(self.emulator, service)
        service.steady = steady

    # --- tasks -------------------------------------------------------------------------------------------------

    def _launch_for(self, service: EcsService) -> EcsTask:
        primary = service.primary
        task = self.launch(
            cluster=service.cluster,
            region=service.region,
            definition=ecs_backends[service.account][service.region].describe_task_definition(
                primary.revision.task_definition
            ),
            network_configuration=primary.revision.settings["networkConfiguration"],
            group=f"service:{service.name}",
            started_by=primary.id,
            service=service,
        )
        sources = {"SERVICE": service.tags, "TASK_DEFINITION": task.definition.tags}
        task.tags = list(sources.get(service.settings["propagateTags"], ()))
        if service.settings["enableECSManagedTags"]:
            managed = {"aws:ecs:clusterName": service.cluster, "aws:ecs:serviceName": service.name}
            task.tags += [{"key": key, "value": value} for key, value in managed.items()]
        return task

    def launch(
        self,
        *,
        cluster: str,
        region: str,
        definition: object,
        network_configuration: dict[str, dict[str, list[str]]],
        group: str,
        started_by: str,
        service: EcsService | None = None,
    ) -> EcsTask:
        """Create a task and hand it to the runner."""
        task = EcsTask(
            id=uuid.uuid4().hex,
            cluster=cluster,
            region=region,
            account=self.emulator.account,
            definition=definition,
            group=group,
            started_by=started_by,
            created=self.emulator.now(),
            containers=_build_containers(definition),
            service=service,
            deployment=started_by if service else "",
        )
        task.address = self._addresses.allocate(_container_ports(task))
        failure = network.attach_interface(task, network_configuration)
        self.tasks[task.task_arn] = task
        if service:
            service.tasks[task.id] = task
        events.publish_task_state(self.emulator, task)
        if failure:
            self.report_failed(task, "TaskFailedToStart", failure)
            self.report_stopped(task)
        else:
            self.runner.start(task)
        return task

    def stop(self, task: EcsTask, code: str, reason: str) -> None:
        """Deregister a task from service discovery, then stop it: DEACTIVATING, STOPPING, STOPPED."""
        if task.desired_status == "STOPPED":
            return
        task.desired_status, task.stop_code, task.stopped_reason = "STOPPED", code, reason
        task.times["stoppingAt"] = self.emulator.now()
        discovery.deregister_task(task)
        self._set_status(task, "DEACTIVATING")
        self.runner.stop(task)

    def _count_failure(self, task: EcsTask) -> None:
        """Count a task that failed by itself against the primary deployment, and delay the next start."""
        service = task.service
        if (
            service is None
            or task.failure_counted
            or service.status != "ACTIVE"
            or task.deployment != service.primary.id
        ):
            return
        task.failure_counted = True
        deployments.count_failure(service.primary)
        if service.primary.consecutive_failures == _IMPAIRED_AFTER:
            events.report_start_impaired(self.emulator, service)
        pause = min(_MAX_DELAY, _FIRST_DELAY * 2 ** (service.primary.consecutive_failures - 1))
        service.primary.throttled_until = time.monotonic() + pause
        self.emulator.start_worker(f"pause {service.name}", lambda stop: self._schedule_after(stop, pause, service))

    def _schedule_after(self, stop: threading.Event, seconds: float, service: EcsService) -> None:
        if not stop.wait(seconds):
            with self.emulator.lock:
                self.schedule(service)

    def _set_status(self, task: EcsTask, status: str) -> None:
        task.status = status
        task.version += 1
        events.publish_task_state(self.emulator, task)

    def _schedule_service_of(self, task: EcsTask) -> None:
        if task.service:
            self.schedule(task.service)

    # --- reports of runners ------------------------------------------------------------------------------------

    def report_pulling(self, task: EcsTask) -> None:
        """Record that the image is being pulled."""
        with self.emulator.lock:
            if task.desired_status == "RUNNING":
                task.times["pullStartedAt"] = self.emulator.now()
                self._set_status(task, "PENDING")

    def report_running(self, task: EcsTask) -> None:
        """Record that all containers run. Only now the task is registered in Cloud Map."""
        with self.emulator.lock:
            for container in task.containers:
                container.status = "RUNNING"
            if task.desired_status == "RUNNING":
                task.times |= {"pullStoppedAt": self.emulator.now(), "startedAt": self.emulator.now()}
                task.times["connectivityAt"] = task.times["startedAt"]
                self._set_status(task, "ACTIVATING")
                discovery.register_task(task)
                self._set_status(task, "RUNNING")
                self._schedule_service_of(task)

    def report_health(self, task: EcsTask, container: TaskContainer, status: str) -> None:
        """Record the status of a container's health check."""
        with self.emulator.lock:
            container.health = status
            discovery.update_health(task)
            self._set_status(task, task.status)
            self._reset_failures(task)
            self._schedule_service_of(task)

    def report_warmed_up(self, task: EcsTask) -> None:
        """Record that a task without a health check has run long enough to count as healthy."""
        with self.emulator.lock:
            task.warmed_up = True
            self._reset_failures(task)
            self._schedule_service_of(task)

    def _reset_failures(self, task: EcsTask) -> None:
        """Reset the start delay at a healthy task, and the failure count unless resetOnHealthyTask is off."""
        if task.service and _task_health(task) is TaskHealth.HEALTHY:
            deployments.reset_failures(task.service, task.deployment)

    def report_exited(self, container: TaskContainer) -> None:
        """Record that a nonessential container has ended. The task goes on."""
        with self.emulator.lock:
            container.status = "STOPPED"

    def report_stopping(self, task: EcsTask) -> None:
        """Record that the containers are being stopped."""
        with self.emulator.lock:
            self._set_status(task, "STOPPING")
            self._schedule_service_of(task)

    def report_failed(self, task: EcsTask, code: str, reason: str) -> None:
        """Record that the task ends by itself. A task that was already asked to stop keeps that cause."""
        with self.emulator.lock:
            if task.desired_status == "RUNNING":
                task.desired_status, task.stop_code, task.stopped_reason = "STOPPED", code, reason
                task.times["stoppingAt"] = self.emulator.now()
                discovery.deregister_task(task)
                self._count_failure(task)
            self.report_stopping(task)

    def report_stopped(self, task: EcsTask) -> None:
        """Record that the task has stopped, and release its address and network interface."""
        with self.emulator.lock:
            for container in task.containers:
                container.status = "STOPPED"
            task.times["executionStoppedAt"] = task.times["stoppedAt"] = self.emulator.now()
            self._addresses.release(task.address)
            network.detach_interface(task)
            self._set_status(task, "STOPPED")
            if task.service:
                task.service.tasks.pop(task.id, None)
            self._forget_old()
            self._schedule_service_of(task)

    def _forget_old(self) -> None:
        """Drop tasks that stopped over an hour ago. Tasks are kept in order of creation."""
        limit = self.emulator.now() - _STOPPED_TASK_RETENTION
        for arn, task in list(self.tasks.items()):
            if task.status != "STOPPED" or task.times["stoppedAt"] > limit:
                return
            del self.tasks[arn]


def _build_containers(definition: object) -> list[TaskContainer]:
    entries: Iterable[dict[str, object]] = definition.container_definitions  # type: ignore[attr-defined]
    return [
        TaskContainer(str(entry["name"]), str(entry["image"]), entry, bool(entry.get("essential", True)))
        for entry in entries
    ]


def _container_ports(task: EcsTask) -> list[int]:
    return [m["containerPort"] for c in task.containers for m in c.definition.get("portMappings", ())]


def _task_health(task: EcsTask) -> TaskHealth:
    """Return a task's health: RUNNING tasks count, by their own checks (API reference, DeploymentConfiguration)."""
    if task.status != "RUNNING":
        return TaskHealth.STARTING
    if not task.has_health_check:
        return TaskHealth.HEALTHY if task.warmed_up else TaskHealth.STARTING
    return {"HEALTHY": TaskHealth.HEALTHY, "UNHEALTHY": TaskHealth.UNHEALTHY}.get(task.health, TaskHealth.STARTING)
