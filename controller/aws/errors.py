"""Map botocore's exceptions to `controller.errors`, in this module only.

AWS reports the same error with hundreds of codes, and some codes (`ValidationException`, `InvalidParameterException`,
`ClientException`) cover many errors that only the message distinguishes. The first rule of `RULES` that matches
decides; without a match the HTTP status decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from controller.aws.calls import AwsCall
from controller.aws.log import redact_text
from controller.errors import (
    AnswerLostError,
    AwsError,
    ConflictError,
    CredentialsError,
    DeniedError,
    MissingError,
    MoorageError,
    NotReadyError,
    QuotaError,
    RejectedError,
    ThrottledError,
    UnavailableError,
)


@dataclass(frozen=True)
class ErrorRule:
    """Which responses `error` stands for. An empty `service` means all; both patterns are searched, case ignored."""

    error: type[AwsError | CredentialsError]
    code: str
    message: str = ""
    service: str = ""

    def matches(self, service: str, code: str, message: str) -> bool:
        """Return whether a response of this service matches the rule."""
        return (
            self.service in ("", service)
            and re.search(self.code, code, re.IGNORECASE) is not None
            and re.search(self.message, message, re.IGNORECASE) is not None
        )


# Codes that decide whatever the message says.
_AMBIGUOUS_CODES = (
    r"^(ValidationError|ValidationException|InvalidParameter\w*|ClientException|BadRequestException|InvalidRequest\w*)$"
)

ERROR_RULES: tuple[ErrorRule, ...] = (
    # Credentials.
    ErrorRule(CredentialsError, r"^(ExpiredToken(Exception)?|TokenRefreshRequired|RequestExpired|InvalidToken)$"),
    ErrorRule(CredentialsError, r"^(InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId|AuthFailure)$"),
    ErrorRule(
        CredentialsError, r"^(SignatureDoesNotMatch|InvalidSignature(Exception)?|IncompleteSignature(Exception)?)$"
    ),
    ErrorRule(CredentialsError, r"^(MissingAuthenticationToken(Exception)?|RequestTimeTooSkewed)$"),
    # Rate.
    ErrorRule(ThrottledError, r"^(Request)?(Throttl(ing|ed)|EC2Throttled)(Exception)?$"),
    ErrorRule(ThrottledError, r"^(TooManyRequests(Exception)?|RequestLimitExceeded|BandwidthLimitExceeded|SlowDown)$"),
    ErrorRule(ThrottledError, r"", r"\brate exceeded\b"),
    ErrorRule(ThrottledError, r"^ClientException$", r"too many concurrent attempts", service="ecs"),
    # A new role that IAM hasn't propagated through the Region yet (up to two minutes), named in another service's
    # request.
    ErrorRule(NotReadyError, r"", r"(unable to|could not|cannot|can't) assume (the |this )?(service linked )?role"),
    ErrorRule(NotReadyError, r"^MalformedPolicy", r"invalid principal"),
    # RegisterTaskDefinition with a role that was just created:
    # https://github.com/bradford-hamilton/terraform-ecs-fargate/issues/8
    ErrorRule(NotReadyError, r"^ClientException$", r"role is not valid", service="ecs"),
    # A service of that name that is still draining; a target group that no listener uses yet.
    ErrorRule(NotReadyError, r"", r"still draining"),
    ErrorRule(NotReadyError, r"^ServiceNotActiveException$"),
    ErrorRule(NotReadyError, r"", r"does not have an associated load balancer"),
    # Quota. botocore retries LimitExceededException, yet for ECR, ECS, IAM and logs it is a hard quota.
    ErrorRule(QuotaError, r"LimitExceeded|QuotaExceeded|LimitReached|^TooMany"),
    ErrorRule(
        QuotaError, _AMBIGUOUS_CODES, r"(reached|exceed\w*) (the |your )?(\w+ ){0,3}(limit|quota|maximum number)"
    ),
    # It exists already, or is in use. S3 answers 412 for a lost race, 409 for a concurrent one; the code is kept.
    ErrorRule(
        ConflictError, r"AlreadyExists|AlreadyOwned|Duplicate|^(ResourceInUse|DependencyViolation|DeleteConflict)"
    ),
    ErrorRule(ConflictError, r"^(PreconditionFailed|ConditionalRequestConflict|OperationAborted\w*|412|409)$"),
    ErrorRule(ConflictError, r"Conflict(Exception)?$|InUse(Exception)?$|NotEmpty(Exception)?$|^ConcurrentModification"),
    ErrorRule(ConflictError, r"^ClusterContains\w+Exception$|^UpdateInProgressException$"),
    ErrorRule(
        ConflictError,
        _AMBIGUOUS_CODES,
        r"already exists|must be unique|not idempotent|still (in use|referenced|attached)",
    ),
    # It doesn't exist.
    ErrorRule(MissingError, r"NotFound|^NoSuch|DoesNotExist|^404$"),
    ErrorRule(
        MissingError,
        _AMBIGUOUS_CODES,
        r"does not exist|could not find|not found|unable to (find|describe)|cannot be found",
    ),
    ErrorRule(MissingError, _AMBIGUOUS_CODES, r"cluster is inactive", service="ecs"),
    # A permission.
    ErrorRule(DeniedError, r"^(AccessDenied|Unauthorized|NotAuthorized|Authorization|Forbidden|OptInRequired|403$)"),
    # The request.
    ErrorRule(RejectedError, r"^NotImplemented|^UnknownOperation|^InvalidAction$"),
)

_MESSAGES: dict[type[MoorageError], tuple[str, str]] = {
    CredentialsError: ("AWS does not accept the credentials", "renew them, or choose another profile"),
    ThrottledError: ("AWS asks to slow down", ""),
    UnavailableError: ("AWS can't be reached or failed", ""),
    AnswerLostError: (
        "no clear response came back, so the call may or may not have been executed",
        "check its effect before you send it again",
    ),
    NotReadyError: ("something this depends on isn't ready yet", ""),
    MissingError: ("it isn't there", ""),
    ConflictError: ("it exists already or is in use", ""),
    DeniedError: ("a permission is missing", "`moorage policy` prints the permissions that are needed"),
    QuotaError: ("a quota of the account is used up", "raise it in Service Quotas, or remove what is no longer used"),
    RejectedError: ("AWS refuses the request", ""),
}

# Raised before anything is sent.
_NO_CREDENTIALS = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.TokenRetrievalError,
    botocore.NoAuthTokenError,
    botocore.SSOError,
    botocore.LoginError,
    botocore.MetadataRetrievalError,
    botocore.RefreshWithMFAUnsupportedError,
    botocore.UnknownCredentialError,
    botocore.InvalidConfigError,
    botocore.ProfileNotFound,
    botocore.ConfigParseError,
    botocore.ConfigNotFound,
)
_SIGN_IN = "sign in, or choose a profile with AWS_PROFILE; --local needs none"
_NEVER_SENT = (botocore.EndpointConnectionError, botocore.ConnectTimeoutError, botocore.ProxyConnectionError)
# Raised while sending or while reading the response.
_CUT_OFF = (
    botocore.HTTPClientError,
    botocore.IncompleteReadError,
    botocore.ChecksumError,
    botocore.FlexibleChecksumError,
    ResponseParserError,
)

BOTOCORE_ERRORS = (botocore.BotoCoreError, botocore.ClientError, ResponseParserError)


def map_error(error: Exception, call: AwsCall) -> MoorageError:
    """Convert what botocore raised during `call` into an AwsError or a CredentialsError."""
    if isinstance(error, botocore.ClientError):
        return _map_client_error(error, call)
    if isinstance(error, _NO_CREDENTIALS):
        return CredentialsError("no AWS credentials to use", why=redact_text(str(error)), hint=_SIGN_IN)
    return _make_error(_error_type_without_response(error, call), call, str(error))


def _map_client_error(error: botocore.ClientError, call: AwsCall) -> MoorageError:
    detail = error.response.get("Error", {})
    code, message = str(detail.get("Code", "")), str(detail.get("Message", ""))
    if error.operation_name == "AssumeRole" and call.operation != "assume_role":
        return _make_error(
            CredentialsError, call, f"{code}: {message}"
        )  # refreshing the assumed role's credentials failed
    for rule in ERROR_RULES:
        if rule.matches(call.service, code, message):
            return _make_error(rule.error, call, message, code)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return _make_error(_error_type_for_status(status, call), call, message, code)


def _error_type_for_status(status: int, call: AwsCall) -> type[AwsError]:
    if status == 429:
        return ThrottledError
    if status == 501:
        return RejectedError
    if status >= 500:
        return _lost_answer_error_type(call)
    return {401: DeniedError, 403: DeniedError, 404: MissingError, 409: ConflictError, 412: ConflictError}.get(
        status, RejectedError
    )


def _error_type_without_response(error: Exception, call: AwsCall) -> type[MoorageError]:
    if isinstance(error, _NEVER_SENT):
        return UnavailableError
    if isinstance(error, botocore.SSLError):
        return UnavailableError if "CERTIFICATE_VERIFY_FAILED" in str(error) else _lost_answer_error_type(call)
    if isinstance(error, _CUT_OFF):
        return _lost_answer_error_type(call)
    return RejectedError


def _lost_answer_error_type(call: AwsCall) -> type[AwsError]:
    return AnswerLostError if call.kind == "write" else UnavailableError


def _make_error(error_type: type[MoorageError], call: AwsCall, why: str, code: str = "") -> MoorageError:
    what, hint = _MESSAGES[error_type]
    why = redact_text(why.strip())
    if issubclass(error_type, AwsError):
        return error_type(what, where=call.name, why=f"{code}: {why}" if code else why, hint=hint, code=code)
    return error_type(what, where=call.name, why=f"{code}: {why}" if code else why, hint=hint)
