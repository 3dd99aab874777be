"""CloudWatch Logs: FilterLogEvents by stream prefix and by ARN, merged by time; and the allowed retention periods."""

from __future__ import annotations

import json
from typing import Any

from moto.logs.models import logs_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.emulator import Emulator

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_ALLOWED_RETENTION_DAYS = frozenset(
    {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)


def install(emulator: Emulator) -> None:
    """Register the handlers."""
    emulator.register_handler("logs", "FilterLogEvents", filter_log_events)
    emulator.register_handler("logs", "PutRetentionPolicy", put_retention_policy)


def filter_log_events(call: ApiCall) -> ApiResponse | dict[str, Any]:
    """Select the streams here, and let moto filter their events.

    moto ignores `logStreamNamePrefix` and `logGroupIdentifier`. It also lists stream after stream where AWS merges them
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
    return call.forward_to_moto()


def put_retention_policy(call: ApiCall) -> ApiResponse:
    """Refuse a retention that is not one of the allowed numbers of days."""
    days = call.params["retentionInDays"]
    if days not in _ALLOWED_RETENTION_DAYS:
        raise ApiError(
            "InvalidParameterException",
            f"Invalid retention value {days}. Valid values are: {sorted(_ALLOWED_RETENTION_DAYS)}",
        )
    return call.forward_to_moto()
