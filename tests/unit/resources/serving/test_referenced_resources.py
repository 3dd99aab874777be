"""Objects that a spec names: used or taken over if they are there, and never made in their stead if they aren't."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.plan import Action, Step
from controller.core.values import Key, Ref
from controller.errors import FailedError
from controller.spec.models import Environment, EnvironmentSpec

OWNER = Key("default", "ModelService", "by-id")
API, DISCOVERY = "apigatewayv2/api", "servicediscovery/service"


@pytest.mark.parametrize(
    ("kind", "section", "hint"),
    [
        (API, {"api": {"id": "nobodys"}}, "correct spec.api.id"),
        (DISCOVERY, {"service": {"discovery": "srv-nobodys"}}, "correct spec.service.discovery"),
    ],
)
def test_missing_referenced_resource_is_an_error(
    harness: Any, spec_context: Any, kind: str, section: Any, hint: str
) -> None:
    """Another one with another id would be no help to whoever holds on to that one."""
    node = harness.node(kind, spec_context("named", **section))
    assert harness.observe(node) == {}
    with pytest.raises(FailedError) as refused:
        harness.apply(node)
    assert "nobodys" in str(refused.value)
    assert hint in refused.value.hint


def test_a_named_api_is_found_by_its_id_alone(harness: Any, spec_context: Any) -> None:
    """Whatever it is called and whoever made it: it is observed, put right and deleted as ours."""
    made = harness.aws.write("apigatewayv2", "create_api", Name="theirs", ProtocolType="HTTP")
    twin = harness.aws.write("apigatewayv2", "create_api", Name="theirs", ProtocolType="HTTP")
    node = harness.node(API, spec_context("by-id", api={"id": made["ApiId"]}))
    harness.executor.execute(Step(Action.ADOPT, node, OWNER))
    assert harness.apply_until_stable(node).outputs["id"] == made["ApiId"]
    harness.delete_until_absent(node)
    left = [api["ApiId"] for api in harness.aws.iter_items("apigatewayv2", "get_apis", "Items")]
    assert twin["ApiId"] in left


def test_a_named_service_keeps_its_records(harness: Any, spec_context: Any) -> None:
    """What else asks that Cloud Map service relies on them: only tags are put on it."""
    vpc = next(iter(harness.aws.iter_items("ec2", "describe_vpcs", "Vpcs")))["VpcId"]
    harness.aws.write("servicediscovery", "create_private_dns_namespace", Name="named.internal", Vpc=vpc)
    listed = harness.aws.iter_items("servicediscovery", "list_namespaces", "Namespaces")
    namespace = next(one["Id"] for one in listed if one["Name"] == "named.internal")
    records = {"DnsRecords": [{"Type": "A", "TTL": 60}]}
    made = harness.aws.write(
        "servicediscovery", "create_service", Name="theirs", NamespaceId=namespace, DnsConfig=records
    )["Service"]
    node = harness.node(DISCOVERY, spec_context("by-id", service={"discovery": made["Id"]}))
    harness.executor.execute(Step(Action.ADOPT, node, OWNER))
    seen = harness.apply_until_stable(node)
    assert seen.outputs["id"] == made["Id"]
    assert seen.fields["records"] == records["DnsRecords"]
    harness.delete_until_absent(node)


def test_a_named_vpc_link_is_used_and_not_made(harness: Any, spec_context: Any) -> None:
    """The environment has no link and no group for one of its own; integrations lead through the named one."""
    wanted = spec_context("linked", api={})
    spec = EnvironmentSpec.model_validate({"edge": {"vpcLink": "theirs"}, "network": {"securityGroups": ["sg-1"]}})
    home = Environment.default().model_copy(update={"spec": spec})
    shared = replace(wanted, environment=home, service=None)
    assert list(harness.registry["apigatewayv2/vpc-link"].expand(shared)) == []
    assert list(harness.registry["ec2/security-group"].expand(shared)) == []
    (integration,) = harness.registry["apigatewayv2/integration"].expand(replace(wanted, environment=home))
    assert integration.desired["ConnectionId"] == "theirs"
    (own,) = harness.registry["apigatewayv2/integration"].expand(wanted)
    assert isinstance(own.desired["ConnectionId"], Ref)
