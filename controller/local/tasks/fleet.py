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

from controller.local.tasks import announce, discovery, network
from controller.local.tasks.model import UP, Container, Deployment, Revision, Service, Task, new_number
from controller.local.tasks.rollout import (
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
    breaker_of,
    decide,
)
from controller.local.world import World

# DescribeTasks shows a stopped task for about an hour (API reference, DescribeTasks).
_REMEMBERED = timedelta(hours=1)
# ECS waits longer and longer between starts of a task that keeps failing, up to 27 minutes (Amazon ECS developer guide,
# "Service throttle logic"); here from half a second to a minute.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
_TRIPPED = "ECS deployment circuit breaker: tasks failed to start."


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

    def deploy(self, service: Service, revision: Revision) -> Deployment:
        """Make `revision` the primary deployment; what was rolling out before stops doing so."""
        now = self.world.now()
        source = None
        for earlier in service.deployments:
            if earlier.status == "PRIMARY":
                source, earlier.status = earlier.revision, "ACTIVE"
            if earlier.outcome in {"IN_PROGRESS", "ROLLBACK_IN_PROGRESS"}:
                _close(earlier, "STOPPED", "A newer service deployment started.", now)
        number = new_number()
        deployment = Deployment(
            id=f"ecs-svc/{number}",
            arn=service.child_arn("service-deployment", number),
            revision=revision,
            created=now,
            updated=now,
            source=source,
            desired=service.desired,
        )
        deployment.reason = f"ECS deployment {deployment.id} in progress."
        service.deployments.insert(0, deployment)
        service.history.insert(0, deployment)
        service.steady = service.stuck = False
        announce.deployment(self.world, service, deployment, "SERVICE_DEPLOYMENT_IN_PROGRESS")
        return deployment

    def scale(self, service: Service, desired: int) -> None:
        """Change how many tasks are wanted; no new deployment."""
        service.desired = service.primary.desired = desired
        service.steady = service.stuck = False

    def drain(self, service: Service) -> None:
        """Delete the service: all tasks stop, and it is INACTIVE when the last is STOPPING (API, DeleteService)."""
        service.status = "DRAINING"
        self.scale(service, 0)
        for deployment in service.deployments:
            if deployment.outcome in {"IN_PROGRESS", "ROLLBACK_IN_PROGRESS"}:
                _close(deployment, "STOPPED", "The service was deleted.", self.world.now())
        for task in list(service.tasks.values()):
            self.stop(task, "ServiceSchedulerInitiated", f"Scaling activity initiated by ({task.deployment})")
        self.settle(service)

    def settle(self, service: Service) -> None:
        """Do all that can be done at once. A change made on the way is seen by the same loop."""
        if service.arn in self._settling:
            return
        self._settling.add(service.arn)
        try:
            while service.status == "ACTIVE" and (actions := decide(self._view(service))):
                for action in actions:
                    self._carry_out(service, action)
                if service.stuck:
                    break
        finally:
            self._settling.discard(service.arn)
        if service.status == "DRAINING" and not any(task.status in UP for task in service.tasks.values()):
            service.status = "INACTIVE"
            service.deployments = service.deployments[:1]
        self._note_steady_state(service)

    def _view(self, service: Service) -> Rollout:
        primary, configuration = service.primary, service.configuration
        fallback = next((d.id for d in service.deployments if d.status == "ACTIVE" and d.completed), None)
        old = (task for task in service.tasks.values() if task.deployment != primary.id)
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
            draining=any(task.status in UP for task in old),
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
            case _:
                service.stuck = True
                announce.stuck(self.world, service)

    def _complete(self, service: Service) -> None:
        primary, now = service.primary, self.world.now()
        primary.state, primary.completed, primary.updated = State.COMPLETED, True, now
        primary.reason = f"ECS deployment {primary.id} completed."
        if primary.outcome == "IN_PROGRESS":
            _close(primary, "SUCCESSFUL", None, now)
        for deployment in service.history:
            if deployment.outcome == "ROLLBACK_IN_PROGRESS":
                _close(deployment, "ROLLBACK_SUCCESSFUL", deployment.outcome_reason, now)
        service.deployments = [primary]
        announce.deployment(self.world, service, primary, "SERVICE_DEPLOYMENT_COMPLETED")

    def _fail(self, service: Service, fallback: str | None) -> None:
        """Trip the breaker: roll back to `fallback`, whose running tasks were kept, or stay failed."""
        failed, now = service.primary, self.world.now()
        failed.state, failed.reason, failed.updated = State.FAILED, _TRIPPED, now
        announce.deployment(self.world, service, failed, "SERVICE_DEPLOYMENT_FAILED")
        for deployment in service.history:
            if deployment.outcome == "ROLLBACK_IN_PROGRESS":
                _close(deployment, "ROLLBACK_FAILED", _TRIPPED, now)
        if fallback is None:
            breaker = breaker_of(service.configuration)
            if failed.outcome == "IN_PROGRESS":
                _close(failed, "ROLLBACK_FAILED" if breaker and breaker.rollback else "STOPPED", _TRIPPED, now)
            return
        target = next(deployment for deployment in service.deployments if deployment.id == fallback)
        failed.status, failed.desired = "ACTIVE", 0
        failed.outcome, failed.outcome_reason = "ROLLBACK_IN_PROGRESS", _TRIPPED
        failed.rollback = {"reason": _TRIPPED, "startedAt": now, "serviceRevisionArn": target.revision.arn}
        target.status, target.state, target.desired = "PRIMARY", State.IN_PROGRESS, service.desired
        target.failed = target.consecutive = 0
        target.reason = f"ECS deployment circuit breaker: rolling back to deploymentId {target.id}."
        target.updated = now
        service.deployments.sort(key=lambda deployment: deployment.status != "PRIMARY")
        announce.deployment(self.world, service, target, "SERVICE_DEPLOYMENT_IN_PROGRESS")

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
        if service.settings.get("propagateTags") == "SERVICE":
            task.tags = list(service.tags)
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
        task.interface = network.attach(task, network_configuration)
        self.tasks[task.task_arn] = task
        if service:
            service.tasks[task.id] = task
        announce.task(self.world, task)
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
        primary = service.primary
        primary.consecutive += 1
        if primary.state is State.IN_PROGRESS:
            primary.failed += 1
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (primary.consecutive - 1))
        primary.hold_until = time.monotonic() + pause
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
        service = task.service
        if service is None or _health(task) is not Health.HEALTHY:
            return
        for deployment in service.deployments:
            if deployment.id == task.deployment:
                breaker = breaker_of(service.configuration)
                deployment.consecutive = 0
                deployment.failed = deployment.failed if breaker and not breaker.reset_on_healthy else 0

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


def _close(deployment: Deployment, outcome: str, reason: str | None, now: object) -> None:
    deployment.outcome, deployment.outcome_reason = outcome, reason
    deployment.finished = deployment.updated = now  # type: ignore[assignment]


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
