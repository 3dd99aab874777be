"""The price table: AWS's published price for one unit of an item, and its date.

The data is `prices.json`; `region` is `*` if AWS charges the same everywhere. The prices come from public quotations of
AWS's pages and lists; `quoted` says which, so that each can be checked at its source. An item that isn't in the table
has no known price, and never counts as free. This module does no arithmetic.
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
    """The price of one unit in USD; the item names the unit (`fargate/amd64/vcpu-hour`).

    `source` is the publisher's URL, `usage_type` AWS's own name of the item, `quoted` records how the price was quoted,
    and `date` the day of the price.
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
    """Prices by item and Region."""

    prices: Mapping[tuple[str, str], Price]

    def find(self, item: str, region: str) -> Price | None:
        """Return the item's price in a Region; None if none is known."""
        return self.prices.get((item, region)) or self.prices.get((item, ALL_REGIONS))


@cache
def load_price_table() -> PriceTable:
    """Return the table that comes with this package."""
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
