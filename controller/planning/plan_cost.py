"""The costs in a plan's document: what is estimated, from which load and which prices. Amounts are USD; null is unknown."""

from __future__ import annotations

from decimal import Decimal

from controller.core.values import Key
from controller.cost.estimate import CostEstimate, EstimateLine
from controller.spec.strict import Items, StrictModel


class CostLine(StrictModel):
    """One thing that AWS charges for."""

    name: str
    """What it is."""
    detail: str
    """How much of it."""
    usd: float | None
    """US dollars; null: no price is known, which isn't nothing."""


class PlannedCost(StrictModel):
    """What one ModelService costs, at list prices."""

    environment: str
    """The Environment's name."""
    spec: str
    """The spec, by kind and name."""
    region: str
    """The region whose prices are taken."""
    requests: int
    """The load that is assumed: requests a month."""
    prices_from: str
    """Date of the oldest price that was used, as YYYY-MM-DD; empty where none is known."""
    month: Items[CostLine]
    """What a month consists of."""
    monthly: float
    """The sum of the month's lines whose price is known."""
    unpriced: Items[str]
    """The month's lines that no price is known of."""
    limit: float | None
    """`policy.maxMonthlyCost`, where the spec has one."""
    over: str
    """Why the limit holds the spec back; empty where it doesn't."""
    training: CostLine
    """One training run."""
    instead: Items[CostLine]
    """A month of the same load on SageMaker endpoints."""
    shared: Items[CostLine]
    """What the Environment needs once for all its models in a month; no part of the sum."""


def planned_cost(owner: Key, cost: CostEstimate) -> PlannedCost:
    """An estimate as the document has it."""
    return PlannedCost(
        environment=owner.environment,
        spec=f"{owner.kind} {owner.name}",
        region=cost.region,
        requests=cost.monthly_requests,
        prices_from=cost.oldest_price_date.isoformat() if cost.oldest_price_date else "",
        month=tuple(map(_line, cost.month)),
        monthly=_number(cost.total),
        unpriced=cost.unpriced,
        limit=None if cost.limit is None else _number(cost.limit),
        over=cost.over_budget_message,
        training=_line(cost.training),
        instead=tuple(map(_line, cost.alternatives)),
        shared=tuple(map(_line, cost.shared)),
    )


def _line(line: EstimateLine) -> CostLine:
    return CostLine(name=line.name, detail=line.detail, usd=None if line.usd is None else _number(line.usd))


def _number(amount: Decimal) -> float:
    return float(round(amount, 4))
