"""The resources that a task definition refers to: secrets, the log group, roles.

They are looked up in moto; call under the emulator's lock. Secrets are read when the task starts, as ECS does, and are
passed only to the container's environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

from embedded_aws.tasks.state import EcsTask
from embedded_aws.weather import Weather

NOT_ASSUMABLE_MESSAGE = (
    "ECS was unable to assume the role '{}' that was provided for this task. Please verify that the role being passed"
    " has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
)


class ReferenceMissingError(Exception):
    """A resource that a task refers to doesn't exist, so the task can't start. The message is ECS's stoppedReason."""


def read_secret(task: EcsTask, value_from: str) -> str:
    """Return the value behind a container definition's `valueFrom` (Amazon ECS developer guide, "secrets").

    `value_from` is the ARN or name of an SSM parameter, or a Secrets Manager ARN, optionally followed by
    `:json-key:version-stage:version-id`. Raises ReferenceMissingError.
    """
    try:
        if ":secretsmanager:" in value_from:
            return _read_secrets_manager(value_from)
        parts = value_from.split(":")
        region = parts[3] if len(parts) > 5 else task.region
        parameter = ssm_backends[task.account][region].get_parameter(value_from)
        return str(parameter.response_object(decrypt=True)["Value"])
    except Exception as error:
        raise ReferenceMissingError(
            f"ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve {value_from}"
        ) from error


def _read_secrets_manager(value_from: str) -> str:
    parts = value_from.split(":")
    arn, (key, stage, version, *_) = ":".join(parts[:7]), (*parts[7:], "", "", "")
    secret = secretsmanager_backends[parts[4]][parts[3]].get_secret_value(arn, version or None, stage or None)
    return str(json.loads(secret["SecretString"])[key]) if key else str(secret["SecretString"])


def has_log_group(task: EcsTask, options: Mapping[str, str]) -> bool:
    """Return whether the awslogs driver's log group exists."""
    return options["awslogs-group"] in logs_backends[task.account][options.get("awslogs-region", task.region)].groups


def require_log_group(task: EcsTask, options: Mapping[str, str]) -> None:
    """Create the log group if `awslogs-create-group` is set. Raises ReferenceMissingError when there is none."""
    if has_log_group(task, options):
        return
    if options.get("awslogs-create-group") != "true":
        raise ReferenceMissingError(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
            "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not "
            f"exist: {options['awslogs-group']}"
        )
    region = options.get("awslogs-region", task.region)
    logs_backends[task.account][region].create_log_group(options["awslogs-group"], {})


def require_roles(task: EcsTask) -> None:
    """Raise ReferenceMissingError when a role of the task definition doesn't exist or doesn't trust ECS tasks."""
    for name in ("execution_role_arn", "task_role_arn"):
        arn = getattr(task.definition, name, None)
        if arn and not is_assumable(arn, task.account):
            raise ReferenceMissingError(NOT_ASSUMABLE_MESSAGE.format(arn))


def is_assumable(arn: str, account: str) -> bool:
    """Return whether the role exists and its trust policy lets ecs-tasks.amazonaws.com assume it."""
    role = _find_role(arn, account)
    if role is None:
        return False
    statements: Any = json.loads(role.assume_role_policy_document)["Statement"]
    return any(_trusts_ecs_tasks(entry) for entry in (statements if isinstance(statements, list) else [statements]))


def is_role_propagating(weather: Weather, arn: str, account: str, share: float = 1.0) -> bool:
    """Return whether IAM still propagates the role (`share` as in `Weather.is_role_propagating`)."""
    role = _find_role(arn, account)
    return role is not None and weather.is_role_propagating(role.create_date, share)


def _find_role(arn: str, account: str) -> Any:
    name = arn.rsplit("/", 1)[-1]
    role = next((role for role in iam_backends[account]["aws"].get_roles() if role.name == name), None)
    return role if role is not None and role.arn == arn else None


def _trusts_ecs_tasks(statement: Mapping[str, Any]) -> bool:
    principal: Any = statement.get("Principal", {})
    services = principal.get("Service", []) if isinstance(principal, dict) else []
    actions = statement.get("Action", [])
    return (
        statement.get("Effect") == "Allow"
        and "ecs-tasks.amazonaws.com" in ([services] if isinstance(services, str) else services)
        and "sts:AssumeRole" in ([actions] if isinstance(actions, str) else actions)
    )
