"""Tags of tasks and services; those of clusters and task definitions are moto's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded_aws.call import Answer, Call
from embedded_aws.strict.ecs.find import invalid
from embedded_aws.tasks.fleet import Fleet
from embedded_aws.tasks.model import Service, Task
from embedded_aws.world import World


def register(world: World, fleet: Fleet) -> None:
    """Take over the tag operations."""
    world.handle("ecs", "ListTagsForResource", lambda call: _list(call, fleet))
    world.handle("ecs", "TagResource", lambda call: _tag(call, fleet))
    world.handle("ecs", "UntagResource", lambda call: _untag(call, fleet))


def _find(call: Call, fleet: Fleet) -> Service | Task | None:
    """Return the service or task; None when the resource is of another kind."""
    arn = call.params["resourceArn"]
    found = fleet.services.get(arn) or fleet.tasks.get(arn)
    if found is None and (":service/" in arn or ":task/" in arn):
        raise invalid("The specified resource could not be found.")
    return found


def _list(call: Call, fleet: Fleet) -> Mapping[str, Any] | Answer:
    found = _find(call, fleet)
    return {"tags": found.tags} if found else call.forward()


def _tag(call: Call, fleet: Fleet) -> Mapping[str, Any] | Answer:
    found = _find(call, fleet)
    if found is None:
        return call.forward()
    merged = {tag["key"]: tag for tag in (*found.tags, *call.params["tags"])}
    found.tags = list(merged.values())
    return {}


def _untag(call: Call, fleet: Fleet) -> Mapping[str, Any] | Answer:
    found = _find(call, fleet)
    if found is None:
        return call.forward()
    found.tags = [tag for tag in found.tags if tag["key"] not in call.params["tagKeys"]]
    return {}
