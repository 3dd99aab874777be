"""AWS's request rates, enforced when asked for: `PUT /_moorage/rates {"enforced": true}`. Off from the start.

A token bucket per Region and category: so many calls at once, so many more a second. A call that finds its bucket
empty is throttled and does nothing. `GET /_moorage/rates` also tells how many calls each category refused.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from embedded_aws.call import Call


@dataclass(frozen=True)
class Category:
    """Calls that share a bucket. `calls` are names as faults have them, with shell wildcards."""

    name: str
    calls: tuple[str, ...]
    burst: float
    refill: float


# Of two categories that match, a call takes from both: VPC links count for the whole account too.
# ECS: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
# API Gateway: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
# ECR: https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
CATEGORIES = (
    Category("ecs cluster modify", ("ecs.CreateCluster", "ecs.UpdateCluster*", "ecs.DeleteCluster"), 20, 1),
    Category("ecs service modify", ("ecs.CreateService", "ecs.UpdateService", "ecs.DeleteService"), 50, 5),
    Category("ecs service read", ("ecs.DescribeServices", "ecs.ListServices", "ecs.*ServiceDeployments"), 100, 20),
    Category("ecs task definition modify", ("ecs.RegisterTaskDefinition", "ecs.DeregisterTaskDefinition"), 20, 1),
    Category("ecs task definition read", ("ecs.DescribeTaskDefinition", "ecs.ListTaskDefinition*"), 50, 20),
    Category("ecs task definition delete", ("ecs.DeleteTaskDefinitions",), 5, 1),
    Category("ecs run task", ("ecs.RunTask", "ecs.StartTask", "ecs.StopTask"), 100, 40),
    Category("ecs task read", ("ecs.DescribeTasks", "ecs.ListTasks"), 100, 20),
    Category("api gateway management", ("apigateway.*", "apigatewayv2.*"), 40, 10),
    Category("create vpc link", ("apigateway.CreateVpcLink", "apigatewayv2.CreateVpcLink"), 1, 1 / 15),
    Category("delete vpc link", ("apigateway.DeleteVpcLink", "apigatewayv2.DeleteVpcLink"), 1, 1 / 30),
    Category("ecr put image", ("ecr.PutImage",), 10, 10),
)


class Rates:
    """The buckets of one account. Safe for many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.enforced = False
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: dict[tuple[str, str], tuple[float, float]] = {}
        self._refused: Counter[str] = Counter()

    def enforce(self, on: bool) -> None:
        """Switch enforcement; every bucket is full again and nothing was refused."""
        with self._lock:
            self.enforced = on
            self._levels.clear()
            self._refused.clear()

    def allows(self, call: Call) -> bool:
        """Take a token from each of the call's buckets; take none, and say no, when one of them is empty."""
        if not self.enforced:
            return True
        with self._lock:
            now = self._clock()
            categories = [category for category in CATEGORIES if _holds(category, call.name)]
            levels = {category: self._level(category, call.region, now) for category in categories}
            empty = [category.name for category, level in levels.items() if level < 1]
            self._refused.update(empty)
            for category, level in levels.items():
                self._levels[category.name, call.region] = (level if empty else level - 1, now)
            return not empty

    def report(self) -> dict[str, Any]:
        """Return whether rates are enforced, and how often each category refused."""
        with self._lock:
            return {"enforced": self.enforced, "refused": dict(sorted(self._refused.items()))}

    def _level(self, category: Category, region: str, now: float) -> float:
        level, since = self._levels.get((category.name, region), (category.burst, now))
        return min(category.burst, level + (now - since) * category.refill)


def _holds(category: Category, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in category.calls)
