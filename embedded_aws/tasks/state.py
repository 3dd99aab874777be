"""The state of the embedded ECS: services, their deployments and revisions, tasks. Data, and names in AWS's form.

Changed only under the emulator's lock. Rules are in `rollout.py`, AWS's output shapes in `describe.py`.
"""

from __future__ import annotations

import secrets
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from embedded_aws.tasks.rollout import RolloutState

# A service keeps its last 100 events (API reference, Service).
MAX_EVENTS = 100
# These states may still carry traffic: ECS takes a task out of service while it is DEACTIVATING (Amazon ECS developer
# guide, "Task lifecycle").
IN_SERVICE_STATUSES = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING")


def generate_number() -> str:
    """Return an id in the form of ECS's deployments and revisions: 19 digits."""
    return str(10**18 + secrets.randbelow(9 * 10**18))


@dataclass
class ServiceRevision:
    """A service revision: the immutable configuration of its tasks."""

    arn: str
    created: datetime
    task_definition: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class EcsDeployment:
    """One entry of a service's `deployments`, with the service deployment behind it."""

    id: str
    arn: str
    revision: ServiceRevision
    created: datetime
    updated: datetime
    source: ServiceRevision | None = None
    status: str = "PRIMARY"
    rollout_state: RolloutState = RolloutState.IN_PROGRESS
    reason: str = ""
    failed_tasks: int = 0
    consecutive_failures: int = 0
    completed: bool = False
    desired_count: int = 0
    outcome: str = "IN_PROGRESS"
    outcome_reason: str | None = None
    finished: datetime | None = None
    rollback: dict[str, Any] | None = None
    throttled_until: float = 0.0


@dataclass
class TaskContainer:
    """One container of a task."""

    name: str
    image: str
    definition: dict[str, Any]
    essential: bool = True
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "PENDING"
    digest: str | None = None
    health: str = "UNKNOWN"
    exit_code: int | None = None
    reason: str | None = None


@dataclass
class EcsTask:
    """One task. `address` is its own loopback address, unique among running tasks."""

    id: str
    cluster: str
    region: str
    account: str
    definition: Any
    group: str
    started_by: str
    created: datetime
    containers: list[TaskContainer]
    settings: dict[str, Any] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    service: EcsService | None = None
    deployment: str = ""
    status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    address: str = ""
    interface: Any = None
    times: dict[str, datetime] = field(default_factory=dict)
    stop_code: str | None = None
    stopped_reason: str | None = None
    warmed_up: bool = False
    failure_counted: bool = False
    version: int = 1

    @property
    def task_arn(self) -> str:
        """The ARN, under the attribute name that moto's tagging reads."""
        return f"arn:aws:ecs:{self.region}:{self.account}:task/{self.cluster}/{self.id}"

    @property
    def health(self) -> str:
        """HEALTHY when all essential containers are, otherwise the worst of their statuses (API reference, Task)."""
        statuses = {container.health for container in self.containers if container.essential}
        return next((health for health in ("UNHEALTHY", "UNKNOWN") if health in statuses), "HEALTHY")

    @property
    def has_health_check(self) -> bool:
        """Whether an essential container has a health check."""
        return any(c.essential and c.definition.get("healthCheck") for c in self.containers)


@dataclass
class EcsService:
    """One service. `settings` has the API's input that is returned unchanged, under the API's own names."""

    name: str
    cluster: str
    region: str
    account: str
    created: datetime
    desired_count: int
    settings: dict[str, Any] = field(default_factory=dict)
    deployment_configuration: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    status: str = "ACTIVE"
    deployments: list[EcsDeployment] = field(default_factory=list)
    deployment_history: list[EcsDeployment] = field(default_factory=list)
    tasks: dict[str, EcsTask] = field(default_factory=dict)
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))
    steady: bool = False
    blocked: bool = False

    @property
    def arn(self) -> str:
        """The ARN, in the long form."""
        return f"arn:aws:ecs:{self.region}:{self.account}:service/{self.cluster}/{self.name}"

    # moto's tagging reads this attribute.
    physical_resource_id = arn

    @property
    def cluster_arn(self) -> str:
        """The cluster's ARN."""
        return f"arn:aws:ecs:{self.region}:{self.account}:cluster/{self.cluster}"

    @property
    def primary(self) -> EcsDeployment:
        """The deployment that is being rolled out, or was rolled out last."""
        return next(deployment for deployment in self.deployments if deployment.status == "PRIMARY")

    def child_arn(self, kind: str, number: str) -> str:
        """Return the ARN of a `service-deployment` or `service-revision`."""
        return f"arn:aws:ecs:{self.region}:{self.account}:{kind}/{self.cluster}/{self.name}/{number}"
