"""What a spec is estimated to cost, against AWS's own worked examples and by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from controller.core.spec_context import AwsLocation, SpecContext
from controller.cost.estimate import (
    HOURS_PER_MONTH,
    CostEstimate,
    EstimateLine,
    estimate_cost,
    fargate_quantities,
    format_usd,
    http_api_quantities,
)
from controller.cost.prices import load_price_table
from controller.spec.load import load_text

_SPEC = """
apiVersion: moorage/v1alpha1
kind: Environment
metadata: {{name: default}}
spec: {environment}
---
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {{name: m}}
spec:
  data: {{source: rows.csv, target: value}}
  training:
    algorithm: {{name: xgboost, version: "3.2-0"}}
    hyperparameters: {{num_round: 1}}
    {training}
  image: {image}
  service: {service}
  {api}
"""


def cost(
    region: str = "us-east-1",
    *,
    requests: int = 1_000_000,
    limit: str | None = None,
    trained_in: int | None = None,
    **parts: str,
) -> CostEstimate:
    defaults = {
        "environment": "{}",
        "training": "",
        "image": "{}",
        "service": "{cpu: 0.25 vCPU, memory: 1 GB}",
        "api": "api: {}",
    }
    specs = load_text(_SPEC.format(**defaults | parts))
    context = SpecContext(
        specs.get_environment("default"), specs.services["m"].model, AwsLocation("123456789012", region)
    )
    most = None if limit is None else Decimal(limit)
    return estimate_cost(context, load_price_table(), requests, limit=most, billed_seconds=trained_in)


def priced(amounts: dict[str, Decimal], region: str = "us-east-1") -> list[str]:
    found = [(load_price_table().find(item, region), amount) for item, amount in amounts.items()]
    return [format_usd(price.usd * amount) for price, amount in found if price]


def line(lines: tuple[EstimateLine, ...], name: str) -> EstimateLine:
    return next(line for line in lines if line.name == name)


def test_fargates_own_example() -> None:
    """Five tasks of 1 vCPU and 2 GB, ten minutes a day for thirty days: 1.01 and 0.22 USD
    (aws.amazon.com/fargate/pricing, example 1).
    """
    assert priced(fargate_quantities(5, 1024, 2048, "amd64", Decimal(600 * 30) / 3600)) == ["1.01", "0.22"]


def test_a_month_as_others_count_it() -> None:
    """2 vCPU and 4 GB for 730 hours are 59.10 and 12.98 USD: what infracost's own test of an ECS service expects."""
    assert priced(fargate_quantities(1, 2048, 4096, "amd64", HOURS_PER_MONTH)) == ["59.10", "12.98"]


def test_the_tiers_of_an_http_api() -> None:
    """432 million requests: 300 at 1.00 and 132 at 0.90 USD a million (aws.amazon.com/api-gateway/pricing, HTTP API
    example).
    """
    assert priced(http_api_quantities(432_000_000)) == ["300.00", "118.80"]


def test_a_month_of_the_demo() -> None:
    """A quarter of a vCPU, 1 GB, a public address and a million requests, by hand: 7.39 + 3.24, 3.65 and 1.00 USD."""
    found = cost()
    assert [(part.name, format_usd(part.usd)) for part in found.month] == [
        ("Fargate", "10.63"),
        ("public IPv4", "3.65"),
        ("HTTP API", "1.00"),
    ]
    assert format_usd(found.total) == "15.28"
    assert found.unpriced == ()
    assert str(found.oldest_price_date) == "2023-07-28"


def test_graviton_and_more_tasks() -> None:
    """Architecture and count change the line: two tasks on arm64 cost 2 x 730 x (0.25 x 0.03238 + 0.00356)
    = 17.02 USD.
    """
    found = cost(image="{architecture: arm64}", service="{cpu: 0.25 vCPU, memory: 1 GB, desiredCount: 2}")
    assert format_usd(line(found.month, "Fargate").usd) == "17.02"
    assert line(found.month, "Fargate").detail == "2 tasks of 0.25 vCPU and 1 GB, arm64"


