"""Rate budgets: token buckets for what AWS allows per account, region and category of calls.

Staying inside them is cheaper than being throttled, since the buckets are shared with everybody else in the account.
An operation that no published figure covers has no bucket here; AWS's own throttling answers are the only limit.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.errors import ThrottledError

# A longer wait is the caller's business: a pass never sleeps.
LONGEST_WAIT = 1.0

_ECS = "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html"
_API_GATEWAY = "https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"
_ECR = "https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html"


@dataclass(frozen=True)
class Budget:
    """A bucket of `burst` tokens that refills with `rate` tokens a second; `source` says where AWS publishes it."""

    name: str
    burst: float
    rate: float
    source: str


def _ecs(name: str, burst: float, rate: float, operations: str) -> dict[str, tuple[Budget, ...]]:
    budget = Budget(f"ECS {name}", burst, rate, _ECS)
    return {f"ecs.{operation}": (budget,) for operation in operations.split()}


# Every management call of API Gateway draws on one bucket for the whole account, a few on a second one of their own.
_GATEWAY_ALL = Budget("API Gateway management", 40, 10, _API_GATEWAY)
_GATEWAYS = ("apigateway", "apigatewayv2")


def _gateway(operation: str, seconds: float) -> dict[str, tuple[Budget, ...]]:
    own = Budget(f"API Gateway {operation.partition('.')[2]}", 1, 1 / seconds, _API_GATEWAY)
    return {operation: (_GATEWAY_ALL, own)}


def _ecr(operation: str, rate: float) -> dict[str, tuple[Budget, ...]]:
    return {f"ecr.{operation}": (Budget(f"ECR {operation}", rate, rate, _ECR),)}


_BUDGETS: dict[str, tuple[Budget, ...]] = {
    **_ecs("service modify", 50, 5, "create_service update_service delete_service"),
    **_ecs(
        "service read",
        100,
        20,
        "describe_services list_services list_services_by_namespace list_service_deployments"
        " describe_service_deployments describe_service_revisions",
    ),
    **_ecs("task definition modify", 20, 1, "register_task_definition deregister_task_definition"),
    **_ecs("task definition delete", 5, 1, "delete_task_definitions"),
    **_ecs(
        "task definition read", 50, 20, "describe_task_definition list_task_definitions list_task_definition_families"
    ),
    **_ecs(
        "cluster modify",
        20,
        1,
        "create_cluster update_cluster update_cluster_settings delete_cluster put_cluster_capacity_providers",
    ),
    **_ecs("task modify", 100, 40, "run_task start_task stop_task"),
    **_ecs("task read", 100, 20, "describe_tasks list_tasks"),
    **_gateway("apigatewayv2.create_vpc_link", 15),
    **_gateway("apigatewayv2.delete_vpc_link", 30),
    **_gateway("apigateway.create_rest_api", 3),
    **_gateway("apigateway.delete_rest_api", 30),
    **_ecr("put_image", 10),
    **_ecr("get_authorization_token", 500),
    **_ecr("batch_get_image", 2000),
}


def budgets_of(service: str, operation: str) -> tuple[Budget, ...]:
    """Give the budgets that a call of `service.operation` draws on, `()` where no figure is known."""
    known = _BUDGETS.get(f"{service}.{operation}")
    if known is not None:
        return known
    if service in _GATEWAYS:
        return (_GATEWAY_ALL,)
    if service == "sagemaker":
        # AWS publishes no figure; one call a second of each kind is what users report to be safe.
        return (Budget(f"SageMaker {operation}", 10, 1, "unpublished"),)
    return ()


def seconds_for(calls: Mapping[str, int]) -> float:
    """How many seconds AWS's rates take for so many calls of each `service.operation`: those of the tightest bucket."""
    drawn: Counter[Budget] = Counter()
    for name, count in calls.items():
        service, _, operation = name.partition(".")
        drawn.update(dict.fromkeys(budgets_of(service, operation), count))
    return max((count / budget.rate for budget, count in drawn.items()), default=0.0)


@dataclass
class _Bucket:
    tokens: float
    filled: float  # when `tokens` was right, on the injected clock


class Budgets:
    """All buckets of one process, and its way to wait. Thread-safe; `clock` is monotonic seconds, `sleep` takes seconds."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self.sleep = clock, sleep
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str, Budget], _Bucket] = {}

    def spend(self, account: str, region: str, service: str, operation: str) -> None:
        """Take one token from every bucket of the call, sleeping up to a second for it.

        Raises ThrottledError, with nothing taken and `retry_after` in seconds, when the wait would be longer.
        """
        budgets = budgets_of(service, operation)
        if not budgets:
            return
        with self._lock:
            buckets = [self._fill(account, region, budget) for budget in budgets]
            waits = [max(0.0, (1 - bucket.tokens) / b.rate) for bucket, b in zip(buckets, budgets, strict=True)]
            wait = max(waits)
            if wait > LONGEST_WAIT:
                slowest = budgets[waits.index(wait)]
                raise ThrottledError(
                    f"the budget for {slowest.name} calls is used up for {wait:.0f} s",
                    where=f"{service}.{operation}",
                    why=f"AWS allows {slowest.burst:g} at once and {slowest.rate:.3g} a second",
                    retry_after=wait,
                )
            for bucket in buckets:
                # May go below zero: whoever comes next waits behind those who already sleep.
                bucket.tokens -= 1
        if wait > 0:
            self.sleep(wait)

    def drain(self, account: str, region: str, service: str, operation: str) -> None:
        """Empty the call's buckets: AWS throttled it, so others in the account used what we thought was left."""
        with self._lock:
            for budget in budgets_of(service, operation):
                bucket = self._fill(account, region, budget)
                bucket.tokens = min(bucket.tokens, 0.0)

    def _fill(self, account: str, region: str, budget: Budget) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault((account, region, budget), _Bucket(budget.burst, now))
        bucket.tokens = min(budget.burst, bucket.tokens + (now - bucket.filled) * budget.rate)
        bucket.filled = now
        return bucket
