"""The sections `image`, `service`, `api` and `policy` of a ModelService: how the version runs and is reached."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic.alias_generators import to_camel

from controller.spec.findings import Finding, finding_error, raise_findings
from controller.spec.strict import Items, StrictModel, VariableName, find_duplicates
from controller.spec.units import FARGATE_MEMORY, Cpu, Duration, Memory, Money, format_cpu, format_memory

Retention = Literal["Delete", "Retain"]
_SECONDS_PER_DAY = 86400


class Signing(StrictModel):
    """Images are signed when they are made, and what isn't signed by this key isn't deployed."""

    key: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$")]
    """ARN of an asymmetric KMS key for signing, ECC_NIST_P256."""


class Encryption(StrictModel):
    """The repository of the model's images is encrypted by a key of one's own. Another key is another repository."""

    key: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$")]
    """ARN of a symmetric KMS key in the Environment's region."""


class Image(StrictModel):
    """What the model is put on."""

    base: Annotated[str, Field(pattern=r"^[^\s@]+(:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})$")] | None = None
    """Image in ECR, by digest, or by a tag that is resolved once: Python 3.11, or built from the Dockerfile.

    Left out: the public Python image.
    """
    architecture: Literal["amd64", "arm64"] = "amd64"
    """CPU architecture of image and tasks."""
    max_severity: Literal["low", "medium", "high", "critical"] | None = None
    """A finding of ECR's scan at or above this stops the rollout; left out: none does."""
    signing: Signing | None = None
    """Who signs images; left out: nobody."""
    encryption: Encryption | None = None
    """What encrypts images where they are kept; left out: ECR's own AES-256."""

    @property
    def needs_clearance(self) -> bool:
        """Whether an image is held against anything before it is deployed."""
        return self.max_severity is not None or self.signing is not None


class Secret(StrictModel):
    """A secret that ECS puts into the container's environment. Only its address is written here."""

    name: VariableName
    """Environment variable."""
    value_from: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:(ssm|secretsmanager):[a-z0-9-]+:[0-9]{12}:.+$")]
    """ARN of an SSM parameter or a Secrets Manager secret."""


class Health(StrictModel):
    """The container health check, which asks for liveness."""

    interval: Duration = 30
    """Time between checks, 5 s to 300 s."""
    timeout: Duration = 5
    """How long an answer may take, 2 s to 60 s."""
    retries: Annotated[int, Field(ge=1, le=10)] = 3
    """Failures in a row that make a task unhealthy."""
    start_period: Duration = 30
    """How long failures don't count after the start, up to 300 s."""

    @model_validator(mode="after")
    def _check_ranges(self) -> Health:
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
        ranges = {
            "interval": (self.interval, 5, 300),
            "timeout": (self.timeout, 2, 60),
            "startPeriod": (self.start_period, 0, 300),
        }
        raise_findings(
            Finding(f"{name} is {seconds} s; ECS takes {low} s to {high} s", path=(name,))
            for name, (seconds, low, high) in ranges.items()
            if not low <= seconds <= high
        )
        return self


# What of a service its task definition says.
TASK_DEFINITION_FIELDS = frozenset({"cpu", "memory", "env", "secrets", "health", "stop_timeout"})


def _check_revision(named: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,255}:[1-9][0-9]{0,9}", named) is None:
        hint = "write FAMILY:REVISION, like churn:7"
        raise finding_error(f"service.taskDefinition '{named}' names no revision of a task definition", hint)
    return named


class Service(StrictModel):
    """How the model runs: an ECS service on Fargate."""

    cpu: Cpu = 256
    """Size of a task: `0.25 vCPU`, or CPU units like `256`."""
    memory: Memory = 1024
    """Memory of a task: `1 GB`, `1Gi`, `512Mi`, or MiB like `2048`; Fargate's GB are 1,024 MiB."""
    desired_count: Annotated[int, Field(ge=0, le=5000)] = 1
    """How many tasks run; 0 keeps everything but the tasks.

    Left out, one to begin with, then as many as an autoscaler sets.
    """
    env: Mapping[VariableName, str] = {}
    """Environment variables of the server."""
    secrets: Items[Secret] = ()
    """Environment variables whose values ECS fetches."""
    health: Health = Health()
    """The container health check."""
    stop_timeout: Duration = 30
    """How long a task may drain before it is killed, up to 120 s."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")] | None = None
    """Name of the ECS service; left out: one that derives from the document's. An existing one needs `policy.adopt`."""
    discovery: Annotated[str, Field(pattern=r"^srv-[a-z0-9]+$")] | None = None
    """Id of the Cloud Map service that tasks are registered in; left out: one is made. It needs `policy.adopt`."""
    task_definition: Annotated[str, AfterValidator(_check_revision)] | None = None
    """Revision that is served as it is, like `churn:7`, whatever its image.

    Left out: one is made, of a model of this spec's own.
    """

    @model_serializer(mode="wrap")
    def _omit_task_definition_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the defaults of what a task definition says that is named: beside it they would contradict it."""
        reported: dict[str, Any] = handler(self)
        said = (
            {*TASK_DEFINITION_FIELDS, *map(to_camel, TASK_DEFINITION_FIELDS)}
            if self.task_definition is not None
            else set()
        )
        return {name: value for name, value in reported.items() if name not in said}

    @model_validator(mode="after")
    def _check_consistency(self) -> Service:
        raise_findings([*self._invalid_size(), *self._duplicate_variables(), *self._invalid_stop_timeout()])
        return self

    def _invalid_size(self) -> Iterator[Finding]:
        if self.memory not in (valid := FARGATE_MEMORY[self.cpu]):
            message = f"memory {format_memory(self.memory)} doesn't go with cpu {format_cpu(self.cpu)}"
            given = "memory" in self.model_fields_set
            hint = f"Fargate offers {_format_memories(valid)}" if given else f"add 'memory': {_format_memories(valid)}"
            yield Finding(message, hint, ("memory",) if given else ("cpu",))

    def _duplicate_variables(self) -> Iterator[Finding]:
        names = tuple(secret.name for secret in self.secrets)
        for index in sorted({*find_duplicates(names), *(i for i, name in enumerate(names) if name in self.env)}):
            where = "env and secrets" if names[index] in self.env else "secrets"
            yield Finding(f"'{names[index]}' is set twice in {where}", path=("secrets", index, "name"))

    def _invalid_stop_timeout(self) -> Iterator[Finding]:
        if not 2 <= self.stop_timeout <= 120:
            yield Finding(f"stopTimeout is {self.stop_timeout} s; Fargate takes 2 s to 120 s", path=("stopTimeout",))


def _format_memories(memories: tuple[int, ...]) -> str:
    if len(memories) <= 4:
        return ", ".join(map(format_memory, memories))
    lowest, highest, step = memories[0], memories[-1], memories[1] - memories[0]
    return f"{format_memory(lowest)} to {format_memory(highest)} in steps of {format_memory(step)}"


class Route(StrictModel):
    """One way in."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY"]
    """HTTP method."""
    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/{}+:-]*$", max_length=256)]
    """Path, as the server knows it."""


