"""Every answer of AWS becomes one class of the tree, and every class of the tree has answers that become it."""

from __future__ import annotations

import pytest
from botocore import exceptions as botocore
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from controller import errors
from controller.aws.calls import AwsCall
from controller.aws.errors import ERROR_RULES, map_error

# service, code, message, status → class. Real answers of AWS, by its documentation and issue trackers.
ANSWERS = [
    ("ecs", "ThrottlingException", "Rate exceeded", 400, errors.ThrottledError),
    ("ecs", "ClientException", "Too many concurrent attempts to create a new revision of the specified family.", 400, errors.ThrottledError),
    ("ecs", "ClientException", "Rate exceeded", 400, errors.ThrottledError),
    ("apigatewayv2", "TooManyRequestsException", "Too Many Requests", 429, errors.ThrottledError),
    ("s3", "SlowDown", "Please reduce your request rate.", 503, errors.ThrottledError),
    ("ec2", "RequestLimitExceeded", "Request limit exceeded.", 503, errors.ThrottledError),
    ("servicediscovery", "RequestLimitExceeded", "", 400, errors.ThrottledError),
    ("x", "", "", 429, errors.ThrottledError),
    ("ecs", "InvalidParameterException", "ECS was unable to assume the role 'arn:aws:iam::1:role/r' that was provided for this task.", 400, errors.NotReadyError),
    ("ecs", "InvalidParameterException", "Unable to assume the service linked role. Please verify that the ECS service linked role exists.", 400, errors.NotReadyError),
    ("sagemaker", "ValidationException", "Could not assume role arn:aws:iam::1:role/r. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role.", 400, errors.NotReadyError),
    ("s3", "MalformedPolicy", "Invalid principal in policy", 400, errors.NotReadyError),
    ("ecs", "ClientException", "Role is not valid", 400, errors.NotReadyError),
    ("ecs", "InvalidParameterException", "Unable to Start a service that is still Draining.", 400, errors.NotReadyError),
    ("ecs", "ServiceNotActiveException", "Service was not ACTIVE.", 400, errors.NotReadyError),
    ("ecs", "InvalidParameterException", "The target group with targetGroupArn x does not have an associated load balancer.", 400, errors.NotReadyError),
    ("ecr", "LimitExceededException", "The repository limit was reached", 400, errors.QuotaError),
    ("ecs", "LimitExceededException", "", 400, errors.QuotaError),
    ("iam", "LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000", 409, errors.QuotaError),
    ("sagemaker", "ResourceLimitExceeded", "The account-level service limit 'ml.m5.large for training job usage' is 0 Instances", 400, errors.QuotaError),
    ("s3", "TooManyBuckets", "", 400, errors.QuotaError),
    ("ec2", "SecurityGroupLimitExceeded", "", 400, errors.QuotaError),
    ("apigatewayv2", "BadRequestException", "You have reached the maximum number of VpcLinks", 400, errors.QuotaError),
    ("elbv2", "TooManyTargetGroups", "", 400, errors.QuotaError),
    ("s3", "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412, errors.ConflictError),
    ("s3", "ConditionalRequestConflict", "", 409, errors.ConflictError),
    ("s3", "412", "Precondition Failed", 412, errors.ConflictError),
    ("s3", "BucketAlreadyOwnedByYou", "", 409, errors.ConflictError),
    ("s3", "BucketNotEmpty", "", 409, errors.ConflictError),
    ("s3", "OperationAborted", "A conflicting conditional operation is in progress", 409, errors.ConflictError),
    ("ecr", "RepositoryAlreadyExistsException", "", 400, errors.ConflictError),
    ("ecr", "RepositoryNotEmptyException", "", 400, errors.ConflictError),
    ("ecr", "ImageTagAlreadyExistsException", "", 400, errors.ConflictError),
    ("iam", "EntityAlreadyExists", "", 409, errors.ConflictError),
    ("iam", "DeleteConflict", "", 409, errors.ConflictError),
    ("iam", "ConcurrentModification", "", 409, errors.ConflictError),
    ("ec2", "InvalidGroup.Duplicate", "", 400, errors.ConflictError),
    ("ec2", "InvalidPermission.Duplicate", "", 400, errors.ConflictError),
    ("ec2", "DependencyViolation", "resource sg-1 has a dependent object", 400, errors.ConflictError),
    ("ecs", "ClusterContainsServicesException", "", 400, errors.ConflictError),
    ("ecs", "InvalidParameterException", "Creation of service was not idempotent.", 400, errors.ConflictError),
    ("ecs", "ConflictException", "", 400, errors.ConflictError),
    ("sagemaker", "ResourceInUse", "Training job names must be unique within an AWS account and region", 400, errors.ConflictError),
    ("sagemaker", "ValidationException", "Model Package Group already exists: arn", 400, errors.ConflictError),
    ("servicediscovery", "NamespaceAlreadyExists", "", 400, errors.ConflictError),
    ("servicediscovery", "ResourceInUse", "", 400, errors.ConflictError),
    ("servicediscovery", "DuplicateRequest", "", 400, errors.ConflictError),
    ("apigatewayv2", "ConflictException", "", 409, errors.ConflictError),
    ("logs", "ResourceAlreadyExistsException", "", 400, errors.ConflictError),
    ("ecs", "ClusterNotFoundException", "Cluster not found.", 400, errors.MissingError),
    ("ecs", "ServiceNotFoundException", "", 400, errors.MissingError),
    ("ecs", "ClientException", "Unable to describe task definition.", 400, errors.MissingError),
    ("ecs", "InvalidParameterException", "The specified cluster is inactive. Specify an active cluster and try again.", 400, errors.MissingError),
    ("ecr", "RepositoryNotFoundException", "", 400, errors.MissingError),
    ("ecr", "ImageNotFoundException", "", 400, errors.MissingError),
    ("iam", "NoSuchEntity", "The role with name x cannot be found.", 404, errors.MissingError),
    ("s3", "NoSuchBucket", "", 404, errors.MissingError),
    ("s3", "NoSuchBucketPolicy", "", 404, errors.MissingError),
    ("s3", "NoSuchPublicAccessBlockConfiguration", "", 404, errors.MissingError),
    ("s3", "ServerSideEncryptionConfigurationNotFoundError", "", 404, errors.MissingError),
    ("s3", "404", "Not Found", 404, errors.MissingError),
    ("sagemaker", "ValidationException", "Requested resource not found.", 400, errors.MissingError),
    ("sagemaker", "ValidationException", "Could not find requested job with name: x", 400, errors.MissingError),
    ("sagemaker", "ValidationException", "ModelPackageGroup arn:x does not exist.", 400, errors.MissingError),
    ("sagemaker", "ResourceNotFound", "", 400, errors.MissingError),
    ("logs", "ResourceNotFoundException", "", 400, errors.MissingError),
    ("ec2", "InvalidGroup.NotFound", "", 400, errors.MissingError),
    ("elbv2", "TargetGroupNotFound", "", 400, errors.MissingError),
    ("apigatewayv2", "NotFoundException", "", 404, errors.MissingError),
    ("x", "", "", 404, errors.MissingError),
    ("s3", "AccessDenied", "", 403, errors.DeniedError),
    ("s3", "403", "Forbidden", 403, errors.DeniedError),
    ("ecs", "AccessDeniedException", "User: x is not authorized to perform: iam:PassRole on resource: r", 400, errors.DeniedError),
    ("ec2", "UnauthorizedOperation", "", 403, errors.DeniedError),
    ("x", "", "", 401, errors.DeniedError),
    ("ecs", "InvalidParameterException", "Invalid 'cpu' setting for task.", 400, errors.RejectedError),
    ("iam", "MalformedPolicyDocument", "Syntax errors in policy.", 400, errors.RejectedError),
    ("x", "NotImplemented", "", 501, errors.RejectedError),
    ("ecs", "ExpiredTokenException", "The security token included in the request is expired", 400, errors.CredentialsError),
    ("ec2", "AuthFailure", "", 401, errors.CredentialsError),
    ("s3", "InvalidAccessKeyId", "", 403, errors.CredentialsError),
    ("sts", "InvalidClientTokenId", "", 403, errors.CredentialsError),
    ("s3", "SignatureDoesNotMatch", "", 403, errors.CredentialsError),
    ("s3", "RequestTimeTooSkewed", "", 403, errors.CredentialsError),
]  # fmt: skip


def client_error(code: str, message: str, status: int, operation: str = "Any") -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)


