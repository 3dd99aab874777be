"""Task definitions: refused when Fargate would refuse them, stored with AWS's defaults. moto keeps them.

Sources: ECS API reference, RegisterTaskDefinition and ContainerDefinition; Amazon ECS developer guide, "Fargate task
definition differences" (cpu and memory pairs, network mode, execution role).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from moto.ecs.models import ecs_backends

from embedded_aws.api_call import ApiCall, ApiResponse
from embedded_aws.emulator import Emulator
from embedded_aws.strict.ecs import lookup
from embedded_aws.strict.ecs.lookup import client_exception
from embedded_aws.tasks.references import is_assumable, is_role_propagating
from embedded_aws.tasks.scheduler import ServiceScheduler

_GIB = 1024


def _gib_range(first: int, last: int, step: int = 1) -> frozenset[int]:
    return frozenset(n * _GIB for n in range(first, last + 1, step))


# cpu units → the MiB of memory that Fargate allows with them.
_FARGATE_MEMORY = {
    256: frozenset({512, 1024, 2048}),
    512: _gib_range(1, 4),
    1024: _gib_range(2, 8),
    2048: _gib_range(4, 16),
    4096: _gib_range(8, 30),
    8192: _gib_range(16, 60, 4),
    16384: _gib_range(32, 120, 8),
}
_FAMILY = re.compile(r"[A-Za-z0-9_-]{1,255}")
_IMAGE = re.compile(r"[a-z0-9][\w.:-]*(/[a-z0-9._-]+)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?")
_CPU = re.compile(r"(?P<number>\d*\.?\d+)\s*vcpu", re.IGNORECASE)
_MEMORY = re.compile(r"(?P<number>\d*\.?\d+)\s*gb", re.IGNORECASE)
_CONTAINER_DEFAULTS = {
    "cpu": 0,
    "portMappings": [],
    "essential": True,
    "environment": [],
    "mountPoints": [],
    "volumesFrom": [],
    "systemControls": [],
}
_API_NAMES = {"container_definitions": "containerDefinitions", "registered_at": "registeredAt"}
_HEALTH_DEFAULTS = {"interval": 30, "timeout": 5, "retries": 3}
_HEALTH_LIMITS = {"interval": (5, 300), "timeout": (2, 120), "retries": (1, 10), "startPeriod": (0, 300)}


def install(emulator: Emulator, _: ServiceScheduler) -> None:
    """Register the handlers that check what moto doesn't."""
    emulator.register_handler("ecs", "RegisterTaskDefinition", lambda call: _register_task_definition(call, emulator))
    emulator.register_handler("ecs", "DescribeTaskDefinition", _describe_task_definition)
    emulator.register_handler(
        "ecs", "DeregisterTaskDefinition", lambda call: _deregister_task_definition(call, emulator)
    )


def _register_task_definition(call: ApiCall, emulator: Emulator) -> Mapping[str, Any]:
    params = call.params
    _validate_task_definition(call, params, emulator)
    answer = call.call_moto()
    shown = answer["taskDefinition"]
    corrected = {
        "container_definitions": [_fill_defaults(entry) for entry in params["containerDefinitions"]],
        "cpu": str(_parse_units(params["cpu"], _CPU)) if "cpu" in params else None,
        "memory": str(_parse_units(params["memory"], _MEMORY)) if "memory" in params else None,
        "registered_at": emulator.now(),
    }
    stored = ecs_backends[call.account][call.region].task_definitions[shown["family"]][shown["revision"]]
    for name, value in corrected.items():
        if value is not None:
            setattr(stored, name, value)
            shown[_API_NAMES.get(name, name)] = value
    return {"taskDefinition": shown, "tags": params.get("tags") or []}


def _describe_task_definition(call: ApiCall) -> ApiResponse:
    """Describe a task definition. A family alone means its newest ACTIVE revision."""
    definition = lookup.get_task_definition(call, call.params["taskDefinition"])
    call.body = json.dumps(call.params | {"taskDefinition": definition.arn}).encode()
    return call.forward_to_moto()


def _deregister_task_definition(call: ApiCall, emulator: Emulator) -> ApiResponse:
    """Make a revision INACTIVE. Services that use it go on; new ones can't use it (API reference)."""
    if ":" not in call.params["taskDefinition"].rsplit("/", 1)[-1]:
        raise client_exception("Revision is missing.")
    definition = lookup.get_task_definition(call, call.params["taskDefinition"])
    definition.deregistered_at = emulator.now()
    return call.forward_to_moto()


