"""AWS's request rates. Enforced on demand, by `PUT /_moorage/rates {"enforced": true}`; off by default.

Each Region and category has a token bucket: its size is the number of calls at once, its refill the calls per second. A
call that finds its bucket empty is throttled and does nothing. `GET /_moorage/rates` also reports how many calls each
category rejected.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from embedded_aws.api_call import ApiCall


@dataclass(frozen=True)
class RateCategory:
    """Calls that share a bucket. `calls` are names as faults spell them, with shell wildcards."""

    name: str
    calls: tuple[str, ...]
    burst: float
    refill_per_second: float


# A call that two categories match takes from both buckets: VPC links also count as management calls of API Gateway.
# ECS: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
# API Gateway: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
# ECR: https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
CATEGORIES = (
    RateCategory("ecs cluster modify", ("ecs.CreateCluster", "ecs.UpdateCluster*", "ecs.DeleteCluster"), 20, 1),
    RateCategory("ecs service modify", ("ecs.CreateService", "ecs.UpdateService", "ecs.DeleteService"), 50, 5),
    RateCategory("ecs service read", ("ecs.DescribeServices", "ecs.ListServices", "ecs.*ServiceDeployments"), 100, 20),
    RateCategory("ecs task definition modify", ("ecs.RegisterTaskDefinition", "ecs.DeregisterTaskDefinition"), 20, 1),
    RateCategory("ecs task definition read", ("ecs.DescribeTaskDefinition", "ecs.ListTaskDefinition*"), 50, 20),
    RateCategory("ecs task definition delete", ("ecs.DeleteTaskDefinitions",), 5, 1),
    RateCategory("ecs run task", ("ecs.RunTask", "ecs.StartTask", "ecs.StopTask"), 100, 40),
    RateCategory("ecs task read", ("ecs.DescribeTasks", "ecs.ListTasks"), 100, 20),
    RateCategory("api gateway management", ("apigateway.*", "apigatewayv2.*"), 40, 10),
    RateCategory("create vpc link", ("apigateway.CreateVpcLink", "apigatewayv2.CreateVpcLink"), 1, 1 / 15),
    RateCategory("delete vpc link", ("apigateway.DeleteVpcLink", "apigatewayv2.DeleteVpcLink"), 1, 1 / 30),
    RateCategory("ecr put image", ("ecr.PutImage",), 10, 10),
)


class RequestRates:
    """The token buckets of one account. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.enforced = False
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}
        self._rejections: Counter[str] = Counter()

    def enforce(self, on: bool) -> None:
        """Switch enforcement on or off. Fill every bucket and clear the counters."""
        with self._lock:
            self.enforced = on
            self._buckets.clear()
            self._rejections.clear()

    def try_acquire(self, call: ApiCall) -> bool:
        """Take a token from each of the call's buckets. Return False, and take none, when one of them is empty."""
        if not self.enforced:
            return True
        with self._lock:
            now = self._clock()
            categories = [category for category in CATEGORIES if _covers(category, call.name)]
            levels = {category: self._available_tokens(category, call.region, now) for category in categories}
            empty = [category.name for category, level in levels.items() if level < 1]
            self._rejections.update(empty)
            for category, level in levels.items():
                self._buckets[category.name, call.region] = (level if empty else level - 1, now)
            return not empty

    def report(self) -> dict[str, Any]:
        """Return whether rates are enforced, and how many calls each category rejected."""
        with self._lock:
            return {"enforced": self.enforced, "refused": dict(sorted(self._rejections.items()))}

    def _available_tokens(self, category: RateCategory, region: str, now: float) -> float:
        level, since = self._buckets.get((category.name, region), (category.burst, now))
        return min(category.burst, level + (now - since) * category.refill_per_second)


def _covers(category: RateCategory, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in category.calls)