@pytest.mark.parametrize(("service", "code", "message", "status", "expected"), ANSWERS)
def test_each_aws_error_maps_to_one_class(service, code, message, status, expected):
    """By code, by message where the code is vague, by status where nothing else is known."""
    error = map_error(client_error(code, message, status), AwsCall("write", service, "do_it", {}))
    assert type(error) is expected
    assert error.where == f"{service}.do_it"
    if isinstance(error, errors.AwsError):
        assert error.code == code


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_5xx_is_lost_for_a_write_and_unavailable_for_a_read(status):
    """Only a write has an outcome to be unsure of."""
    error = client_error("InternalError", "oops", status)
    assert type(map_error(error, AwsCall("write", "ecs", "o", {}))) is errors.AnswerLostError
    assert type(map_error(error, AwsCall("read", "ecs", "o", {}))) is errors.UnavailableError


UNANSWERED = [
    (botocore.EndpointConnectionError(endpoint_url="u"), errors.UnavailableError, errors.UnavailableError),
    (botocore.ConnectTimeoutError(endpoint_url="u"), errors.UnavailableError, errors.UnavailableError),
    (botocore.ProxyConnectionError(proxy_url="u"), errors.UnavailableError, errors.UnavailableError),
    (botocore.SSLError(endpoint_url="u", error="CERTIFICATE_VERIFY_FAILED"), errors.UnavailableError, errors.UnavailableError),
    (botocore.SSLError(endpoint_url="u", error="bad record mac"), errors.UnavailableError, errors.AnswerLostError),
    (botocore.ReadTimeoutError(endpoint_url="u"), errors.UnavailableError, errors.AnswerLostError),
    (botocore.ConnectionClosedError(endpoint_url="u"), errors.UnavailableError, errors.AnswerLostError),
    (botocore.HTTPClientError(error="e"), errors.UnavailableError, errors.AnswerLostError),
    (botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2), errors.UnavailableError, errors.AnswerLostError),
    (ResponseParserError("no XML"), errors.UnavailableError, errors.AnswerLostError),
    (botocore.NoCredentialsError(), errors.CredentialsError, errors.CredentialsError),
    (botocore.PartialCredentialsError(provider="env", cred_var="x"), errors.CredentialsError, errors.CredentialsError),
    (botocore.ProfileNotFound(profile="p"), errors.CredentialsError, errors.CredentialsError),
    (botocore.UnauthorizedSSOTokenError(), errors.CredentialsError, errors.CredentialsError),
    (botocore.ParamValidationError(report="r"), errors.RejectedError, errors.RejectedError),
    (botocore.UnknownServiceError(service_name="s", known_service_names="k"), errors.RejectedError, errors.RejectedError),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "reading", "writing"), UNANSWERED, ids=lambda value: getattr(value, "__name__", None)
)
def test_each_botocore_error_maps_to_one_class(error, reading, writing):
    """What was certainly never sent is unavailable; what may have arrived is lost, for a write."""
    assert type(map_error(error, AwsCall("read", "ecs", "o", {}))) is reading
    assert type(map_error(error, AwsCall("write", "ecs", "o", {}))) is writing


