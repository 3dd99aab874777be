"""Client-side rate limits: token buckets for AWS's limits per account, Region and category of calls.

Staying within the limits is cheaper than being throttled, because the whole account shares them. An operation without a
published figure has no bucket here; only AWS's throttling limits it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.errors import ThrottledError

# A longer wait is left to the caller: a pass never sleeps.
MAX_WAIT_SECONDS = 1.0

_ECS = "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html"
_API_GATEWAY = "https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"
_ECR = "https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html"


@dataclass(frozen=True)
class RateLimit:
    """A bucket of `burst` tokens, refilled with `rate` tokens a second; `source` is AWS's page with the figure."""

    name: str
    burst: float
    rate: float
    source: str


def _ecs_limits(name: str, burst: float, rate: float, operations: str) -> dict[str, tuple[RateLimit, ...]]:
    limit = RateLimit(f"ECS {name}", burst, rate, _ECS)
    return {f"ecs.{operation}": (limit,) for operation in operations.split()}


# Every management call of API Gateway draws on one bucket for the whole account, a few on a second one of their own.
_API_GATEWAY_ACCOUNT = RateLimit("API Gateway management", 40, 10, _API_GATEWAY)
_API_GATEWAY_SERVICES = ("apigateway", "apigatewayv2")


def _api_gateway_limits(operation: str, seconds_per_call: float) -> dict[str, tuple[RateLimit, ...]]:
    own = RateLimit(f"API Gateway {operation.partition('.')[2]}", 1, 1 / seconds_per_call, _API_GATEWAY)
    return {operation: (_API_GATEWAY_ACCOUNT, own)}


def _ecr_limits(operation: str, rate: float) -> dict[str, tuple[RateLimit, ...]]:
    return {f"ecr.{operation}": (RateLimit(f"ECR {operation}", rate, rate, _ECR),)}


_RATE_LIMITS: dict[str, tuple[RateLimit, ...]] = {
    **_ecs_limits("service modify", 50, 5, "create_service update_service delete_service"),
    **_ecs_limits(
        "service read",
        100,
        20,
        "describe_services list_services list_services_by_namespace list_service_deployments"
        " describe_service_deployments describe_service_revisions",
    ),
    **_ecs_limits("task definition modify", 20, 1, "register_task_definition deregister_task_definition"),
    **_ecs_limits("task definition delete", 5, 1, "delete_task_definitions"),
    **_ecs_limits(
        "task definition read", 50, 20, "describe_task_definition list_task_definitions list_task_definition_families"
    ),
    **_ecs_limits(
        "cluster modify",
        20,
        1,
        "create_cluster update_cluster update_cluster_settings delete_cluster put_cluster_capacity_providers",
    ),
    **_ecs_limits("task modify", 100, 40, "run_task start_task stop_task"),
    **_ecs_limits("task read", 100, 20, "describe_tasks list_tasks"),
    **_api_gateway_limits("apigatewayv2.create_vpc_link", 15),
    **_api_gateway_limits("apigatewayv2.delete_vpc_link", 30),
    **_api_gateway_limits("apigateway.create_rest_api", 3),
    **_api_gateway_limits("apigateway.delete_rest_api", 30),
    **_ecr_limits("put_image", 10),
    **_ecr_limits("get_authorization_token", 500),
    **_ecr_limits("batch_get_image", 2000),
}


def rate_limits_for(service: str, operation: str) -> tuple[RateLimit, ...]:
    """Return the rate limits that a call of `service.operation` draws on; empty if no figure is known."""
    known = _RATE_LIMITS.get(f"{service}.{operation}")
    if known is not None:
        return known
    if service in _API_GATEWAY_SERVICES:
        return (_API_GATEWAY_ACCOUNT,)
    if service == "sagemaker":
        # AWS publishes no figure; users report one call a second of each kind as safe.
        return (RateLimit(f"SageMaker {operation}", 10, 1, "unpublished"),)
    return ()


def minimum_seconds(call_counts: Mapping[str, int]) -> float:
    """Return the seconds that AWS's rates take for the calls of each `service.operation`, by the tightest bucket."""
    drawn: Counter[RateLimit] = Counter()
    for name, count in call_counts.items():
        service, _, operation = name.partition(".")
        drawn.update(dict.fromkeys(rate_limits_for(service, operation), count))
    return max((count / limit.rate for limit, count in drawn.items()), default=0.0)


@dataclass
class _TokenBucket:
    tokens: float
    refilled_at: float  # when `tokens` was right, on the injected clock


class RateLimiter:
    """All buckets of one process. Thread-safe; `clock` returns monotonic seconds, `sleep` takes seconds."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self.sleep_for = clock, sleep
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str, RateLimit], _TokenBucket] = {}

    def take_token(self, account: str, region: str, service: str, operation: str) -> None:
        """Take one token from every bucket of the call, and sleep up to a second for it.

        If the wait is longer, takes nothing and raises ThrottledError with `retry_after` in seconds.
        """
        limits = rate_limits_for(service, operation)
        if not limits:
            return
        with self._lock:
            buckets = [self._refill(account, region, limit) for limit in limits]
            waits = [max(0.0, (1 - bucket.tokens) / b.rate) for bucket, b in zip(buckets, limits, strict=True)]
            wait = max(waits)
            if wait > MAX_WAIT_SECONDS:
                slowest = limits[waits.index(wait)]
                raise ThrottledError(
                    f"the limit for {slowest.name} calls is used up for {wait:.0f} s",
                    where=f"{service}.{operation}",
                    why=f"AWS allows {slowest.burst:g} at once and {slowest.rate:.3g} a second",
                    retry_after=wait,
                )
            for bucket in buckets:
                # The balance may be negative: a new caller waits behind those that already sleep.
                bucket.tokens -= 1
        if wait > 0:
            self.sleep_for(wait)

    def drain(self, account: str, region: str, service: str, operation: str) -> None:
        """Empty the call's buckets: AWS throttled it, so others in the account have used the rest."""
        with self._lock:
            for limit in rate_limits_for(service, operation):
                bucket = self._refill(account, region, limit)
                bucket.tokens = min(bucket.tokens, 0.0)

    def _refill(self, account: str, region: str, rate_limit: RateLimit) -> _TokenBucket:
        now = self._clock()
        bucket = self._buckets.setdefault((account, region, rate_limit), _TokenBucket(rate_limit.burst, now))
        bucket.tokens = min(rate_limit.burst, bucket.tokens + (now - bucket.refilled_at) * rate_limit.rate)
        bucket.refilled_at = now
        return bucket