def _validate_task_definition(call: ApiCall, params: Mapping[str, Any], emulator: Emulator) -> None:
    if not _FAMILY.fullmatch(params["family"]):
        raise client_exception("Family contains invalid characters.")
    containers = params["containerDefinitions"]
    if not 1 <= len(containers) <= 10:
        raise client_exception(f"A task definition has 1 to 10 containers, not {len(containers)}.")
    names = [entry.get("name") for entry in containers]
    if len(set(names)) != len(names):
        raise client_exception("Container names must be unique within a task definition.")
    if not any(entry.get("essential", True) for entry in containers):
        raise client_exception("A task definition must have at least one essential container.")
    for entry in containers:
        _validate_container(entry)
    if "FARGATE" in params.get("requiresCompatibilities", []):
        _validate_fargate(params)
    for name in ("executionRoleArn", "taskRoleArn"):
        # AWS checks PassRole here and the trust when a task starts. Such a task never runs either way. A role that is
        # too new is refused in the same way: https://github.com/bradford-hamilton/terraform-ecs-fargate/issues/8
        arn = params.get(name)
        if arn and (
            not is_assumable(arn, call.account) or is_role_propagating(emulator.weather, arn, call.account, 0.5)
        ):
            raise client_exception(f"Role is not valid: {name} {params[name]}")


def _validate_container(entry: Mapping[str, Any]) -> None:
    name = entry.get("name") or ""
    if not _FAMILY.fullmatch(name):
        raise client_exception("Container.name contains invalid characters.")
    if not _IMAGE.fullmatch(entry.get("image") or ""):
        raise client_exception("Container.image contains invalid characters.")
    for mapping in entry.get("portMappings", []):
        if mapping.get("hostPort", mapping.get("containerPort")) != mapping.get("containerPort"):
            raise client_exception(
                "When networkMode=awsvpc, the host ports and container ports in port mappings must match."
            )
    check = entry.get("healthCheck")
    if check is not None and not check.get("command"):
        raise client_exception("Container.healthCheck.command should not be null or empty.")
    for field, (least, most) in _HEALTH_LIMITS.items():
        if check and check.get(field) is not None and not least <= check[field] <= most:
            raise client_exception(f"Container.healthCheck.{field} must be between {least} and {most}.")
    if not 0 <= entry.get("stopTimeout", 0) <= 120:
        raise client_exception("Container.stopTimeout must be between 0 and 120 seconds on Fargate.")


def _validate_fargate(params: Mapping[str, Any]) -> None:
    if params.get("networkMode") != "awsvpc":
        raise client_exception("Fargate only supports network mode 'awsvpc'.")
    if not params.get("cpu") or not params.get("memory"):
        raise client_exception("Fargate requires that 'cpu' and 'memory' be defined at the task level.")
    cpu, memory = _parse_units(params["cpu"], _CPU), _parse_units(params["memory"], _MEMORY)
    if memory not in _FARGATE_MEMORY.get(cpu, ()):
        raise client_exception(
            f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. "
            "See the Amazon ECS documentation for the valid values."
        )
    for entry in params["containerDefinitions"]:
        _validate_fargate_container(entry, has_role=bool(params.get("executionRoleArn")))


def _validate_fargate_container(entry: Mapping[str, Any], *, has_role: bool) -> None:
    logging = entry.get("logConfiguration") or {}
    needs_role = "Fargate requires task definition to have execution role ARN to support"
    if ".dkr.ecr." in entry["image"] and not has_role:
        raise client_exception(f"{needs_role} ECR images.")
    if logging.get("logDriver") != "awslogs":
        return
    if not has_role:
        raise client_exception(f"{needs_role} log driver awslogs.")
    for wanted in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
        if wanted not in (logging.get("options") or {}):
            raise client_exception(f"Log driver awslogs requires options: {wanted}")


def _parse_units(text: str, human: re.Pattern[str]) -> int:
    """Parse cpu units or MiB: a number, or a number with a unit (`.5 vCPU`, `1 GB`); a vCPU or GB is 1,024."""
    if match := human.fullmatch(str(text).strip()):
        return round(float(match["number"]) * _GIB)
    if not str(text).strip().isdigit():
        raise client_exception(f"Invalid 'cpu' or 'memory' setting for task: {text!r}")
    return int(text)


def _fill_defaults(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Add the defaults that DescribeTaskDefinition shows for omitted settings."""
    filled: dict[str, Any] = {**_CONTAINER_DEFAULTS, **entry}
    filled["portMappings"] = [
        {"hostPort": mapping["containerPort"], "protocol": "tcp"} | mapping for mapping in filled["portMappings"]
    ]
    if filled.get("healthCheck"):
        filled["healthCheck"] = _HEALTH_DEFAULTS | filled["healthCheck"]
    return filled
