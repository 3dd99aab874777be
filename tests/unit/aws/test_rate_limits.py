"""Token buckets: bursts pass, short waits are slept, long ones are told, everybody shares."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.aws.rate_limits import RateLimiter, minimum_seconds, rate_limits_for
from controller.errors import ThrottledError


@pytest.fixture
def rate_limits(clock):
    return RateLimiter(clock=clock, sleep=clock.sleep)


def acquire(rate_limits, times, service="ecs", operation="update_service", account="1", region="r"):
    for _ in range(times):
        rate_limits.take_token(account, region, service, operation)


def test_a_burst_passes_and_the_rest_waits_for_refill(rate_limits, clock):
    """ECS allows 50 service changes at once and 5 a second: the 51st waits a fifth of a second."""
    acquire(rate_limits, 50)
    assert clock.slept == []
    acquire(rate_limits, 1)
    assert clock.slept == [pytest.approx(0.2)]


def test_long_wait_raises_instead_of_sleeping(rate_limits, clock):
    """A VPC link can be made every 15 seconds: the second one says so at once, and takes nothing."""
    acquire(rate_limits, 1, "apigatewayv2", "create_vpc_link")
    for _ in range(2):
        with pytest.raises(ThrottledError) as caught:
            acquire(rate_limits, 1, "apigatewayv2", "create_vpc_link")
        assert caught.value.retry_after == pytest.approx(15)
    assert clock.slept == []
    clock.now += 15
    acquire(rate_limits, 1, "apigatewayv2", "create_vpc_link")


def test_a_refusal_takes_no_token_from_the_other_bucket(rate_limits):
    """CreateVpcLink draws on two buckets; refused by its own, it leaves the account's alone."""
    acquire(rate_limits, 1, "apigatewayv2", "create_vpc_link")
    for _ in range(30):
        with pytest.raises(ThrottledError):
            acquire(rate_limits, 1, "apigatewayv2", "create_vpc_link")
    acquire(rate_limits, 39, "apigatewayv2", "get_apis")


def test_operations_of_one_category_share(rate_limits, clock):
    """Creating and deleting services draw on the same bucket; reading them on another."""
    acquire(rate_limits, 50, operation="create_service")
    acquire(rate_limits, 100, operation="describe_services")
    assert clock.slept == []
    acquire(rate_limits, 1, operation="delete_service")
    assert clock.slept


def test_accounts_and_regions_have_their_own_buckets(rate_limits, clock):
    """AWS counts per account and region."""
    for account, region in itertools.product("12", ("r", "s")):
        acquire(rate_limits, 50, account=account, region=region)
    assert clock.slept == []


def test_waiters_queue_and_the_last_is_refused(rate_limits):
    """Tokens are promised in turn: five waits fit into a second at 5/s, the sixth thread is refused."""
    frozen = RateLimiter(clock=lambda: 0.0, sleep=lambda _: None)
    acquire(frozen, 55)
    with pytest.raises(ThrottledError):
        acquire(frozen, 1)


def test_threads_never_exceed_the_bucket():
    """Two hundred threads' worth of calls on a stopped clock: the burst and one second's refill, no more."""
    slept: list[float] = []
    rate_limiter = RateLimiter(clock=lambda: 0.0, sleep=slept.append)

    def attempt(_: int) -> bool:
        try:
            rate_limiter.take_token("1", "r", "ecs", "update_service")
        except ThrottledError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, range(200))) == 55
    assert sorted(slept) == [pytest.approx(wait) for wait in (0.2, 0.4, 0.6, 0.8, 1.0)]


def test_a_throttling_answer_empties_the_bucket(aws_client, scripted_server, scripted_answer, clock):
    """Somebody else used the tokens we counted on, so the next call waits for refill."""
    scripted_server.answers.append(scripted_answer.error("ThrottlingException"))
    aws = aws_client()
    with pytest.raises(ThrottledError):
        aws.write("ecs", "delete_service", service="s")
    aws.write("ecs", "delete_service", service="s")
    assert clock.slept == [pytest.approx(0.2)]


def test_a_refused_call_is_not_sent(aws_client, scripted_server, clock):
    """A budget wait over a second surfaces before anything goes out, for reads as for writes."""
    aws = aws_client()
    aws.write("apigatewayv2", "delete_vpc_link", VpcLinkId="v")
    with pytest.raises(ThrottledError) as caught:
        aws.write("apigatewayv2", "delete_vpc_link", VpcLinkId="v")
    assert caught.value.retry_after == pytest.approx(30)
    assert len(scripted_server.seen("apigateway")) == 1
    assert clock.slept == []


def test_unlisted_operations_have_no_rate_limit():
    """No figure, no bucket; API Gateway's account-wide one covers all of its calls."""
    assert rate_limits_for("s3", "put_object") == ()
    assert [budget.name for budget in rate_limits_for("apigatewayv2", "create_route")] == ["API Gateway management"]
    assert len(rate_limits_for("sagemaker", "describe_training_job")) == 1


def test_estimated_duration_uses_the_tightest_bucket():
    """The tightest bucket counts: 200 DescribeServices at 20 a second need ten seconds, however few others there are
    beside.
    """
    assert minimum_seconds({"ecs.describe_services": 200}) == 10
    assert minimum_seconds({"ecs.describe_services": 200, "apigatewayv2.get_apis": 50}) == 10
    assert minimum_seconds({"ecs.describe_services": 200, "apigatewayv2.get_apis": 300}) == 30
    assert minimum_seconds({}) == 0
