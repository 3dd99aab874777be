"""Each check of `moorage doctor`, against an account with prepared responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.aws.calls import AwsCall
from controller.aws.server_date import ClockSkewHook
from controller.core.spec_context import AwsLocation, SpecContext
from controller.errors import CredentialsError, DeniedError, MissingError, RejectedError
from controller.operations.doctor import CheckResult, DoctorContext, credentials, run_checks
from controller.spec.environment import Network
from controller.spec.models import Environment, ModelService

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROLE = "arn:aws:iam::123456789012:role/team/ci"
SERVICE = ModelService.model_validate(
    {
        "apiVersion": "moorage/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "m"},
        "spec": {
            "data": {"source": "data.csv", "target": "y"},
            "training": {
                "algorithm": {"name": "xgboost", "version": "3.2-0"},
                "hyperparameters": {"objective": "reg:squarederror", "num_round": 5},
            },
            "service": {"cpu": "1 vCPU", "memory": "2 GB", "desiredCount": 2},
        },
    }
)
SUBNET = {"SubnetId": "subnet-0a", "VpcId": "vpc-0a"}
IDENTITY = {"Arn": "arn:aws:sts::123456789012:assumed-role/ci/session", "Account": "123456789012"}


class FakeAws:
    """Returns the prepared answer of an operation, or raises it if it is an error. Other operations return nothing."""

    account, region, partition = "123456789012", "us-east-1", "aws"

    def __init__(self, **answers: Any) -> None:
        self.answers = {"get_caller_identity": IDENTITY, "get_role": {"Role": {"Arn": ROLE}}} | answers

    def read(self, service: str, operation: str, /, **params: Any) -> Any:
        answer = self.answers.get(operation, {"EvaluationResults": []})
        if isinstance(answer, Exception):
            raise answer
        return answer(**params) if callable(answer) else answer

    def iter_items(self, service: str, operation: str, key: str, /, **params: Any) -> Iterator[Any]:
        answer = self.answers.get(operation, [])
        if isinstance(answer, Exception):
            raise answer
        yield from answer(**params) if callable(answer) else answer


class FakeBucket:
    """A bucket with these keys, or a missing bucket."""

    where = "s3://bucket"

    def __init__(self, *keys: str, there: bool = True) -> None:
        self.keys, self.there = keys, there

    def list(self, prefix: str) -> Mapping[str, str]:
        if not self.there:
            raise MissingError("no bucket")
        return dict.fromkeys(self.keys, "etag")


def findings(
    check: str, network: Network | None = None, bucket: Any = None, clock_skew: float = 0.0, **answers: Any
) -> Any:
    """Return the result of a check, or the list of its results if it has several."""
    environment = Environment.default()
    environment = environment.model_copy(
        update={"spec": environment.spec.model_copy(update={"network": network or Network()})}
    )
    clock = ClockSkewHook(lambda: NOW)
    clock.seconds_behind = clock_skew
    aws: Any = FakeAws(**answers)
    context = SpecContext(environment, None, AwsLocation("123456789012", "us-east-1"))
    checked = DoctorContext(aws, clock, context, [SERVICE], {}, bucket if bucket is not None else FakeBucket())
    results = [result for result in run_checks(checked) if result.check == check]
    return results[0] if len(results) == 1 else results


def private_network(**network: Any) -> Network:
    return Network.model_validate({"subnets": ["subnet-0a"], **network})


def routes(target: str) -> Any:
    """Answer with a main route table whose default route has this target; the subnet has no table of its own."""
    kind = "NatGatewayId" if target.startswith("nat") else "GatewayId"
    table = {"Routes": [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}]}
    if target:
        table["Routes"].append({"DestinationCidrBlock": "0.0.0.0/0", kind: target})
    return lambda **asked: [table] if any(f["Name"] == "association.main" for f in asked["Filters"]) else []


def test_credentials_are_reported_or_missing():
    """The result names the caller, account and region, or fails."""
    aws: Any = FakeAws()
    assert credentials(aws) == CheckResult("credentials", "ok", f"{IDENTITY['Arn']} in account 123456789012, us-east-1")
    aws = FakeAws(get_caller_identity=CredentialsError("expired", hint="renew them"))
    assert credentials(aws).state == "failed"


@pytest.mark.parametrize(
    ("behind", "state"), [(2, "ok"), (-2, "ok"), (90, "warning"), (-90, "warning"), (280, "failed"), (-280, "failed")]
)
def test_clock_skew_is_reported(behind, state):
    """Clock skew in either direction is reported before AWS rejects signatures for it."""
    result = findings("clock", clock_skew=behind)
    assert result.state == state
    assert (f"{abs(behind)} s behind AWS" if behind > 0 else f"{-behind} s ahead of AWS") in result.message


def test_the_servers_date_is_read_from_answers():
    """Only a response with a Date header sets the skew; errors and other responses don't."""
    clock, call = ClockSkewHook(lambda: NOW), AwsCall("read", "sts", "get_caller_identity", {})
    clock.after(call, DeniedError("no"))
    clock.after(call, {"ResponseMetadata": {"HTTPHeaders": {}}})
    assert clock.seconds_behind is None
    clock.after(call, {"ResponseMetadata": {"HTTPHeaders": {"date": "Thu, 01 Jan 2026 12:01:30 GMT"}}})
    assert clock.seconds_behind == 90


