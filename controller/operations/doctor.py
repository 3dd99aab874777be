"""Check one by one what Moorage needs of an account. Each check suggests a next step; none changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from controller.aws import AwsClient
from controller.aws.server_date import ClockSkewHook
from controller.core.spec_context import SpecContext
from controller.errors import AwsError, CredentialsError, MissingError, MoorageError
from controller.resources.base import ResourceRegistry
from controller.spec.models import EnvironmentSpec, ModelService
from controller.store.object_storage import ObjectStorage

State = Literal["ok", "warning", "failed", "unknown"]

# Actions of the store and the lease, in addition to those of the resource types.
_OWN_ACTIONS = frozenset({"sts:GetCallerIdentity", "s3:ListBucket", "s3:GetObject", "s3:PutObject"})
# Warn and fail well before five minutes (300 s), from which on AWS rejects signatures.
_CLOCK_SKEW_SECONDS = 60.0, 240.0
# A task without a route to the internet needs these endpoints to start, for its image (layers are in S3) and its log.
_ENDPOINTS = ("ecr.api", "ecr.dkr", "s3", "logs")
_BATCH = 50


@dataclass(frozen=True)
class CheckResult:
    """The result of one check. The state `unknown` means that the check could not be made."""

    check: str
    state: State
    message: str
    hint: str = ""


@dataclass(frozen=True)
class DoctorContext:
    """The input of the checks: the AWS client with its clock hook, and what the specs need of the account.

    `objects` is the storage of the state bucket, or None if the state is local.
    """

    aws: AwsClient
    clock: ClockSkewHook
    context: SpecContext
    services: Sequence[ModelService]
    registry: ResourceRegistry
    objects: ObjectStorage | None

    @property
    def environment(self) -> EnvironmentSpec:
        """The spec of the Environment."""
        return self.context.environment.spec


def run_checks(context: DoctorContext) -> Iterator[CheckResult]:
    """Run every check in turn. A check that fails to run yields `unknown` with the error and stops no other."""
    for check, look in _CHECKS.items():
        try:
            for state, message, hint in look(context):
                yield CheckResult(check, state, message, hint)
        except MoorageError as error:
            yield CheckResult(check, "unknown", str(error))


CheckOutcome = tuple[State, str, str]


def credentials(aws: AwsClient) -> CheckResult:
    """Check the caller's identity, which every other check needs."""
    try:
        account, arn = aws.account, aws.read("sts", "get_caller_identity")["Arn"]
    except (CredentialsError, AwsError) as error:
        return CheckResult(
            "credentials", "failed", f"{error.what}: {error.why}" if error.why else error.what, error.hint
        )
    return CheckResult("credentials", "ok", f"{arn} in account {account}, {aws.region}")


def _clock(context: DoctorContext) -> Iterator[CheckOutcome]:
    behind = context.clock.seconds_behind
    if behind is None:
        yield "unknown", "no response of AWS had a Date header", ""
        return
    state = _skew_state(abs(behind))
    word = "behind" if behind >= 0 else "ahead of"
    yield state, f"{abs(behind):.0f} s {word} AWS", "" if state == "ok" else "synchronise this machine's clock"


def _skew_state(seconds: float) -> State:
    warn_from, fail_from = _CLOCK_SKEW_SECONDS
    if seconds < warn_from:
        return "ok"
    return "warning" if seconds < fail_from else "failed"


def _permissions(context: DoctorContext) -> Iterator[CheckOutcome]:
    """Simulate the actions with IAM.

    The simulation names no resources. So an action that a policy allows on some resources only gives a warning.
    """
    needed = sorted(_OWN_ACTIONS.union(*(a for r in context.registry.values() for a in r.permissions.values())))
    source = _principal(context.aws)
    denied: list[str] = []
    for start in range(0, len(needed), _BATCH):
        actions = needed[start : start + _BATCH]
        results = context.aws.read("iam", "simulate_principal_policy", PolicySourceArn=source, ActionNames=actions)[
            "EvaluationResults"
        ]
        denied += [result["EvalActionName"] for result in results if result["EvalDecision"] != "allowed"]
    if denied:
        yield (
            "warning",
            f"not allowed on every resource: {', '.join(denied)}",
            "`moorage policy` prints the permissions that the specs need",
        )
    else:
        yield "ok", f"all {len(needed)} actions are allowed", ""


def _principal(aws: AwsClient) -> str:
    """Return the ARN of the caller's user or role. A session's ARN has the role's name without its path."""
    arn: str = aws.read("sts", "get_caller_identity")["Arn"]
    if ":assumed-role/" not in arn:
        return arn
    role: str = aws.read("iam", "get_role", RoleName=arn.split("/")[1])["Role"]["Arn"]
    return role


