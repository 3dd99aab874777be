"""Tasks: list, describe, stop, and run without a service.

Sources: ECS API reference, ListTasks, DescribeTasks, StopTask, RunTask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded_aws.api_call import ApiCall, ApiError
from embedded_aws.emulator import Emulator
from embedded_aws.strict.ecs import lookup, network_configuration
from embedded_aws.strict.ecs.lookup import client_exception, invalid_parameter
from embedded_aws.tasks.describe import describe_task
from embedded_aws.tasks.scheduler import ServiceScheduler
from embedded_aws.tasks.state import EcsTask


def install(emulator: Emulator, scheduler: ServiceScheduler) -> None:
    """Register the handlers of the task operations."""
    api = TaskHandlers(scheduler)
    emulator.register_handler("ecs", "ListTasks", api.list)
    emulator.register_handler("ecs", "DescribeTasks", api.describe)
    emulator.register_handler("ecs", "StopTask", api.stop)
    emulator.register_handler("ecs", "RunTask", api.run)
    emulator.on_reset(api.tokens.clear)


class TaskHandlers:
    """The handlers. `tokens` is RunTask's client token → its request and the tasks that it started."""

    def __init__(self, scheduler: ServiceScheduler) -> None:
        self._scheduler = scheduler
        self.tokens: dict[str, tuple[dict[str, Any], list[EcsTask]]] = {}

    def list(self, call: ApiCall) -> Mapping[str, Any]:
        """List task ARNs: by default those that should run, with desiredStatus STOPPED those of the last hour."""
        params, cluster = call.params, lookup.get_cluster_name(call)
        expected = {
            "region": call.region,
            "cluster": cluster,
            "desired_status": params.get("desiredStatus", "RUNNING"),
        }
        if "startedBy" in params:
            expected["started_by"] = params["startedBy"]
        if "serviceName" in params:
            service = lookup.build_service_arn(call, cluster, params["serviceName"])
            if service not in self._scheduler.services:
                raise ApiError("ServiceNotFoundException", "Service not found.")
            expected["group"] = f"service:{service.rsplit('/', 1)[-1]}"
        arns = [
            task.task_arn
            for task in self._scheduler.tasks.values()
            if all(getattr(task, name) == value for name, value in expected.items())
            and params.get("family") in {None, task.definition.family}
        ]
        return lookup.list_page(call, "taskArns", arns)

    def describe(self, call: ApiCall) -> Mapping[str, Any]:
        """Describe up to a hundred tasks, by id or ARN."""
        cluster, tags = lookup.get_cluster_name(call), "TAGS" in call.params.get("include", [])
        references = call.params["tasks"]
        if not 1 <= len(references) <= 100:
            raise invalid_parameter("Tasks cannot be empty, and are at most 100.")
        found: dict[str, list[Any]] = {"tasks": [], "failures": []}
        for reference in references:
            arn = _build_task_arn(call, cluster, reference)
            if task := self._scheduler.tasks.get(arn):
                found["tasks"].append(describe_task(task, tags=tags))
            else:
                found["failures"].append(lookup.build_failure(arn))
        return found

    def stop(self, call: ApiCall) -> Mapping[str, Any]:
        """Stop a task. Its service starts another one."""
        task = self._scheduler.tasks.get(_build_task_arn(call, lookup.get_cluster_name(call), call.params["task"]))
        if task is None:
            raise invalid_parameter("The referenced task was not found.")
        self._scheduler.stop(task, "UserInitiated", call.params.get("reason") or "Task stopped by user")
        shown = describe_task(task)
        if task.service:
            self._scheduler.schedule(task.service)
        return {"task": shown}

    def run(self, call: ApiCall) -> Mapping[str, Any]:
        """Run tasks that belong to no service. Raises ConflictException for a used token with other parameters."""
        params, cluster = call.params, lookup.get_cluster_name(call)
        token = params.get("clientToken")
        if token in self.tokens:
            request, tasks = self.tokens[token]
            if request != params:
                raise ApiError("ConflictException", "The clientToken was used with other parameters.")
            return {"tasks": [describe_task(task, tags=True) for task in tasks], "failures": []}
        if params.get("overrides", {}).get("containerOverrides"):
            raise ApiError("UnsupportedFeatureException", "The embedded AWS runs tasks without container overrides")
        definition = lookup.get_task_definition(call, params["taskDefinition"])
        if definition.status != "ACTIVE":
            raise client_exception("TaskDefinition is inactive")
        network = network_configuration.check_network_configuration(call, params.get("networkConfiguration"))
        tasks = [
            self._scheduler.launch(
                cluster=cluster,
                region=call.region,
                definition=definition,
                network_configuration=network,
                group=params.get("group") or f"family:{definition.family}",
                started_by=params.get("startedBy") or "",
            )
            for _ in range(params.get("count") or 1)
        ]
        for task in tasks:
            task.tags = [*(params.get("tags") or [])]
        if token:
            self.tokens[token] = (params, tasks)
        return {"tasks": [describe_task(task, tags=True) for task in tasks], "failures": []}


def _build_task_arn(call: ApiCall, cluster: str, reference: str) -> str:
    task_id = reference.rsplit("/", 1)[-1]
    return f"arn:aws:ecs:{call.region}:{call.account}:task/{cluster}/{task_id}"
