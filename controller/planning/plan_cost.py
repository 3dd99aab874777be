"""The costs in a plan document: the estimate, its load and its prices. Amounts are USD; null is unknown."""

from __future__ import annotations

from decimal import Decimal

from controller.core.values import Key
from controller.cost.estimate import CostEstimate, EstimateLine
from controller.spec.strict import Items, StrictModel


class CostLine(StrictModel):
    """One item that AWS charges for."""

    name: str
    """Name of the item."""
    detail: str
    """Its quantity."""
    usd: float | None
    """US dollars; null if no price is known, which doesn't mean that it is free."""


class PlannedCost(StrictModel):
    """The cost of one ModelService at list prices."""

    environment: str
    """The Environment's name."""
    spec: str
    """Kind and name of the spec."""
    region: str
    """The region whose prices apply."""
    requests: int
    """The assumed load in requests a month."""
    prices_from: str
    """Date of the oldest price used, as YYYY-MM-DD; empty if no price is known."""
    month: Items[CostLine]
    """The items of a month."""
    monthly: float
    """The sum of the month's items with a known price."""
    unpriced: Items[str]
    """Names of the month's items without a known price."""
    limit: float | None
    """`policy.maxMonthlyCost`; null if the spec sets none."""
    over: str
    """Why the limit holds the spec; empty if it doesn't."""
    training: CostLine
    """One training run."""
    instead: Items[CostLine]
    """A month of the same load on SageMaker endpoints."""
    shared: Items[CostLine]
    """Items of a month that all models of the Environment share; not part of the sum."""


def planned_cost(owner: Key, cost: CostEstimate) -> PlannedCost:
    """Convert an estimate to the document's form."""
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
