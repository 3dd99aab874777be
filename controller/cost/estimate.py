"""What one ModelService will cost, from its spec and the price table: a training run, a month, and the same load elsewhere.

List prices without free tiers, discounts, taxes and data transfer to the internet. A line whose price isn't known says
so; it is no part of a sum, and no sum is told without saying that it lacks something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from controller.core.wanted import Wanted
from controller.cost.prices import Table
from controller.spec.models import ModelServiceSpec, Training
from controller.spec.units import show_cpu, show_duration, show_memory

# A month as AWS's own calculator counts it: 365 days of 24 h in twelve parts.
HOURS = Decimal(730)
# How long SageMaker would compute for one request; what Fargate costs doesn't depend on it.
REQUEST_SECONDS = Decimal("0.05")
_MILLION = Decimal(1_000_000)
# HTTP APIs: another price from here on. https://aws.amazon.com/api-gateway/pricing/
_FIRST_TIER = Decimal(300)
_UNITS, _MIB = Decimal(1024), Decimal(1024)
# The instance types for hosting that a small model fits, smallest first, with their memory in MiB.
# https://aws.amazon.com/sagemaker-ai/pricing/
_HOSTS = {"ml.t2.medium": 4096, "ml.m5.large": 8192}
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-memory
_SERVERLESS = (1024, 2048, 3072, 4096, 5120, 6144)
# What a task without an address of its own needs to start: image, layers by way of S3's free gateway, logs.
_ENDPOINTS = ("ecr.api", "ecr.dkr", "logs")


@dataclass(frozen=True)
class Line:
    """One thing that is charged. `usd` is None where no price is known; `read` is the date of its oldest price."""

    name: str
    detail: str
    usd: Decimal | None
    read: date | None = None


@dataclass(frozen=True)
class Estimate:
    """What one spec costs in USD.

    `training` is one run; `month` the lines of a month, which `total` adds up; `shared` what the environment needs once
    for all its models; `instead` a month of the same load on SageMaker endpoints. `requests` are a month's.
    """

    region: str
    requests: int
    training: Line
    month: tuple[Line, ...]
    shared: tuple[Line, ...]
    instead: tuple[Line, ...]
    limit: Decimal | None = None

    @property
    def total(self) -> Decimal:
        """A month of what has a known price."""
        return sum((line.usd for line in self.month if line.usd is not None), Decimal(0))

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The lines of the month that no price is known of."""
        return tuple(line.name for line in self.month if line.usd is None)

    @property
    def read(self) -> date | None:
        """The date of the oldest price in it."""
        lines = (self.training, *self.month, *self.shared, *self.instead)
        return min((line.read for line in lines if line.read is not None), default=None)

    @property
    def over(self) -> str:
        """Why `policy.maxMonthlyCost` holds the spec back; empty where it doesn't. What can't be summed up isn't let through."""
        if self.limit is None:
            return ""
        if self.total > self.limit:
            makes = ", ".join(f"{line.name} {usd(line.usd)}" for line in self.month if line.usd)
            told = f"a month is estimated at {usd(self.total)} USD, more than policy.maxMonthlyCost of {usd(self.limit)} USD"
            return f"{told}: {makes}"
        if self.unpriced:
            missing = f"no price of {' and '.join(self.unpriced)} is known in {self.region}"
            return f"{missing}: policy.maxMonthlyCost can't be checked"
        return ""


def usd(amount: Decimal | None) -> str:
    """An amount as people read it: whole cents, and no zero for what isn't free."""
    if amount is None:
        return "no price known"
    return "< 0.01" if 0 < amount < Decimal("0.005") else f"{amount:,.2f}"


def estimate(
    want: Wanted, table: Table, requests: int, *, limit: Decimal | None = None, trained_in: int | None = None
) -> Estimate:
    """What the spec costs under a load of so many requests a month.

    `trained_in`: for how many seconds its last training was billed. Raises ValueError for an Environment, and for what is
    served as it was found: its size is in no spec.
    """
    if want.trained is None:
        raise ValueError("only a model of its own is estimated")
    spec, book = want.trained.spec, _Book(table, want.place.region)
    return Estimate(
        want.place.region,
        requests,
        _training(want.trained.training, book, trained_in),
        tuple(_month(want, spec, book, requests)),
        tuple(_shared(want, book)),
        (_real_time(spec, book), _serverless(spec, book, requests)),
        limit,
    )


