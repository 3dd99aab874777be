"""The services and tasks of one embedded AWS, and what happens to them: decisions carried out, reports taken in.

Every method is called under the world's lock, or takes it (those a runner reports through). Nothing here waits:
a runner works in threads of its own, and a pause is a worker that comes back.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol

from moto.ecs.models import ecs_backends

from embedded_aws.tasks import announce, deployments, discovery, network
from embedded_aws.tasks.model import UP, Container, Revision, Service, Task
from embedded_aws.tasks.rollout import (
    Action,
    Complete,
    Fail,
    Health,
    Member,
    Replace,
    Rollout,
    Start,
    State,
    Stop,
    Stuck,
    breaker_of,
    decide,
)
from embedded_aws.world import World

# DescribeTasks shows a stopped task for about an hour (API reference, DescribeTasks).
_REMEMBERED = timedelta(hours=1)
# ECS waits longer and longer between starts of a task that keeps failing, up to 27 minutes (Amazon ECS developer guide,
# "Service throttle logic"); here from half a second to a minute.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
# After so many failures in a row ECS tells that the service can't start tasks consistently.
_IMPAIRED = 3


class Runner(Protocol):
    """Makes tasks live. Both methods are called under the world's lock and return at once; reports come later."""

    def start(self, task: Task) -> None:
        """Bring the task up."""

    def stop(self, task: Task) -> None:
        """Take the task down; it is out of service discovery already."""


