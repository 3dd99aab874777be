"""The price table: what AWS charges for one unit of something, where that is published, and when it was read there.

The data is `prices.json`; `region` is `*` where AWS charges the same everywhere. What isn't in the table has no known
price, and is never taken for free. No arithmetic here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

EVERYWHERE = "*"
_TABLE = Path(__file__).with_name("prices.json")


@dataclass(frozen=True)
class Price:
    """USD for one unit; the item names the unit (`fargate/amd64/vcpu-hour`). `source` is a URL, `usage_type` AWS's own name of it."""

    item: str
    region: str
    usd: Decimal
    source: str
    usage_type: str
    date: date


@dataclass(frozen=True)
class Table:
    """Prices by item and region."""

    prices: Mapping[tuple[str, str], Price]

    def find(self, item: str, region: str) -> Price | None:
        """The item's price in a region, or None where none is known."""
        return self.prices.get((item, region)) or self.prices.get((item, EVERYWHERE))


@cache
def published() -> Table:
    """The table that comes with this package."""
    rows = [
        Price(
            row["item"],
            row["region"],
            Decimal(row["usd"]),
            row["source"],
            row["usageType"],
            date.fromisoformat(row["date"]),
        )
        for row in json.loads(_TABLE.read_text())
    ]
    return Table({(row.item, row.region): row for row in rows})
