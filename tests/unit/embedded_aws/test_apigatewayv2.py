"""API Gateway's control plane: refusals, stored settings, and the life cycle of VPC links."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.unit.embedded_aws.conftest import until


@pytest.fixture
def api(edge) -> str:
    return edge.api.create_api(Name="shop", ProtocolType="HTTP")["ApiId"]


def refused(call, **arguments) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def code(call, **arguments) -> str:
    return refused(call, **arguments)[0]


def test_an_api_reports_its_endpoint_and_settings(edge, embedded_aws, api) -> None:
    """The endpoint is on this machine, names may repeat, and changes and defaults are stored."""
    assert edge.api.get_api(ApiId=api)["ApiEndpoint"] == f"{embedded_aws.endpoint}/_aws/execute-api/{api}"
    twin = edge.api.create_api(Name="shop", ProtocolType="HTTP", Tags={"a": "b"})
    assert twin["ApiId"] != api
    edge.api.update_api(
        ApiId=twin["ApiId"], Description="second", CorsConfiguration={"AllowOrigins": ["https://a.example"]}
    )
    found = edge.api.get_api(ApiId=twin["ApiId"])
    assert (found["Description"], found["CorsConfiguration"], found["Tags"]) == (
        "second",
        {"AllowOrigins": ["https://a.example"]},
        {"a": "b"},
    )
    assert (
        code(edge.api.update_api, ApiId=api, CorsConfiguration={"AllowOrigins": ["*"], "AllowCredentials": True})
        == "BadRequestException"
    )
    edge.api.delete_api(ApiId=twin["ApiId"])
    assert refused(edge.api.get_api, ApiId=twin["ApiId"])[:2] == ("NotFoundException", 404)


def test_lists_are_paged(edge) -> None:
    """A page has 25 items by default. As on AWS, a caller that reads only one page misses the rest."""
    made = {edge.api.create_api(Name=f"page-{number}", ProtocolType="HTTP")["ApiId"] for number in range(27)}
    first = edge.api.get_apis()
    assert len(first["Items"]) == 25
    found = {
        item["ApiId"]
        for page in edge.api.get_paginator("get_apis").paginate(PaginationConfig={"PageSize": 10})
        for item in page["Items"]
    }
    assert made <= found
    assert code(edge.api.get_apis, NextToken="x") == "BadRequestException"
    for api in made:
        edge.api.delete_api(ApiId=api)


def test_a_route_key_is_used_once(edge, api) -> None:
    """A duplicate key is a conflict, on update too. A malformed key and a missing target are refused."""
    made = edge.api.create_route(ApiId=api, RouteKey="POST /predict")
    assert refused(edge.api.create_route, ApiId=api, RouteKey="POST /predict")[:2] == ("ConflictException", 409)
    other = edge.api.create_route(ApiId=api, RouteKey="GET /livez")["RouteId"]
    assert code(edge.api.update_route, ApiId=api, RouteId=other, RouteKey="POST /predict") == "ConflictException"
    edge.api.update_route(ApiId=api, RouteId=made["RouteId"], RouteKey="POST /predict", OperationName="predict")
    assert code(edge.api.create_route, ApiId=api, RouteKey="post /predict") == "BadRequestException"
    assert (
        code(edge.api.create_route, ApiId=api, RouteKey="GET /x", Target="integrations/nothing") == "NotFoundException"
    )
    edge.api.delete_route(ApiId=api, RouteId=other)
    assert [route["RouteKey"] for route in edge.api.get_routes(ApiId=api)["Items"]] == ["POST /predict"]
    assert code(edge.api.delete_route, ApiId=api, RouteId=other) == "NotFoundException"


@pytest.mark.parametrize(
    "settings",
    [
        {"ConnectionId": "nolink"},
        {"IntegrationUri": "http://internal.example"},
        {"IntegrationUri": "arn:aws:servicediscovery:us-east-1:123456789012:service/srv-nothing"},
        {"IntegrationUri": "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/a/b/c"},
        {"PayloadFormatVersion": "2.0"},
        {"TimeoutInMillis": 30_001},
        {"IntegrationType": "MOCK"},
        {"IntegrationMethod": "FETCH"},
        {"RequestParameters": {"overwrite:header.authorization": "x"}},
        {"ResponseParameters": {"200": {"overwrite:path": "/"}}},
    ],
)
def test_invalid_integrations_are_refused(edge, api, settings) -> None:
    """Links, targets, formats, timeouts and mappings are checked before anything is created."""
    arn = edge.service()["Arn"]
    with pytest.raises(ClientError, match="BadRequestException"):
        edge.integrate(api, arn, **settings)
    assert edge.api.get_integrations(ApiId=api)["Items"] == []


def test_a_load_balancer_listener_is_a_target(edge, embedded_aws, api) -> None:
    """An integration may target a load balancer's listener."""
    balancers = embedded_aws.client("elbv2")
    subnets = [subnet["SubnetId"] for subnet in embedded_aws.client("ec2").describe_subnets()["Subnets"]][:2]
    balancer = balancers.create_load_balancer(Name="shared", Subnets=subnets, Scheme="internal")["LoadBalancers"][0]
    fixed = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    listener = balancers.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=fixed
    )
    edge.integrate(api, listener["Listeners"][0]["ListenerArn"])