def _state(context: DoctorContext) -> Iterator[CheckOutcome]:
    if context.objects is None:
        yield "ok", "stored on this machine, beside the embedded AWS", ""
        return
    try:
        kept = context.objects.list("moorage/")
    except MissingError:
        yield "ok", f"the first run creates {context.objects.where}", ""
        return
    yield "ok", f"{context.objects.where} holds the state of {sum('/state/' in key for key in kept)} specs", ""


def _quotas(context: DoctorContext) -> Iterator[CheckOutcome]:
    yield _links(context)
    for instance, count in sorted(_instances(context.services).items()):
        yield _check_quota(context.aws, "sagemaker", f"{instance} for training job usage", count)
    units = sum(service.spec.service.cpu * service.spec.service.desired_count for service in context.services)
    # A rolling update runs the old and the new tasks at once.
    yield _check_quota(context.aws, "fargate", "Fargate On-Demand vCPU resource count", 2 * units / 1024)


def _links(context: DoctorContext) -> CheckOutcome:
    quota = 10
    used = len(list(context.aws.iter_items("apigatewayv2", "get_vpc_links", "Items")))
    message = f"{used} of {quota} VPC links are used"
    if used < quota:
        return "ok", message, ""
    return "warning", message, "each Environment needs one: delete one, or name one in spec.edge.vpcLink"


def _instances(services: Iterable[ModelService]) -> dict[str, int]:
    needed: dict[str, int] = {}
    for training in (service.spec.training for service in services):
        if training is None or training.job is not None:
            continue
        instance = training.instance
        needed[instance.type] = max(instance.count, needed.get(instance.type, 0))
    return needed


def _check_quota(aws: AwsClient, service: str, name: str, needed: float) -> CheckOutcome:
    try:
        quotas = aws.iter_items("service-quotas", "list_service_quotas", "Quotas", ServiceCode=service)
        value = next((quota["Value"] for quota in quotas if quota["QuotaName"] == name), None)
    except AwsError as error:
        return "unknown", f"{name}: {error.what}", ""
    if value is None:
        return "unknown", f"{name}: Service Quotas doesn't list this quota", ""
    if value < needed:
        return "failed", f"{name}: {needed:g} needed, {value:g} allowed", "request an increase in Service Quotas"
    return "ok", f"{name}: {needed:g} needed, {value:g} allowed", ""


def _network(context: DoctorContext) -> Iterator[CheckOutcome]:
    network = context.environment.network
    if not network.subnets:
        filters = [{"Name": "is-default", "Values": ["true"]}]
        found = list(context.aws.iter_items("ec2", "describe_vpcs", "Vpcs", Filters=filters))
        hint = "" if found else "name subnets in spec.network.subnets"
        yield ("ok", f"the default VPC {found[0]['VpcId']}", "") if found else ("failed", "no default VPC", hint)
        return
    filters = [{"Name": "subnet-id", "Values": list(network.subnets)}]
    for subnet in context.aws.iter_items("ec2", "describe_subnets", "Subnets", Filters=filters):
        yield _check_subnet(context.aws, subnet, public=network.assign_public_ip)


def _check_subnet(aws: AwsClient, subnet: Mapping[str, Any], *, public: bool) -> CheckOutcome:
    """Check that a task in a subnet can pull its image and write its log."""
    name, vpc = subnet["SubnetId"], subnet["VpcId"]
    target = _find_egress(aws, name, vpc)
    if target.startswith("igw-") and not public:
        hint = "set spec.network.assignPublicIp to true"
        return "failed", f"{name} routes to {target}, but tasks get no public address", hint
    if target:
        return "ok", f"{name} reaches AWS through {target}", ""
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    available = {
        endpoint["ServiceName"].partition(f".{aws.region}.")[2]
        for endpoint in aws.iter_items("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=filters)
        if endpoint["State"].lower() == "available"
    }
    missing = [name for name in _ENDPOINTS if name not in available]
    if missing:
        message = f"{name} has no default route, and {vpc} has no endpoint for {', '.join(missing)}"
        return "failed", message, "add a NAT gateway or the VPC endpoints"
    return "ok", f"{name} reaches AWS through the endpoints of {vpc}", ""


def _find_egress(aws: AwsClient, subnet: str, vpc: str) -> str:
    """Return the target of a subnet's active default route, or an empty string without one."""
    own = [{"Name": "association.subnet-id", "Values": [subnet]}]
    main = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    for filters in (own, main):
        tables = list(aws.iter_items("ec2", "describe_route_tables", "RouteTables", Filters=filters))
        if tables:
            break
    for route in (route for table in tables for route in table["Routes"]):
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State", "active") == "active":
            targets = (
                route.get(kind) for kind in ("NatGatewayId", "GatewayId", "TransitGatewayId", "NetworkInterfaceId")
            )
            return next((str(target) for target in targets if target), "")
    return ""


_CHECKS: Mapping[str, Callable[[DoctorContext], Iterator[CheckOutcome]]] = {
    "clock": _clock,
    "permissions": _permissions,
    "state": _state,
    "quotas": _quotas,
    "network": _network,
}