@dataclass(frozen=True)
class _Book:
    table: Table
    region: str

    def line(self, name: str, detail: str, amounts: Mapping[str, Decimal]) -> Line:
        """So much of each item. One unknown price leaves the whole line without."""
        found = [(self.table.find(item, self.region), amount) for item, amount in amounts.items() if amount]
        total, read = Decimal(0), []
        for price, amount in found:
            if price is None:
                return Line(name, detail, None)
            total += price.usd * amount
            read.append(price.date)
        return Line(name, detail, total, min(read, default=None))


def fargate(tasks: int, cpu: int, memory: int, architecture: str, hours: Decimal) -> dict[str, Decimal]:
    """vCPU-hours and GB-hours of some tasks. `cpu` in Fargate's units, `memory` in MiB; 20 GB of storage are included."""
    return {
        f"fargate/{architecture}/vcpu-hour": tasks * cpu / _UNITS * hours,
        f"fargate/{architecture}/gb-hour": tasks * memory / _MIB * hours,
    }


def http_requests(requests: int) -> dict[str, Decimal]:
    """A month's requests to an HTTP API, in millions by tier. Each is taken for one of at most 512 KB; VPC links are free."""
    millions = requests / _MILLION
    return {
        "apigateway/http-million": min(millions, _FIRST_TIER),
        "apigateway/http-million-above-300": max(millions - _FIRST_TIER, Decimal(0)),
    }


def _training(training: Training, book: _Book, trained_in: int | None) -> Line:
    if training.job is not None:
        return Line("training run", f"none: {training.job} is over", Decimal(0))
    seconds = training.stopping.max_runtime if trained_in is None else trained_in
    basis = "at most, the limit of stopping.maxRuntime" if trained_in is None else "as the last one was billed"
    spot = "; spot makes it up to 90% cheaper, at a price AWS doesn't publish" if training.spot.enabled else ""
    hours = seconds * training.instance.count / Decimal(3600)
    detail = f"{training.instance.type}, {show_duration(seconds)} {basis}{spot}"
    return book.line("training run", detail, {f"sagemaker/training/{training.instance.type}/hour": hours})


def _month(want: Wanted, spec: ModelServiceSpec, book: _Book, requests: int) -> Iterator[Line]:
    service, tasks = spec.service, spec.service.desired_count
    size = f"{show_cpu(service.cpu)} and {show_memory(service.memory)}, {spec.image.architecture}"
    detail = f"{tasks} {'task' if tasks == 1 else 'tasks'} of {size}"
    yield book.line("Fargate", detail, fargate(tasks, service.cpu, service.memory, spec.image.architecture, HOURS))
    if want.public_addresses:
        yield book.line("public IPv4", "one address a task", {"vpc/public-ipv4-hour": tasks * HOURS})
    if spec.api is not None:
        yield book.line("HTTP API", f"{requests:,} requests", http_requests(requests))


def _shared(want: Wanted, book: _Book) -> Iterator[Line]:
    yield book.line("hosted zone", "the Cloud Map namespace's", {"route53/hosted-zone-month": Decimal(1)})
    if not want.public_addresses:
        yield book.line("NAT gateway", "one, if the subnets need it", {"vpc/nat-gateway-hour": HOURS})
        names = ", ".join(_ENDPOINTS)
        yield book.line(
            "interface endpoints", f"or {names} in one zone", {"vpc/endpoint-hour": len(_ENDPOINTS) * HOURS}
        )


def _real_time(spec: ModelServiceSpec, book: _Book) -> Line:
    service, name = spec.service, "real-time endpoint"
    count = max(service.desired_count, 1)
    fitting = next((host for host, memory in _HOSTS.items() if memory >= service.memory), None)
    if fitting is None:
        return Line(name, f"{show_memory(service.memory)} fits none of {', '.join(_HOSTS)}", None)
    detail = f"{count} {fitting}, the smallest that fits"
    return book.line(name, detail, {f"sagemaker/hosting/{fitting}/hour": count * HOURS})


def _serverless(spec: ModelServiceSpec, book: _Book, requests: int) -> Line:
    memory, name = spec.service.memory, "serverless endpoint"
    size = next((size for size in _SERVERLESS if size >= memory), None)
    if size is None:
        return Line(name, f"{show_memory(memory)} is more than the 6 GB that SageMaker offers", None)
    detail = f"{show_memory(size)}, {requests:,} requests of {REQUEST_SECONDS * 1000:.0f} ms"
    return book.line(name, detail, {"sagemaker/serverless/gb-second": requests * REQUEST_SECONDS * size / _MIB})
