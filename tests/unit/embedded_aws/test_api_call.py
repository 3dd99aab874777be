"""Parse a request into a call, and serialize a result into a response, without a server."""

from __future__ import annotations

import json

import pytest
from botocore.awsrequest import AWSRequest
from botocore.serialize import create_serializer
from botocore.session import Session

from embedded_aws.api_call import ApiCall, ApiError, identify_operation
from embedded_aws.constraints import validate_input
from embedded_aws.strict.paging import build_page

SCOPE = "AKIAIOSFODNN7EXAMPLE/20260101/eu-west-1/{}/aws4_request"


def call(service: str, method: str = "POST", target: str = "/", body: bytes = b"", **headers: str) -> ApiCall:
    signed = ("Authorization", f"AWS4-HMAC-SHA256 Credential={SCOPE.format(service)}, SignedHeaders=host, Signature=x")
    made = ApiCall(
        method,
        target,
        [signed, *((k.replace("_", "-"), v) for k, v in headers.items())],
        body,
        "123456789012",
        "us-east-1",
    )
    identify_operation(made)
    return made


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (call("ecs", X_Amz_Target="AmazonEC2ContainerServiceV20141113.CreateService"), "ecs.CreateService"),
        (
            call("iam", body=b"Action=GetRole&RoleName=a", Content_Type="application/x-www-form-urlencoded"),
            "iam.GetRole",
        ),
        (
            call("elasticloadbalancing", body=b"Action=CreateRule", Content_Type="application/x-www-form-urlencoded"),
            "elbv2.CreateRule",
        ),
        (call("apigateway", "GET", "/v2/apis/abc"), "apigatewayv2.GetApi"),
        (call("apigateway", "GET", "/restapis"), "apigateway.GetRestApis"),
        (call("s3", "PUT", "/bucket/a%20b?partNumber=1&uploadId=x"), "s3.UploadPart"),
        (call("nonsense"), "."),
        (ApiCall("GET", "/", [], b"", "123456789012", "us-east-1"), "."),
    ],
)
def test_the_operation_is_identified_in_each_protocol(made, name) -> None:
    """The target header, the form or the path names the operation. An unknown operation has an empty name."""
    assert made.name == name


def test_the_region_comes_from_the_signature() -> None:
    """A call goes to the Region of its signature, also in a presigned URL."""
    assert call("ecs", X_Amz_Target="x.ListClusters").region == "eu-west-1"
    presigned = ApiCall(
        "GET", f"/bucket/key?X-Amz-Credential={SCOPE.format('s3')}", [], b"", "123456789012", "us-east-1"
    )
    identify_operation(presigned)
    assert (presigned.region, presigned.name) == ("eu-west-1", "s3.GetObject")


@pytest.mark.parametrize(
    ("service", "operation", "given"),
    [
        ("sagemaker", "StopTrainingJob", {"TrainingJobName": "a"}),
        (
            "iam",
            "CreateRole",
            {"RoleName": "a", "AssumeRolePolicyDocument": "{}", "Tags": [{"Key": "k", "Value": "v"}]},
        ),
        ("apigatewayv2", "UpdateRoute", {"ApiId": "a", "RouteId": "b", "Target": "integrations/c"}),
        ("ec2", "CreateSecurityGroup", {"GroupName": "a", "Description": "b", "VpcId": "vpc-1"}),
    ],
)
def test_parameters_are_parsed_into_botocores_shape(service, operation, given) -> None:
    """Parameters that botocore writes in each protocol are parsed back into botocore's shape."""
    model = Session().get_service_model(service)
    wire = create_serializer(model.metadata["protocol"]).serialize_to_request(given, model.operation_model(operation))
    prepared = AWSRequest(
        wire["method"], "http://127.0.0.1" + wire["url_path"], wire["headers"], wire["body"]
    ).prepare()
    body = prepared.body or b""
    body = body.encode() if isinstance(body, str) else body
    headers = {
        name.replace("-", "_"): value.decode() if isinstance(value, bytes) else value
        for name, value in prepared.headers.items()
    }
    made = call(model.signing_name, wire["method"], wire["url_path"], body, **headers)
    assert made.name == f"{service}.{operation}"
    assert made.params == given


@pytest.mark.parametrize(
    ("service", "code", "status", "words"),
    [
        ("sagemaker", "ResourceInUse", 400, b'"__type": "ResourceInUse"'),
        ("apigatewayv2", "NotFoundException", 404, b"NotFoundException"),
        ("iam", "NoSuchEntity", 404, b"<Code>NoSuchEntity</Code>"),
        ("ec2", "InvalidGroup.NotFound", 400, b"<Code>InvalidGroup.NotFound</Code>"),
        ("s3", "BadDigest", 400, b"<Code>BadDigest</Code>"),
    ],
)
def test_errors_use_the_services_own_protocol(service, code, status, words) -> None:
    """Each protocol has its own error format, with the status that the service's model gives the code."""
    made = call(service)
    made.service = service
    answer = made.build_error(code, "why")
    assert answer.status == status
    assert words in answer.body + str(answer.headers).encode()


def test_constraints_report_every_invalid_member() -> None:
    """Violations of pattern, enumeration, range and length, at any depth, are reported at once.

    A valid request passes.
    """

    def create(**changes) -> ApiCall:
        request = {
            "TrainingJobName": "a",
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        } | changes
        return call("sagemaker", body=json.dumps(request).encode(), X_Amz_Target="SageMaker.CreateTrainingJob")

    validate_input(create())
    with pytest.raises(ApiError) as caught:
        validate_input(
            create(
                TrainingJobName="_",
                ResourceConfig={"InstanceType": "big", "InstanceCount": -1},
                HyperParameters={"a" * 300: "1"},
            )
        )
    assert caught.value.message.startswith("4 validation errors detected")
    for words in (
        "'trainingJobName' failed",
        "'resourceConfig.instanceType' failed",
        "greater than or equal to 0",
        "'hyperParameters' failed",
    ):
        assert words in caught.value.message


def test_page_tokens_lead_through_all_items_once() -> None:
    """Tokens lead through all items once, the last page has no token, and an unknown token is refused."""
    seen, token = [], {}
    while True:
        got = build_page(list(range(5)), {"MaxResults": 2} | token, "Items", 10)
        seen += got["Items"]
        if "NextToken" not in got:
            break
        token = {"NextToken": got["NextToken"]}
    assert seen == [0, 1, 2, 3, 4]
    with pytest.raises(ApiError, match="NextToken"):
        build_page([1], {"NextToken": "?"}, "Items", 10)