def test_permissions_are_simulated_for_the_role():
    """IAM simulates the role, not its session. A denied action gives a warning, a denied simulation `unknown`."""

    def simulate(**asked: Any) -> Any:
        assert asked["PolicySourceArn"] == ROLE
        decisions = {"s3:PutObject": "implicitDeny"}
        return {
            "EvaluationResults": [
                {"EvalActionName": name, "EvalDecision": decisions.get(name, "allowed")}
                for name in asked["ActionNames"]
            ]
        }

    result = findings("permissions", simulate_principal_policy=simulate)
    assert (result.state, result.message) == ("warning", "not allowed on every resource: s3:PutObject")
    assert findings("permissions").state == "ok"
    assert findings("permissions", simulate_principal_policy=DeniedError("no iam")).state == "unknown"


def test_state_bucket_exists_or_will_be_created():
    """A missing bucket is no failure, as the first run creates it."""
    assert (
        "state of 2 specs"
        in findings("state", bucket=FakeBucket("moorage/state/a", "moorage/state/b", "moorage/lease/c")).message
    )
    assert findings("state", bucket=FakeBucket(there=False)).state == "ok"


def test_quotas_are_held_against_what_the_specs_need():
    """A new account's training quota can be zero; a rolling update runs twice the tasks."""
    quotas = [
        {"QuotaName": "ml.m5.large for training job usage", "Value": 0.0},
        {"QuotaName": "Fargate On-Demand vCPU resource count", "Value": 4.0},
    ]
    links, training, fargate = findings("quotas", list_service_quotas=quotas, get_vpc_links=[{}] * 10)
    assert (links.state, links.message) == ("warning", "10 of 10 VPC links are used")
    assert (training.state, training.message) == ("failed", "ml.m5.large for training job usage: 1 needed, 0 allowed")
    assert (fargate.state, fargate.message) == (
        "ok",
        "Fargate On-Demand vCPU resource count: 4 needed, 4 allowed",
    )
    assert [result.state for result in findings("quotas", list_service_quotas=RejectedError("no"))[1:]] == [
        "unknown"
    ] * 2


@pytest.mark.parametrize(
    ("network", "target", "endpoints", "state"),
    [
        (private_network(), "nat-1", (), "ok"),
        (private_network(), "igw-1", (), "failed"),
        (private_network(assignPublicIp=True), "igw-1", (), "ok"),
        (private_network(), "", ("ecr.api", "ecr.dkr", "s3", "logs"), "ok"),
        (private_network(), "", ("ecr.api", "s3", "logs"), "failed"),
        (private_network(), "", (), "failed"),
    ],
)
def test_a_private_subnet_needs_a_way_to_its_image(network, target, endpoints, state):
    """A subnet needs a NAT gateway, a public address, or an endpoint for each service that a starting task calls."""
    listed = [{"ServiceName": f"com.amazonaws.us-east-1.{name}", "State": "available"} for name in endpoints]
    listed.append({"ServiceName": "com.amazonaws.us-east-1.ecr.dkr", "State": "pending"})
    result = findings(
        "network",
        network,
        describe_subnets=[SUBNET],
        describe_route_tables=routes(target),
        describe_vpc_endpoints=listed,
    )
    assert result.state == state
    if "ecr.api" in endpoints and state == "failed":
        assert "no endpoint for ecr.dkr" in result.message


def test_without_subnets_the_default_vpc_is_needed():
    """The check fails in an account whose default VPC was deleted."""
    assert findings("network", describe_vpcs=[{"VpcId": "vpc-1"}]).state == "ok"
    assert findings("network").state == "failed"


def test_failed_check_stops_no_other():
    """A check that raises gives the state `unknown` with the error, and the others still run."""
    result = findings("network", describe_vpcs=DeniedError("a permission is missing", where="ec2.describe_vpcs"))
    assert result.state == "unknown"
    assert "ec2.describe_vpcs" in result.message