def test_an_integration_is_kept_as_given(edge, api) -> None:
    """Defaults are added, mappings are merged, and an empty value removes a mapping."""
    service = edge.service()["Arn"]
    made = edge.integrate(api, service, RequestParameters={"overwrite:path": "$request.path", "append:header.a": "1"})
    edge.api.update_integration(
        ApiId=api,
        IntegrationId=made,
        RequestParameters={"append:header.a": "", "append:header.b": "2"},
        TimeoutInMillis=5000,
    )
    found = edge.api.get_integration(ApiId=api, IntegrationId=made)
    assert found["RequestParameters"] == {"overwrite:path": "$request.path", "append:header.b": "2"}
    assert (found["TimeoutInMillis"], found["ConnectionType"], found["IntegrationUri"]) == (5000, "VPC_LINK", service)
    assert (
        code(edge.api.update_integration, ApiId=api, IntegrationId=made, ConnectionId="nolink") == "BadRequestException"
    )
    assert edge.api.get_integration(ApiId=api, IntegrationId=made)["ConnectionId"] == edge.link


def test_referenced_resources_are_not_deleted(edge, embedded_aws) -> None:
    """Route, integration and link are deleted in this order: each is refused while the one before refers to it."""
    subnet = embedded_aws.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    link = edge.api.create_vpc_link(Name="own", SubnetIds=[subnet])["VpcLinkId"]
    api, _, _ = edge.expose(ConnectionId=link, routes=("GET /a",))
    integration = edge.api.get_integrations(ApiId=api)["Items"][0]["IntegrationId"]
    route = edge.api.get_routes(ApiId=api)["Items"][0]["RouteId"]
    error, status, message = refused(edge.api.delete_vpc_link, VpcLinkId=link)
    assert (error, status) == ("BadRequestException", 400)
    assert f"[GET:{route}]" in message
    error, status, message = refused(edge.api.delete_integration, ApiId=api, IntegrationId=integration)
    assert (error, status) == ("ConflictException", 409)
    assert route in message
    edge.api.delete_route(ApiId=api, RouteId=route)
    edge.api.delete_integration(ApiId=api, IntegrationId=integration)
    edge.api.delete_vpc_link(VpcLinkId=link)
    assert edge.api.get_vpc_link(VpcLinkId=link)["VpcLinkStatus"] == "DELETING"
    until(lambda: link not in {item["VpcLinkId"] for item in edge.api.get_vpc_links()["Items"]})
    assert code(edge.api.get_vpc_link, VpcLinkId=link) == "NotFoundException"


def test_a_region_takes_ten_vpc_links(edge, embedded_aws) -> None:
    """The eleventh link is refused, subnets and groups must exist, and only the name of a link can change."""
    subnet = embedded_aws.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    assert code(edge.api.create_vpc_link, Name="x", SubnetIds=["subnet-12345678"]) == "BadRequestException"
    assert (
        code(edge.api.create_vpc_link, Name="x", SubnetIds=[subnet], SecurityGroupIds=["sg-12345678"])
        == "BadRequestException"
    )
    made = [
        edge.api.create_vpc_link(Name="x", SubnetIds=[subnet])
        for _ in range(10 - len(edge.api.get_vpc_links()["Items"]))
    ]
    assert {link["VpcLinkStatus"] for link in made} == {"PENDING"}
    assert refused(edge.api.create_vpc_link, Name="x", SubnetIds=[subnet])[:2] == ("TooManyRequestsException", 429)
    assert edge.api.update_vpc_link(VpcLinkId=made[0]["VpcLinkId"], Name="renamed")["Name"] == "renamed"
    for link in made:
        edge.api.delete_vpc_link(VpcLinkId=link["VpcLinkId"])
    until(lambda: len(edge.api.get_vpc_links()["Items"]) == 1)


