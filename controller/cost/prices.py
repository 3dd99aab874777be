"""The price table: what AWS charges for one unit of something, where that is published, and on what date it was so.

The data is `prices.json`; `region` is `*` where AWS charges the same everywhere. The prices were taken from public quotations
of AWS's pages and lists: `quoted` says which, so that each can be checked at its source. What isn't in the table has no known
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

ALL_REGIONS = "*"
_PRICES_FILE = Path(__file__).with_name("prices.json")


@dataclass(frozen=True)
class Price:
    """USD for one unit; the item names the unit (`fargate/amd64/vcpu-hour`).

    `source` is the URL of who publishes it, `usage_type` AWS's own name of it, `quoted` how it came from there, `date` the
    day of which it is.
    """

    item: str
    region: str
    usd: Decimal
    source: str
    usage_type: str
    quoted: str
    date: date


@dataclass(frozen=True)
class PriceTable:
    """Prices by item and region."""

    prices: Mapping[tuple[str, str], Price]

    def find(self, item: str, region: str) -> Price | None:
        """The item's price in a region, or None where none is known."""
        return self.prices.get((item, region)) or self.prices.get((item, ALL_REGIONS))


@cache
def load_price_table() -> PriceTable:
    """The table that comes with this package."""
    rows = [
        Price(
            row["item"],
            row["region"],
            Decimal(row["usd"]),
            row["source"],
            row["usageType"],
            row["quoted"],
            date.fromisoformat(row["date"]),
        )
        for row in json.loads(_PRICES_FILE.read_text())
    ]
    return PriceTable({(row.item, row.region): row for row in rows})
