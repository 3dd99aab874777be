"""Bad weather in the embedded AWS: enabled by name, ended by a reset, and no worse than configured."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from embedded_aws.api_call import ApiCall, ApiResponse
from embedded_aws.errors import SettingError
from embedded_aws.weather import WEATHER_KINDS, Weather
from tests.conftest import EmbeddedAws
from tests.unit.embedded_aws.conftest import until

TRUST = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}


class Clock:
    """A clock that tests advance."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def call(name: str, body: bytes = b"{}", region: str = "us-east-1") -> ApiCall:
    service, _, operation = name.partition(".")
    return ApiCall("POST", "/", [], body, "123456789012", region, service, operation)


def response(text: str, status: int = 200) -> ApiResponse:
    return ApiResponse(status, {}, text.encode())


def lagging(clock: Clock) -> Weather:
    return Weather({"MOORAGE_LOCAL_WEATHER": "read-lag", "MOORAGE_LOCAL_READ_LAG_SECONDS": "2"}, clock)


def test_a_read_lags_two_seconds_behind_a_change() -> None:
    """A read repeats the response from before the change. Once the lag is over, it returns the current state."""
    clock = Clock()
    weather, read, write = lagging(clock), call("ecs.DescribeServices"), call("ecs.CreateService")
    assert weather.apply_read_lag(read, response("none")).body == b"none"
    clock.now += 60
    assert weather.apply_read_lag(write, response("made")).body == b"made"
    clock.now += 1.9
    assert weather.apply_read_lag(read, response("one")).body == b"none"
    clock.now += 0.2
    assert weather.apply_read_lag(read, response("one")).body == b"one"


def test_each_change_has_a_lag_of_its_own() -> None:
    """During a second change's lag, the first change is visible. A read without an earlier response is current."""
    clock = Clock()
    weather, read, write = lagging(clock), call("ecs.DescribeServices"), call("ecs.UpdateService")
    weather.apply_read_lag(read, response("a"))
    weather.apply_read_lag(write, response("ok"))
    assert weather.apply_read_lag(read, response("b")).body == b"a"
    weather.apply_read_lag(write, response("ok"))
    assert weather.apply_read_lag(read, response("c")).body == b"b"
    assert weather.apply_read_lag(call("ecs.DescribeServices", b'{"cluster": "other"}'), response("d")).body == b"d"


def test_only_the_changed_service_lags() -> None:
    """A refused write causes no lag. Other services, other Regions and consistent services don't lag."""
    clock = Clock()
    weather, read = lagging(clock), call("ecs.DescribeServices")
    weather.apply_read_lag(read, response("a"))
    weather.apply_read_lag(call("ecs.UpdateService"), response("no", 400))
    weather.apply_read_lag(call("iam.CreateRole"), response("ok"))
    weather.apply_read_lag(call("ecs.UpdateService", region="eu-west-1"), response("ok"))
    assert weather.apply_read_lag(read, response("b")).body == b"b"
    listing = call("s3.ListObjectsV2")
    weather.apply_read_lag(listing, response("a"))
    weather.apply_read_lag(call("s3.PutObject"), response("ok"))
    assert weather.apply_read_lag(listing, response("b")).body == b"b"


def test_a_new_role_propagates_after_a_delay() -> None:
    """A new role can't be used until the delay is over, which is shorter for uses with a share of it.

    Without iam-delay it can always be used.
    """
    now = datetime(2026, 1, 1, tzinfo=UTC)
    weather = Weather({"MOORAGE_LOCAL_WEATHER": "iam-delay", "MOORAGE_LOCAL_IAM_DELAY_SECONDS": "120"}, now=lambda: now)
    old = {seconds: now - timedelta(seconds=seconds) for seconds in (59, 61, 119, 121)}
    assert [weather.is_role_propagating(made) for made in old.values()] == [True, True, True, False]
    assert [weather.is_role_propagating(made, 0.5) for made in old.values()] == [True, False, False, False]
    weather.change(())
    assert not weather.is_role_propagating(now)


def test_unknown_weather_is_refused() -> None:
    """The error names the unknown kind and lists the known ones."""
    with pytest.raises(SettingError, match=r"unknown weather 'hail'.*throttle, iam-delay, read-lag"):
        Weather({"MOORAGE_LOCAL_WEATHER": "throttle,hail"})


@pytest.fixture
def stormy(embedded_aws: EmbeddedAws) -> Iterator[EmbeddedAws]:
    """Yield the embedded AWS with all kinds of weather."""
    assert embedded_aws.call_admin_endpoint("weather", "PUT", {"kinds": WEATHER_KINDS, "iamDelay": 2, "readLag": 0.5})[
        "kinds"
    ] == sorted(WEATHER_KINDS)
    yield embedded_aws
    embedded_aws.call_admin_endpoint("reset", "POST")


def test_the_server_applies_the_weather(stormy: EmbeddedAws) -> None:
    """ECS's reads lag and its rates are enforced.

    ECS refuses a new role with its own messages, to define a task and to run it, and later accepts it.
    """
    ecs, iam = stormy.client("ecs"), stormy.client("iam")
    assert stormy.call_admin_endpoint("rates")["enforced"]
    assert ecs.list_clusters()["clusterArns"] == []
    ecs.create_cluster(clusterName="models")
    assert ecs.list_clusters()["clusterArns"] == []
    document = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
    role = iam.create_role(RoleName="new", AssumeRolePolicyDocument=document)["Role"]["Arn"]

    def register() -> str:
        try:
            ecs.register_task_definition(
                family="model",
                requiresCompatibilities=["FARGATE"],
                networkMode="awsvpc",
                cpu="256",
                memory="512",
                executionRoleArn=role,
                containerDefinitions=[{"name": "server", "image": "model"}],
            )
        except ClientError as error:
            return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
        return ""

    assert register().startswith("ClientException: Role is not valid")
    until(lambda: register() == "")
    with pytest.raises(ClientError, match="ECS was unable to assume the role"):
        ecs.create_service(
            cluster="models", serviceName="model", taskDefinition="model", desiredCount=0, launchType="FARGATE"
        )
    until(lambda: ecs.list_clusters()["clusterArns"])


def test_the_server_refuses_unknown_weather(embedded_aws: EmbeddedAws) -> None:
    """An unknown name changes nothing, and a reset restores the initial weather."""
    before = embedded_aws.call_admin_endpoint("weather")["kinds"]
    with pytest.raises(urllib.error.HTTPError):
        embedded_aws.call_admin_endpoint("weather", "PUT", {"kinds": ["hail"]})
    assert embedded_aws.call_admin_endpoint("weather")["kinds"] == before
    embedded_aws.call_admin_endpoint("weather", "PUT", {"kinds": ["throttle"]})
    embedded_aws.call_admin_endpoint("reset", "POST")
    assert embedded_aws.call_admin_endpoint("weather")["kinds"] == before
    assert embedded_aws.call_admin_endpoint("rates")["enforced"] is ("throttle" in before)