def test_a_stage_is_made_once_and_updated(edge, api) -> None:
    """Duplicates and invalid names are refused. An update keeps the settings that it doesn't name."""
    edge.api.create_stage(
        ApiId=api,
        StageName="$default",
        AutoDeploy=True,
        DefaultRouteSettings={"ThrottlingRateLimit": 5.0, "ThrottlingBurstLimit": 9},
    )
    assert refused(edge.api.create_stage, ApiId=api, StageName="$default")[:2] == ("ConflictException", 409)
    assert code(edge.api.create_stage, ApiId=api, StageName="no spaces") == "BadRequestException"
    edge.api.update_stage(
        ApiId=api, StageName="$default", DefaultRouteSettings={"ThrottlingBurstLimit": 7}, StageVariables={"a": "b"}
    )
    found = edge.api.get_stage(ApiId=api, StageName="$default")
    assert found["DefaultRouteSettings"] == {
        "DetailedMetricsEnabled": False,
        "ThrottlingRateLimit": 5.0,
        "ThrottlingBurstLimit": 7,
    }
    assert (found["StageVariables"], found["AutoDeploy"]) == ({"a": "b"}, True)
    assert (
        code(
            edge.api.update_stage,
            ApiId=api,
            StageName="$default",
            RouteSettings={"GET /x": {"ThrottlingBurstLimit": 1}},
        )
        == "NotFoundException"
    )
    edge.api.delete_stage(ApiId=api, StageName="$default")
    assert edge.api.get_stages(ApiId=api)["Items"] == []


def test_automatic_and_manual_deployments_exclude_one_another(edge, api) -> None:
    """A stage with automatic deployment takes no manual deployment. A deployment in use can't be deleted."""
    edge.api.create_stage(ApiId=api, StageName="auto", AutoDeploy=True)
    assert code(edge.api.create_deployment, ApiId=api, StageName="auto") == "BadRequestException"
    automatic = edge.api.get_stage(ApiId=api, StageName="auto")["DeploymentId"]
    assert edge.api.get_deployment(ApiId=api, DeploymentId=automatic)["AutoDeployed"] is True
    made = edge.api.create_deployment(ApiId=api, Description="by hand")
    assert made["DeploymentStatus"] == "DEPLOYED"
    edge.api.create_stage(ApiId=api, StageName="hand", DeploymentId=made["DeploymentId"])
    assert code(edge.api.delete_deployment, ApiId=api, DeploymentId=made["DeploymentId"]) == "BadRequestException"
    edge.api.delete_stage(ApiId=api, StageName="hand")
    edge.api.delete_deployment(ApiId=api, DeploymentId=made["DeploymentId"])
    assert (
        code(edge.api.create_stage, ApiId=api, StageName="hand", DeploymentId=made["DeploymentId"])
        == "NotFoundException"
    )


def test_tags_are_on_apis_stages_and_links_only(edge, api) -> None:
    """APIs, stages and links are tagged and untagged by ARN. Routes and keys with AWS's own prefix are refused."""
    edge.api.create_stage(ApiId=api, StageName="$default", Tags={"first": "1"})
    root = "arn:aws:apigateway:us-east-1::"
    for path in (f"/apis/{api}", f"/apis/{api}/stages/$default", f"/vpclinks/{edge.link}"):
        edge.api.tag_resource(ResourceArn=root + path, Tags={"owner": "moorage", "gone": "soon"})
        edge.api.untag_resource(ResourceArn=root + path, TagKeys=["gone", "first"])
        assert edge.api.get_tags(ResourceArn=root + path)["Tags"] == {"owner": "moorage"}
    assert edge.api.get_api(ApiId=api)["Tags"] == {"owner": "moorage"}
    route = edge.api.create_route(ApiId=api, RouteKey="GET /x")["RouteId"]
    assert code(edge.api.get_tags, ResourceArn=f"{root}/apis/{api}/routes/{route}") == "BadRequestException"
    assert code(edge.api.get_tags, ResourceArn=f"{root}/apis/nothing") == "NotFoundException"
    assert code(edge.api.tag_resource, ResourceArn=f"{root}/apis/{api}", Tags={"aws:x": "1"}) == "BadRequestException"


def test_regions_are_isolated(edge, embedded_aws, api) -> None:
    """An API of one Region doesn't exist in another."""
    elsewhere = embedded_aws.session.client("apigatewayv2", region_name="eu-west-1", endpoint_url=embedded_aws.endpoint)
    assert code(elsewhere.get_api, ApiId=api) == "NotFoundException"
    assert elsewhere.get_apis()["Items"] == []


def test_unsupported_features_answer_501(edge, api) -> None:
    """Authorizers and web socket APIs answer 501, because accepting them without effect would be wrong."""
    arguments = {
        "ApiId": api,
        "AuthorizerType": "JWT",
        "IdentitySource": ["$request.header.Authorization"],
        "Name": "a",
    }
    assert refused(edge.api.create_authorizer, **arguments)[:2] == ("NotImplemented", 501)
    assert refused(edge.api.create_route, ApiId=api, RouteKey="GET /x", AuthorizationType="JWT")[:2] == (
        "NotImplemented",
        501,
    )
    assert refused(edge.api.create_api, Name="x", ProtocolType="WEBSOCKET")[:2] == ("NotImplemented", 501)
