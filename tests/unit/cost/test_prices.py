"""The price table: every price says where and when it was read, and nothing is free by mistake."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlsplit

from controller.cost.prices import Price, PriceTable, load_price_table

# Who publishes what the table takes: AWS, and public copies of AWS's list.
_PUBLISHERS = ("aws.amazon.com", "pricing.us-east-1.amazonaws.com", "github.com")


def test_every_price_names_its_source_and_its_date() -> None:
    """A source is a URL of AWS or of a public copy, the date is no future one.

    AWS's own name of it and the quotation are there.
    """
    prices = load_price_table().prices.values()
    assert len(prices) > 20
    for price in prices:
        source = urlsplit(price.source)
        assert (source.scheme, source.netloc in _PUBLISHERS) == ("https", True), price
        assert date(2019, 1, 7) <= price.date <= date(2026, 12, 31), price
        assert price.usage_type, price
        assert price.quoted, price


def test_prices_are_positive_and_unique() -> None:
    """What costs nothing isn't in the table, and no later row hides an earlier one."""
    prices = load_price_table().prices
    assert all(price.usd > 0 for price in prices.values())
    assert all(key == (price.item, price.region) for key, price in prices.items())


def test_supported_regions_have_fargate_prices() -> None:
    """Each of the four regions has vCPU and memory for x86."""
    for region in ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1"):
        for unit in ("vcpu-hour", "gb-hour"):
            assert load_price_table().find(f"fargate/amd64/{unit}", region), region


def test_unknown_price_is_not_found() -> None:
    """Another region has no price, unless AWS charges the same everywhere."""
    assert load_price_table().find("fargate/amd64/vcpu-hour", "ap-southeast-7") is None
    everywhere = load_price_table().find("vpc/public-ipv4-hour", "ap-southeast-7")
    assert isinstance(everywhere, Price)
    assert PriceTable({}).find("vpc/public-ipv4-hour", "us-east-1") is None