def test_without_credentials_nothing_was_refused():
    """Nothing was asked yet: the error says that there are none, not that AWS doesn't take them, and how to
    get some.
    """
    text = str(map_error(botocore.NoCredentialsError(), AwsCall("read", "sts", "get_caller_identity", {})))
    assert text.startswith("no AWS credentials to use: Unable to locate credentials")
    assert "AWS_PROFILE" in text
    assert "sts" not in text


def test_every_error_class_is_reachable():
    """A class that no answer becomes would be dead; a new one must get its answers above."""
    reached = {answer[-1] for answer in ANSWERS} | {kind for row in UNANSWERED for kind in row[1:]}
    assert reached >= {*errors.AwsError.__subclasses__(), errors.CredentialsError}


def test_every_mapping_rule_is_needed():
    """A rule that no answer above needs, or that an earlier rule shadows, is noise."""
    deciding = {
        next((rule for rule in ERROR_RULES if rule.matches(service, code, message)), None)
        for service, code, message, _, _ in ANSWERS
    }
    assert [rule for rule in ERROR_RULES if rule not in deciding] == []


def test_a_refused_assume_role_is_about_credentials():
    """The refusal comes in the middle of another call, whose resource it says nothing about."""
    error = client_error("AccessDenied", "User: x is not authorized to perform: sts:AssumeRole", 403, "AssumeRole")
    assert type(map_error(error, AwsCall("read", "ecs", "list_clusters", {}))) is errors.CredentialsError


def test_messages_are_redacted():
    """AWS repeats what it was sent; key ids and session tokens don't get into our errors."""
    text = str(map_error(client_error("Any", "bad key AKIAIOSFODNN7EXAMPLE", 400), AwsCall("read", "s3", "o", {})))
    assert "AKIAIOSFODNN7EXAMPLE" not in text
    assert "s3.o" in text
