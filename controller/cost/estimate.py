"""Estimate what one ModelService costs from its spec and the price table: a training run, a month, and alternatives.

These are list prices without free tiers, discounts, taxes and data transfer to the internet. A line without a known
price says so and is in no sum, and every sum says if it lacks a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from controller.core.spec_context import SpecContext
from controller.cost.prices import PriceTable
from controller.spec.models import ModelServiceSpec, Training
from controller.spec.units import format_cpu, format_duration, format_memory

# A month as in AWS's own calculator: a twelfth of 365 days of 24 h.
HOURS_PER_MONTH = Decimal(730)
# The time that SageMaker would compute for one request; Fargate's cost doesn't depend on it.
SECONDS_PER_REQUEST = Decimal("0.05")
_MILLION = Decimal(1_000_000)
# HTTP APIs: another price from here on. https://aws.amazon.com/api-gateway/pricing/
_FIRST_TIER_MILLIONS = Decimal(300)
_CPU_UNITS_PER_VCPU, _MIB_PER_GB = Decimal(1024), Decimal(1024)
# The instance types for hosting that a small model fits, smallest first, with their memory in MiB.
# https://aws.amazon.com/sagemaker-ai/pricing/
_HOSTING_MEMORY = {"ml.t2.medium": 4096, "ml.m5.large": 8192}
# https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html#serverless-endpoints-how-it-works-memory
_SERVERLESS_MEMORY = (1024, 2048, 3072, 4096, 5120, 6144)
# The endpoints that a task without a public address needs to start: image, layers through S3's free gateway, logs.
_INTERFACE_ENDPOINTS = ("ecr.api", "ecr.dkr", "logs")


@dataclass(frozen=True)
class EstimateLine:
    """One charged item. `usd` is None if no price is known; `read` is the date of its oldest price."""

    name: str
    detail: str
    usd: Decimal | None
    price_date: date | None = None


@dataclass(frozen=True)
class CostEstimate:
    """The cost of one spec in USD.

    `training` is one run. `month` has the lines of a month, which `total` adds up. `shared` is what the environment
    needs once for all its models. `instead` is a month of the same load on SageMaker endpoints. `requests` are those of
    a month.
    """

    region: str
    monthly_requests: int
    training: EstimateLine
    month: tuple[EstimateLine, ...]
    shared: tuple[EstimateLine, ...]
    alternatives: tuple[EstimateLine, ...]
    limit: Decimal | None = None

    @property
    def total(self) -> Decimal:
        """The monthly cost of the lines with a known price."""
        return sum((line.usd for line in self.month if line.usd is not None), Decimal(0))

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The lines of the month without a known price."""
        return tuple(line.name for line in self.month if line.usd is None)

    @property
    def oldest_price_date(self) -> date | None:
        """The date of the oldest price in the estimate."""
        lines = (self.training, *self.month, *self.shared, *self.alternatives)
        return min((line.price_date for line in lines if line.price_date is not None), default=None)

    @property
    def over_budget_message(self) -> str:
        """Why `policy.maxMonthlyCost` holds the spec; empty if it doesn't.

        A month with an unknown price is held, too.
        """
        if self.limit is None:
            return ""
        if self.total > self.limit:
            makes = ", ".join(f"{line.name} {format_usd(line.usd)}" for line in self.month if line.usd)
            estimate, limit = format_usd(self.total), format_usd(self.limit)
            return f"a month is estimated at {estimate} USD, more than policy.maxMonthlyCost of {limit} USD: {makes}"
        if self.unpriced:
            missing = f"no price of {' and '.join(self.unpriced)} is known in {self.region}"
            return f"{missing}: policy.maxMonthlyCost can't be checked"
        return ""


def format_usd(amount: Decimal | None) -> str:
    """Return an amount in readable form: whole cents, and never zero for an item that isn't free."""
    if amount is None:
        return "no price known"
    return "< 0.01" if 0 < amount < Decimal("0.005") else f"{amount:,.2f}"


def estimate_cost(
    context: SpecContext,
    price_table: PriceTable,
    monthly_requests: int,
    *,
    limit: Decimal | None = None,
    billed_seconds: int | None = None,
) -> CostEstimate:
    """Estimate the cost of a spec with so many requests a month.

    `billed_seconds` is the billed time of its last training. Raises ValueError for an Environment, and for an imported
    revision, whose size is in no spec.
    """
    if context.trainable_spec is None:
        raise ValueError("only a model of its own is estimated")
    spec, book = context.trainable_spec.spec, _RegionPrices(price_table, context.location.region)
    return CostEstimate(
        context.location.region,
        monthly_requests,
        _training_line(context.trainable_spec.training, book, billed_seconds),
        tuple(_monthly_lines(context, spec, book, monthly_requests)),
        tuple(_shared_lines(context, book)),
        (_real_time_line(spec, book), _serverless_line(spec, book, monthly_requests)),
        limit,
    )