class Fleet:
    """All services and tasks, by ARN. `runner` is set once, before the first service."""

    runner: Runner

    def __init__(self, world: World) -> None:
        self.world = world
        self.services: dict[str, Service] = {}
        self.tasks: dict[str, Task] = {}
        self._addresses = network.Addresses()
        self._settling: set[str] = set()

    def reset(self) -> None:
        """Forget everything; the processes have been ended before."""
        self.services.clear()
        self.tasks.clear()
        self._addresses = network.Addresses()
        self._settling.clear()

    # --- deployments -------------------------------------------------------------------------------------------

    def deploy(self, service: Service, revision: Revision) -> None:
        """Make `revision` the primary deployment; what was rolling out before stops doing so."""
        deployment = deployments.begin(service, revision, self.world.now())
        announce.deployment(self.world, service, deployment, "SERVICE_DEPLOYMENT_IN_PROGRESS")

    def drain(self, service: Service) -> None:
        """Delete the service: all tasks stop, and it is INACTIVE when the last is STOPPING (API, DeleteService)."""
        deployments.end(service, self.world.now())
        for task in list(service.tasks.values()):
            self.stop(
                task, "ServiceSchedulerInitiated", f"Scaling activity initiated by (deployment {task.deployment})"
            )
        self.settle(service)

    def settle(self, service: Service) -> None:
        """Do all that can be done at once. A change made on the way is seen by the same loop."""
        if service.arn in self._settling:
            return
        self._settling.add(service.arn)
        try:
            while service.status == "ACTIVE" and (actions := decide(self._view(service))):
                if actions == [Stuck()]:
                    if not service.stuck:
                        announce.stuck(self.world, service)
                    service.stuck = True
                    break
                service.stuck = False
                for action in actions:
                    self._carry_out(service, action)
        finally:
            self._settling.discard(service.arn)
        if service.status == "DRAINING" and not any(task.status in UP for task in service.tasks.values()):
            service.status = "INACTIVE"
            service.deployments = service.deployments[:1]
            ecs_backends[service.account][service.region].services.pop(f"{service.cluster}:{service.name}", None)
        self._note_steady_state(service)

    def _view(self, service: Service) -> Rollout:
        primary, configuration = service.primary, service.configuration
        fallback = next((d.id for d in service.deployments if d.status == "ACTIVE" and d.completed), None)
        leaving = (t for t in service.tasks.values() if t.deployment != primary.id and t.desired == "STOPPED")
        return Rollout(
            primary=primary.id,
            state=primary.state,
            desired=service.desired,
            members=tuple(
                Member(task.id, task.deployment, _health(task))
                for task in service.tasks.values()
                if task.desired == "RUNNING"
            ),
            minimum=configuration["minimumHealthyPercent"],
            maximum=configuration["maximumPercent"],
            breaker=breaker_of(configuration),
            failures=primary.failed,
            fallback=fallback,
            draining=any(task.status in UP for task in leaving),
            held=time.monotonic() < primary.hold_until,
        )

    def _carry_out(self, service: Service, action: Action) -> None:
        match action:
            case Start(count):
                started = [self._launch_for(service) for _ in range(count)]
                announce.started(self.world, service, started)
            case Stop(ids):
                stopped = [service.tasks[task_id] for task_id in ids]
                announce.stopped(self.world, service, stopped)
                for task in stopped:
                    why = f"Scaling activity initiated by (deployment {service.primary.id})"
                    self.stop(task, "ServiceSchedulerInitiated", why)
            case Replace(ids):
                for task_id in ids:
                    task = service.tasks[task_id]
                    announce.unhealthy(self.world, service, task)
                    self._blame(task)
                    self.stop(task, "ServiceSchedulerInitiated", "Task failed container health checks")
            case Complete():
                self._complete(service)
            case Fail(fallback):
                self._fail(service, fallback)

    def _complete(self, service: Service) -> None:
        deployments.complete(service, self.world.now())
        announce.deployment(self.world, service, service.primary, "SERVICE_DEPLOYMENT_COMPLETED")

    def _fail(self, service: Service, fallback: str | None) -> None:
        failed = service.primary
        deployments.fail(service, fallback, self.world.now())
        announce.deployment(self.world, service, failed, "SERVICE_DEPLOYMENT_FAILED")
        if service.primary is not failed:
            announce.deployment(self.world, service, service.primary, "SERVICE_DEPLOYMENT_IN_PROGRESS")

    def _note_steady_state(self, service: Service) -> None:
        healthy = sum(_health(task) is Health.HEALTHY for task in service.tasks.values())
        steady = service.primary.state is State.COMPLETED and len(service.tasks) == healthy == service.desired
        if steady and not service.steady and service.status == "ACTIVE":
            announce.steady(self.world, service)
        service.steady = steady

    # --- tasks -------------------------------------------------------------------------------------------------

    def _launch_for(self, service: Service) -> Task:
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
        service: Service | None = None,
    ) -> Task:
        """Make a task and hand it to the runner."""
        task = Task(
            id=uuid.uuid4().hex,
            cluster=cluster,
            region=region,
            account=self.world.account,
            definition=definition,
            group=group,
            started_by=started_by,
            created=self.world.now(),
            containers=_containers(definition),
            service=service,
            deployment=started_by if service else "",
        )
        task.address = self._addresses.take(_ports(task))
        refused = network.attach(task, network_configuration)
        self.tasks[task.task_arn] = task
        if service:
            service.tasks[task.id] = task
        announce.task(self.world, task)
        if refused:
            self.report_failed(task, "TaskFailedToStart", refused)
            self.report_stopped(task)
        else:
            self.runner.start(task)
        return task

    def stop(self, task: Task, code: str, reason: str) -> None:
        """Take a task out of service discovery, then stop it: DEACTIVATING, STOPPING, STOPPED."""
        if task.desired == "STOPPED":
            return
        task.desired, task.stop_code, task.stopped_reason = "STOPPED", code, reason
        task.times["stoppingAt"] = self.world.now()
        discovery.deregister(task)
        self._move(task, "DEACTIVATING")
        self.runner.stop(task)

    def _blame(self, task: Task) -> None:
        """Count a task that failed by itself against the primary deployment, and make the next one wait."""
        service = task.service
        if service is None or task.blamed or service.status != "ACTIVE" or task.deployment != service.primary.id:
            return
        task.blamed = True
        deployments.count_failure(service.primary)
        if service.primary.consecutive == _IMPAIRED:
            announce.impaired(self.world, service)
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (service.primary.consecutive - 1))
        service.primary.hold_until = time.monotonic() + pause
        self.world.work(f"pause {service.name}", lambda stop: self._after(stop, pause, service))

    def _after(self, stop: threading.Event, seconds: float, service: Service) -> None:
        if not stop.wait(seconds):
            with self.world.lock:
                self.settle(service)

    def _move(self, task: Task, status: str) -> None:
        task.status = status
        task.version += 1
        announce.task(self.world, task)

    def _settle_for(self, task: Task) -> None:
        if task.service:
            self.settle(task.service)

    # --- what runners report -----------------------------------------------------------------------------------

    def report_pulling(self, task: Task) -> None:
        """Say that the image is being fetched."""
        with self.world.lock:
            if task.desired == "RUNNING":
                task.times["pullStartedAt"] = self.world.now()
                self._move(task, "PENDING")

    def report_running(self, task: Task) -> None:
        """Say that all containers run; only now it is registered in Cloud Map."""
        with self.world.lock:
            for container in task.containers:
                container.status = "RUNNING"
            if task.desired == "RUNNING":
                task.times |= {"pullStoppedAt": self.world.now(), "startedAt": self.world.now()}
                task.times["connectivityAt"] = task.times["startedAt"]
                self._move(task, "ACTIVATING")
                discovery.register(task)
                self._move(task, "RUNNING")
                self._settle_for(task)

    def report_health(self, task: Task, container: Container, status: str) -> None:
        """Say what a container's health check found."""
        with self.world.lock:
            container.health = status
            discovery.publish_health(task)
            self._move(task, task.status)
            self._vindicate(task)
            self._settle_for(task)

    def report_proven(self, task: Task) -> None:
        """Say that a task without a health check has run for as long as it takes to count as healthy."""
        with self.world.lock:
            task.proven = True
            self._vindicate(task)
            self._settle_for(task)

    def _vindicate(self, task: Task) -> None:
        """A healthy task ends the pauses, and the count of failures too unless resetOnHealthyTask is off."""
        if task.service and _health(task) is Health.HEALTHY:
            deployments.forgive(task.service, task.deployment)

    def report_exited(self, container: Container) -> None:
        """Say that a container which isn't essential has ended; the task goes on."""
        with self.world.lock:
            container.status = "STOPPED"

    def report_stopping(self, task: Task) -> None:
        """Say that the containers are being told to end."""
        with self.world.lock:
            self._move(task, "STOPPING")
            self._settle_for(task)

    def report_failed(self, task: Task, code: str, reason: str) -> None:
        """Say that the task ends by itself. One that was asked to stop already keeps that cause."""
        with self.world.lock:
            if task.desired == "RUNNING":
                task.desired, task.stop_code, task.stopped_reason = "STOPPED", code, reason
                task.times["stoppingAt"] = self.world.now()
                discovery.deregister(task)
                self._blame(task)
            self.report_stopping(task)

    def report_stopped(self, task: Task) -> None:
        """Say that nothing of the task is left."""
        with self.world.lock:
            for container in task.containers:
                container.status = "STOPPED"
            task.times["executionStoppedAt"] = task.times["stoppedAt"] = self.world.now()
            self._addresses.give_back(task.address)
            network.detach(task)
            self._move(task, "STOPPED")
            if task.service:
                task.service.tasks.pop(task.id, None)
            self._forget_old()
            self._settle_for(task)

    def _forget_old(self) -> None:
        """Drop tasks that stopped over an hour ago; they are kept in order of their making."""
        limit = self.world.now() - _REMEMBERED
        for arn, task in list(self.tasks.items()):
            if task.status != "STOPPED" or task.times["stoppedAt"] > limit:
                return
            del self.tasks[arn]


def _containers(definition: object) -> list[Container]:
    entries: Iterable[dict[str, object]] = definition.container_definitions  # type: ignore[attr-defined]
    return [
        Container(str(entry["name"]), str(entry["image"]), entry, bool(entry.get("essential", True)))
        for entry in entries
    ]


def _ports(task: Task) -> list[int]:
    return [m["containerPort"] for c in task.containers for m in c.definition.get("portMappings", ())]


def _health(task: Task) -> Health:
    """Whether a task counts: running, and healthy by its own checks (API reference, DeploymentConfiguration)."""
    if task.status != "RUNNING":
        return Health.STARTING
    if not task.checked:
        return Health.HEALTHY if task.proven else Health.STARTING
    return {"HEALTHY": Health.HEALTHY, "UNHEALTHY": Health.UNHEALTHY}.get(task.health, Health.STARTING)