def test_no_task_costs_nothing_and_no_api_no_request() -> None:
    """Scaled to zero there is only what is asked for; without an API nothing is charged for requests."""
    found = cost(service="{cpu: 0.25 vCPU, memory: 1 GB, desiredCount: 0}", api="")
    assert [(part.name, format_usd(part.usd)) for part in found.month] == [("Fargate", "0.00"), ("public IPv4", "0.00")]


def test_private_subnets_need_a_way_out() -> None:
    """Without public addresses there is no line for them; what the subnets need instead is told, and not added."""
    found = cost(environment="{network: {subnets: [subnet-1], securityGroups: [sg-1]}}")
    assert [part.name for part in found.month] == ["Fargate", "HTTP API"]
    assert format_usd(line(found.shared, "NAT gateway").usd) == "32.85"
    assert format_usd(line(found.shared, "hosted zone").usd) == "0.50"
    assert format_usd(line(found.shared, "interface endpoints").usd) == "21.90"


def test_a_training_run_is_bounded_until_it_is_known() -> None:
    """The limit of one hour first; then what the last job was billed for."""
    assert format_usd(cost().training.usd) == "0.12"
    assert cost().training.detail == "ml.m5.large, 1h at most, the limit of stopping.maxRuntime"
    known = cost(trained_in=180)
    assert format_usd(known.training.usd) == "0.01"
    assert known.training.detail == "ml.m5.large, 3m as the last one was billed"


def test_spot_has_no_price_of_its_own() -> None:
    """The price on demand is told as what it is, an upper bound."""
    found = cost(training="spot: {enabled: true, maxWait: 2h}")
    assert format_usd(found.training.usd) == "0.12"
    assert "spot makes it up to 90% cheaper" in found.training.detail


@pytest.mark.parametrize(
    ("service", "real_time", "serverless"),
    [
        # 730 h of ml.t2.medium; a million requests of 50 ms and 1 GB.
        ("{cpu: 0.25 vCPU, memory: 1 GB}", "40.88", "1.00"),
        ("{cpu: 1 vCPU, memory: 6 GB}", "83.95", "6.00"),
        ("{cpu: 2 vCPU, memory: 16 GB}", "no price known", "no price known"),
    ],
)
def test_the_same_load_on_sagemaker(service: str, real_time: str, serverless: str) -> None:
    """The smallest instance and the smallest serverless memory that fit, or why none does."""
    found = cost(service=service)
    assert [format_usd(part.usd) for part in found.alternatives] == [real_time, serverless]


def test_unknown_price_is_not_counted_as_zero() -> None:
    """In a region the table lacks the line says so, is named, and isn't part of the sum."""
    found = cost("ap-southeast-7")
    assert [format_usd(part.usd) for part in found.month] == ["no price known", "3.65", "no price known"]
    assert found.unpriced == ("Fargate", "HTTP API")
    assert format_usd(found.total) == "3.65"


def test_a_budget_that_suffices_holds_nothing() -> None:
    """An estimate at or below the limit lets the spec be applied."""
    assert cost(limit="15.29").over_budget_message == ""
    assert cost().over_budget_message == ""


def test_a_budget_that_does_not_suffice_holds_all() -> None:
    """The reason says the estimate, the limit, and what makes it."""
    assert cost(limit="10").over_budget_message == (
        "a month is estimated at 15.28 USD, more than policy.maxMonthlyCost of 10.00 USD: "
        "Fargate 10.63, public IPv4 3.65, HTTP API 1.00"
    )


def test_a_budget_that_cannot_be_checked_holds_too() -> None:
    """What can't be summed up isn't let through; once the known part alone is too much, that is the reason."""
    reported = "no price of Fargate and HTTP API is known in ap-southeast-7: policy.maxMonthlyCost can't be checked"
    assert cost("ap-southeast-7", limit="10").over_budget_message == reported
    assert cost("ap-southeast-7", limit="3").over_budget_message.startswith("a month is estimated at 3.65 USD")


def test_more_requests_cost_more() -> None:
    """The load is the spec's own; its requests go into the API's line and into the serverless endpoint's."""
    found = cost(requests=50_000_000)
    assert format_usd(line(found.month, "HTTP API").usd) == "50.00"
    assert format_usd(line(found.alternatives, "serverless endpoint").usd) == "50.00"
