"""Tasks: listed, described, stopped, and run by themselves.

Sources: ECS API reference, ListTasks, DescribeTasks, StopTask, RunTask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded_aws.call import Call, Refused
from embedded_aws.strict.ecs import find, placement
from embedded_aws.strict.ecs.find import client_error, invalid
from embedded_aws.tasks.describe import task_of
from embedded_aws.tasks.fleet import Fleet
from embedded_aws.tasks.model import Task
from embedded_aws.world import World


def register(world: World, fleet: Fleet) -> None:
    """Take over the task operations."""
    api = Tasks(fleet)
    world.handle("ecs", "ListTasks", api.list)
    world.handle("ecs", "DescribeTasks", api.describe)
    world.handle("ecs", "StopTask", api.stop)
    world.handle("ecs", "RunTask", api.run)
    world.on_reset(api.tokens.clear)


class Tasks:
    """The handlers. `tokens` remembers RunTask's client tokens: the request, and the tasks it made."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.tokens: dict[str, tuple[dict[str, Any], list[Task]]] = {}

    def list(self, call: Call) -> Mapping[str, Any]:
        """List ARNs; without desiredStatus those that should run, STOPPED the ones stopped in the last hour."""
        params, cluster = call.params, find.cluster_name(call)
        wanted = {
            "region": call.region,
            "cluster": cluster,
            "desired": params.get("desiredStatus", "RUNNING"),
        }
        if "startedBy" in params:
            wanted["started_by"] = params["startedBy"]
        if "serviceName" in params:
            service = find.service_arn(call, cluster, params["serviceName"])
            if service not in self._fleet.services:
                raise Refused("ServiceNotFoundException", "Service not found.")
            wanted["group"] = f"service:{service.rsplit('/', 1)[-1]}"
        arns = [
            task.task_arn
            for task in self._fleet.tasks.values()
            if all(getattr(task, name) == value for name, value in wanted.items())
            and params.get("family") in {None, task.definition.family}
        ]
        return find.page(call, "taskArns", arns)

    def describe(self, call: Call) -> Mapping[str, Any]:
        """Describe up to a hundred, by id or ARN."""
        cluster, tags = find.cluster_name(call), "TAGS" in call.params.get("include", [])
        wanted = call.params["tasks"]
        if not 1 <= len(wanted) <= 100:
            raise invalid("Tasks cannot be empty, and are at most 100.")
        found: dict[str, list[Any]] = {"tasks": [], "failures": []}
        for reference in wanted:
            arn = _arn(call, cluster, reference)
            if task := self._fleet.tasks.get(arn):
                found["tasks"].append(task_of(task, tags=tags))
            else:
                found["failures"].append(find.missing(arn))
        return found

    def stop(self, call: Call) -> Mapping[str, Any]:
        """Stop one; its service starts another."""
        task = self._fleet.tasks.get(_arn(call, find.cluster_name(call), call.params["task"]))
        if task is None:
            raise invalid("The referenced task was not found.")
        self._fleet.stop(task, "UserInitiated", call.params.get("reason") or "Task stopped by user")
        shown = task_of(task)
        if task.service:
            self._fleet.settle(task.service)
        return {"task": shown}

    def run(self, call: Call) -> Mapping[str, Any]:
        """Run tasks that belong to no service. The same token with other parameters: ConflictException."""
        params, cluster = call.params, find.cluster_name(call)
        token = params.get("clientToken")
        if token in self.tokens:
            request, tasks = self.tokens[token]
            if request != params:
                raise Refused("ConflictException", "The clientToken was used with other parameters.")
            return {"tasks": [task_of(task, tags=True) for task in tasks], "failures": []}
        if params.get("overrides", {}).get("containerOverrides"):
            raise Refused("UnsupportedFeatureException", "The embedded AWS runs tasks without container overrides")
        definition = find.definition(call, params["taskDefinition"])
        if definition.status != "ACTIVE":
            raise client_error("TaskDefinition is inactive")
        network = placement.checked(call, params.get("networkConfiguration"))
        tasks = [
            self._fleet.launch(
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
        return {"tasks": [task_of(task, tags=True) for task in tasks], "failures": []}


def _arn(call: Call, cluster: str, reference: str) -> str:
    task_id = reference.rsplit("/", 1)[-1]
    return f"arn:aws:ecs:{call.region}:{call.account}:task/{cluster}/{task_id}"
