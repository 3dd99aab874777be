"""AWS's request rates in the embedded AWS."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from embedded_aws.api_call import ApiCall
from embedded_aws.request_rates import RequestRates


class Clock:
    """A clock that tests advance."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def named(name: str, region: str = "us-east-1") -> ApiCall:
    service, _, operation = name.partition(".")
    return ApiCall("POST", "/", [], b"", "123456789012", region, service, operation)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock) -> RequestRates:
    rates = RequestRates(clock)
    rates.enforce(True)
    return rates


def test_a_bucket_empties_and_refills(rates, clock) -> None:
    """Twenty definitions at once, then one a second, and never more than the burst."""
    register = named("ecs.RegisterTaskDefinition")
    assert [rates.try_acquire(register) for _ in range(21)] == [True] * 20 + [False]
    clock.now += 2
    assert [rates.try_acquire(register) for _ in range(3)] == [True, True, False]
    clock.now += 3600
    assert [rates.try_acquire(register) for _ in range(21)] == [True] * 20 + [False]
    assert rates.report() == {"enforced": True, "refused": {"ecs task definition modify": 3}}


def test_categories_and_regions_have_their_own_buckets(rates) -> None:
    """Operations of one category share a bucket. Other categories, Regions and unlimited calls are not affected."""
    for _ in range(20):
        assert rates.try_acquire(named("ecs.DeregisterTaskDefinition"))
    assert not rates.try_acquire(named("ecs.RegisterTaskDefinition"))
    assert rates.try_acquire(named("ecs.RegisterTaskDefinition", "eu-west-1"))
    assert rates.try_acquire(named("ecs.DescribeTaskDefinition"))
    assert rates.try_acquire(named("sts.GetCallerIdentity"))


def test_a_throttled_call_takes_no_token(rates, clock) -> None:
    """A second VPC link is refused by its own rate and takes no token from the account's bucket."""
    link = named("apigatewayv2.CreateVpcLink")
    assert [rates.try_acquire(link) for _ in range(30)] == [True] + [False] * 29
    assert [rates.try_acquire(named("apigatewayv2.GetApis")) for _ in range(40)] == [True] * 39 + [False]
    clock.now += 15
    assert rates.try_acquire(link)


def test_the_server_throttles_only_when_enforced(embedded_aws) -> None:
    """With rates enforced, a second VPC link within 15 s gets API Gateway's own throttling error.

    Before and after, it doesn't.
    """
    api = embedded_aws.client("apigatewayv2")

    def refusals() -> list[str]:
        codes = []
        for _ in range(2):
            with pytest.raises(ClientError) as caught:
                api.create_vpc_link(Name="link", SubnetIds=["subnet-missing"])
            codes.append(caught.value.response["Error"]["Code"])
        return codes

    assert "TooManyRequestsException" not in refusals()
    assert embedded_aws.call_admin_endpoint("rates", "PUT", {"enforced": True})["enforced"]
    assert refusals()[1] == "TooManyRequestsException"
    assert embedded_aws.call_admin_endpoint("rates")["refused"] == {"create vpc link": 1}
    embedded_aws.call_admin_endpoint("rates", "PUT", {"enforced": False})
    assert "TooManyRequestsException" not in refusals()
