"""CloudWatch Logs as readers need it: FilterLogEvents by stream prefix and by ARN, merged in order of time."""

from __future__ import annotations

import json
from typing import Any

from moto.logs.models import logs_backends

from controller.local.call import Answer, Call
from controller.local.world import World


def install(world: World) -> None:
    """Register the operations."""
    world.handle("logs", "FilterLogEvents", filter_log_events)


def filter_log_events(call: Call) -> Answer | dict[str, Any]:
    """Choose the streams here, let moto filter.

    moto ignores `logStreamNamePrefix` and `logGroupIdentifier`, and lists stream after stream where AWS merges them
    by time (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html).
    """
    params = dict(call.params)
    name = params.pop("logGroupIdentifier", None)
    if name is not None:
        params["logGroupName"] = name.split(":log-group:")[-1].removesuffix(":*")
    prefix = params.pop("logStreamNamePrefix", None)
    group = logs_backends[call.account][call.region].groups.get(params.get("logGroupName"))
    if prefix is not None and group is not None:
        params["logStreamNames"] = [stream for stream in group.streams if stream.startswith(prefix)]
        if not params["logStreamNames"]:
            return {"events": [], "searchedLogStreams": []}
    call.body = json.dumps(params | {"interleaved": True}).encode()
    return call.forward()