class Throttle(StrictModel):
    """Limits of the whole stage."""

    rate: Annotated[float, Field(gt=0)]
    """Requests per second in the long run."""
    burst: Annotated[int, Field(ge=1)]
    """Requests at once."""


class Cors(StrictModel):
    """What browsers on other origins may do."""

    allow_origins: Annotated[Items[str], Field(min_length=1)]
    """Origins, like `https://app.example.com`, or `*`."""
    allow_methods: Items[Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "*"]] = ("POST",)
    """HTTP methods."""
    allow_headers: Items[str] = ("content-type",)
    """Request headers."""
    allow_credentials: bool = False
    """Whether browsers send cookies along; then nothing above can be `*`."""
    expose_headers: Items[str] = ()
    """Headers of answers that scripts may read."""
    max_age: Duration = 0
    """How long browsers remember what they may do, at most 24h."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Cors:
        raise_findings(self._invalid_settings())
        return self

    def _invalid_settings(self) -> Iterator[Finding]:
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
        lists = {
            "allowOrigins": self.allow_origins,
            "allowMethods": self.allow_methods,
            "allowHeaders": self.allow_headers,
        }
        for name, allowed in lists.items():
            if self.allow_credentials and "*" in allowed:
                yield Finding(f"{name} can't be * where credentials are allowed", "name each of them", (name,))
        if self.max_age > _SECONDS_PER_DAY:
            yield Finding(f"maxAge is {self.max_age} s; API Gateway takes at most 24h", path=("maxAge",))


class Api(StrictModel):
    """How the world reaches the model. Without this section the model is reachable only inside the VPC."""

    type: Literal["http"] = "http"
    """An API Gateway HTTP API."""
    id: Annotated[str, Field(pattern=r"^[a-z0-9]{1,40}$")] | None = None
    """Id of an existing API, whose address stays as it is; left out: one is made. It needs `policy.adopt`."""
    stage: Annotated[str, Field(pattern=r"^(\$default|[A-Za-z0-9_-]{1,128})$")] = "$default"
    """`$default`: no prefix; a name: every path starts with it."""
    routes: Annotated[Items[Route], Field(min_length=1)] = (
        Route(method="POST", path="/predict"),
        Route(method="GET", path="/livez"),
    )
    """What is let in; everything else answers 404."""
    throttle: Throttle | None = None
    """Limits of the whole stage; left out: the account's."""
    cors: Cors | None = None
    """What browsers on other origins may do; left out: nothing."""

    @model_validator(mode="after")
    def _check_routes(self) -> Api:
        routes = tuple((route.method, route.path) for route in self.routes)
        raise_findings(
            Finding(f"route {' '.join(routes[i])} is listed twice", path=("routes", i)) for i in find_duplicates(routes)
        )
        return self


class Deletion(StrictModel):
    """What happens to each part when the document is removed."""

    service: Retention = "Delete"
    """Service, task definitions, image and API."""
    artifacts: Retention = "Retain"
    """Dataset and model objects in the bucket, also those that no rollback leads to any more."""
    registry: Retention = "Retain"
    """Model package group, its versions and training jobs, also those that no rollback leads to any more."""
    logs: Retention = "Retain"
    """Log group."""


class Policy(StrictModel):
    """How far the controller may go."""

    suspend: bool = False
    """Leave everything as it is; deletion included."""
    prune: bool = True
    """Delete what belonged to this document when it is removed."""
    adopt: bool = False
    """Take over what exists under this document's names, whoever it belonged to.

    False: refuse it, and name its owner.
    """
    drift_correction: bool = True
    """Put back what somebody changed by hand; false: only report it."""
    max_monthly_cost: Money | None = None
    """Apply nothing while the plan's estimate of a month is above this, like `40 USD`; what runs is left as it is."""
    expected_requests: Annotated[int, Field(ge=0, le=10**12)] = 1_000_000
    """Requests a month that costs are estimated for."""
    history: Annotated[int, Field(ge=1, le=100)] = 10
    """How many ready revisions can be rolled back to.

    What only older ones served is collected, as `deletion` allows.
    """
    deletion: Deletion = Deletion()
    """What happens to each part when the document is removed."""