@dataclass(frozen=True)
class _RegionPrices:
    price_table: PriceTable
    region: str

    def price_line(self, name: str, detail: str, quantities: Mapping[str, Decimal]) -> EstimateLine:
        """Return one line for quantities of items. One unknown price leaves the whole line without a price."""
        found = [(self.price_table.find(item, self.region), amount) for item, amount in quantities.items() if amount]
        total, read = Decimal(0), []
        for price, amount in found:
            if price is None:
                return EstimateLine(name, detail, None)
            total += price.usd * amount
            read.append(price.date)
        return EstimateLine(name, detail, total, min(read, default=None))


def fargate_quantities(tasks: int, cpu: int, memory: int, architecture: str, hours: Decimal) -> dict[str, Decimal]:
    """Return the vCPU-hours and GB-hours of tasks.

    `cpu` is in Fargate's units, `memory` in MiB; 20 GB of storage are included.
    """
    return {
        f"fargate/{architecture}/vcpu-hour": tasks * cpu / _CPU_UNITS_PER_VCPU * hours,
        f"fargate/{architecture}/gb-hour": tasks * memory / _MIB_PER_GB * hours,
    }


def http_api_quantities(requests: int) -> dict[str, Decimal]:
    """Return a month's requests to an HTTP API, in millions by tier.

    Each counts as at most 512 KB; VPC links are free.
    """
    millions = requests / _MILLION
    return {
        "apigateway/http-million": min(millions, _FIRST_TIER_MILLIONS),
        "apigateway/http-million-above-300": max(millions - _FIRST_TIER_MILLIONS, Decimal(0)),
    }


def _training_line(training: Training, prices: _RegionPrices, billed_seconds: int | None) -> EstimateLine:
    if training.job is not None:
        return EstimateLine("training run", f"none: {training.job} is over", Decimal(0))
    seconds = training.stopping.max_runtime if billed_seconds is None else billed_seconds
    basis = "at most, the limit of stopping.maxRuntime" if billed_seconds is None else "as the last one was billed"
    spot = "; spot makes it up to 90% cheaper, at a price AWS doesn't publish" if training.spot.enabled else ""
    hours = seconds * training.instance.count / Decimal(3600)
    detail = f"{training.instance.type}, {format_duration(seconds)} {basis}{spot}"
    return prices.price_line("training run", detail, {f"sagemaker/training/{training.instance.type}/hour": hours})


def _monthly_lines(
    context: SpecContext, spec: ModelServiceSpec, prices: _RegionPrices, requests: int
) -> Iterator[EstimateLine]:
    service, tasks = spec.service, spec.service.desired_count
    size = f"{format_cpu(service.cpu)} and {format_memory(service.memory)}, {spec.image.architecture}"
    detail = f"{tasks} {'task' if tasks == 1 else 'tasks'} of {size}"
    yield prices.price_line(
        "Fargate",
        detail,
        fargate_quantities(tasks, service.cpu, service.memory, spec.image.architecture, HOURS_PER_MONTH),
    )
    if context.assigns_public_ip:
        yield prices.price_line("public IPv4", "one address a task", {"vpc/public-ipv4-hour": tasks * HOURS_PER_MONTH})
    if spec.api is not None:
        yield prices.price_line("HTTP API", f"{requests:,} requests", http_api_quantities(requests))


def _shared_lines(context: SpecContext, prices: _RegionPrices) -> Iterator[EstimateLine]:
    yield prices.price_line("hosted zone", "the Cloud Map namespace's", {"route53/hosted-zone-month": Decimal(1)})
    if not context.assigns_public_ip:
        yield prices.price_line("NAT gateway", "one, if the subnets need it", {"vpc/nat-gateway-hour": HOURS_PER_MONTH})
        names = ", ".join(_INTERFACE_ENDPOINTS)
        yield prices.price_line(
            "interface endpoints",
            f"or {names} in one zone",
            {"vpc/endpoint-hour": len(_INTERFACE_ENDPOINTS) * HOURS_PER_MONTH},
        )


def _real_time_line(spec: ModelServiceSpec, prices: _RegionPrices) -> EstimateLine:
    service, name = spec.service, "real-time endpoint"
    count = max(service.desired_count, 1)
    fitting = next((host for host, memory in _HOSTING_MEMORY.items() if memory >= service.memory), None)
    if fitting is None:
        return EstimateLine(name, f"{format_memory(service.memory)} fits none of {', '.join(_HOSTING_MEMORY)}", None)
    detail = f"{count} {fitting}, the smallest that fits"
    return prices.price_line(name, detail, {f"sagemaker/hosting/{fitting}/hour": count * HOURS_PER_MONTH})


def _serverless_line(spec: ModelServiceSpec, prices: _RegionPrices, requests: int) -> EstimateLine:
    memory, name = spec.service.memory, "serverless endpoint"
    size = next((size for size in _SERVERLESS_MEMORY if size >= memory), None)
    if size is None:
        return EstimateLine(name, f"{format_memory(memory)} is more than the 6 GB that SageMaker offers", None)
    detail = f"{format_memory(size)}, {requests:,} requests of {SECONDS_PER_REQUEST * 1000:.0f} ms"
    return prices.price_line(
        name, detail, {"sagemaker/serverless/gb-second": requests * SECONDS_PER_REQUEST * size / _MIB_PER_GB}
    )
