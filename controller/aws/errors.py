"""The one place that turns botocore's exceptions into `controller.errors`.

AWS says the same thing with hundreds of codes, and some codes (`ValidationException`, `InvalidParameterException`,
`ClientException`) say many things that only the message tells apart. `RULES` is read from the top; the first rule
that matches decides. What no rule knows is decided by the HTTP status.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from controller.aws.calls import Call
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
class Rule:
    """Which answers belong to `error`. `service` is empty for all; both patterns are searched, case ignored."""

    error: type[AwsError | CredentialsError]
    code: str
    message: str = ""
    service: str = ""

    def matches(self, service: str, code: str, message: str) -> bool:
        """Tell whether this answer of this service falls under the rule."""
        return (
            self.service in ("", service)
            and re.search(self.code, code, re.IGNORECASE) is not None
            and re.search(self.message, message, re.IGNORECASE) is not None
        )


# Codes that stand for whatever the message says.
_VAGUE = (
    r"^(ValidationError|ValidationException|InvalidParameter\w*|ClientException|BadRequestException|InvalidRequest\w*)$"
)

RULES: tuple[Rule, ...] = (
    # Who asks.
    Rule(CredentialsError, r"^(ExpiredToken(Exception)?|TokenRefreshRequired|RequestExpired|InvalidToken)$"),
    Rule(CredentialsError, r"^(InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId|AuthFailure)$"),
    Rule(CredentialsError, r"^(SignatureDoesNotMatch|InvalidSignature(Exception)?|IncompleteSignature(Exception)?)$"),
    Rule(CredentialsError, r"^(MissingAuthenticationToken(Exception)?|RequestTimeTooSkewed)$"),
    # How fast.
    Rule(ThrottledError, r"^(Request)?(Throttl(ing|ed)|EC2Throttled)(Exception)?$"),
    Rule(ThrottledError, r"^(TooManyRequests(Exception)?|RequestLimitExceeded|BandwidthLimitExceeded|SlowDown)$"),
    Rule(ThrottledError, r"", r"\brate exceeded\b"),
    Rule(ThrottledError, r"^ClientException$", r"too many concurrent attempts", service="ecs"),
    # A role that IAM still spreads over the region (up to two minutes), named in somebody else's request.
    Rule(NotReadyError, r"", r"(unable to|could not|cannot|can't) assume (the |this )?(service linked )?role"),
    Rule(NotReadyError, r"^MalformedPolicy", r"invalid principal"),
    # RegisterTaskDefinition, of a role that was just made: https://github.com/bradford-hamilton/terraform-ecs-fargate/issues/8
    Rule(NotReadyError, r"^ClientException$", r"role is not valid", service="ecs"),
    # A service of that name that still drains; a target group no listener uses yet.
    Rule(NotReadyError, r"", r"still draining"),
    Rule(NotReadyError, r"^ServiceNotActiveException$"),
    Rule(NotReadyError, r"", r"does not have an associated load balancer"),
    # How much. botocore repeats LimitExceededException, yet for ECR, ECS, IAM and logs it is a hard quota.
    Rule(QuotaError, r"LimitExceeded|QuotaExceeded|LimitReached|^TooMany"),
    Rule(QuotaError, _VAGUE, r"(reached|exceed\w*) (the |your )?(\w+ ){0,3}(limit|quota|maximum number)"),
    # It is there already, or in use. S3 answers 412 for a lost race, 409 for a concurrent one; the code is kept.
    Rule(ConflictError, r"AlreadyExists|AlreadyOwned|Duplicate|^(ResourceInUse|DependencyViolation|DeleteConflict)"),
    Rule(ConflictError, r"^(PreconditionFailed|ConditionalRequestConflict|OperationAborted\w*|412|409)$"),
    Rule(ConflictError, r"Conflict(Exception)?$|InUse(Exception)?$|NotEmpty(Exception)?$|^ConcurrentModification"),
    Rule(ConflictError, r"^ClusterContains\w+Exception$|^UpdateInProgressException$"),
    Rule(ConflictError, _VAGUE, r"already exists|must be unique|not idempotent|still (in use|referenced|attached)"),
    # It isn't there.
    Rule(MissingError, r"NotFound|^NoSuch|DoesNotExist|^404$"),
    Rule(MissingError, _VAGUE, r"does not exist|could not find|not found|unable to (find|describe)|cannot be found"),
    Rule(MissingError, _VAGUE, r"cluster is inactive", service="ecs"),
    # A permission.
    Rule(DeniedError, r"^(AccessDenied|Unauthorized|NotAuthorized|Authorization|Forbidden|OptInRequired|403$)"),
    # The request.
    Rule(RejectedError, r"^NotImplemented|^UnknownOperation|^InvalidAction$"),
)

_SAYS: dict[type[MoorageError], tuple[str, str]] = {
    CredentialsError: ("AWS does not accept the credentials", "renew them, or choose another profile"),
    ThrottledError: ("AWS asks to slow down", ""),
    UnavailableError: ("AWS can't be reached or failed", ""),
    AnswerLostError: ("no clear answer came back, so it may or may not have happened", "look before sending it again"),
    NotReadyError: ("something this depends on isn't ready yet", ""),
    MissingError: ("it isn't there", ""),
    ConflictError: ("it exists already or is in use", ""),
    DeniedError: ("a permission is missing", "`moorage policy` prints what is needed"),
    QuotaError: ("a quota of the account is used up", "raise it in Service Quotas, or remove what is no longer used"),
    RejectedError: ("AWS refuses the request", ""),
}

# Raised before anything was sent.
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
# Raised while sending or while reading the answer.
_CUT_OFF = (
    botocore.HTTPClientError,
    botocore.IncompleteReadError,
    botocore.ChecksumError,
    botocore.FlexibleChecksumError,
    ResponseParserError,
)

BOTOCORE_ERRORS = (botocore.BotoCoreError, botocore.ClientError, ResponseParserError)


def mapped(error: Exception, call: Call) -> MoorageError:
    """Turn what botocore raised during `call` into one of ours: an AwsError, or a CredentialsError."""
    if isinstance(error, botocore.ClientError):
        return _answered(error, call)
    if isinstance(error, _NO_CREDENTIALS):
        return CredentialsError("no AWS credentials to use", why=redact_text(str(error)), hint=_SIGN_IN)
    return _say(_unanswered(error, call), call, str(error))


def _answered(error: botocore.ClientError, call: Call) -> MoorageError:
    detail = error.response.get("Error", {})
    code, message = str(detail.get("Code", "")), str(detail.get("Message", ""))
    if error.operation_name == "AssumeRole" and call.operation != "assume_role":
        return _say(CredentialsError, call, f"{code}: {message}")  # refreshing the assumed role's credentials failed
    for rule in RULES:
        if rule.matches(call.service, code, message):
            return _say(rule.error, call, message, code)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return _say(_by_status(status, call), call, message, code)


def _by_status(status: int, call: Call) -> type[AwsError]:
    if status == 429:
        return ThrottledError
    if status == 501:
        return RejectedError
    if status >= 500:
        return _lost(call)
    return {401: DeniedError, 403: DeniedError, 404: MissingError, 409: ConflictError, 412: ConflictError}.get(
        status, RejectedError
    )


def _unanswered(error: Exception, call: Call) -> type[MoorageError]:
    if isinstance(error, _NEVER_SENT):
        return UnavailableError
    if isinstance(error, botocore.SSLError):
        return UnavailableError if "CERTIFICATE_VERIFY_FAILED" in str(error) else _lost(call)
    if isinstance(error, _CUT_OFF):
        return _lost(call)
    return RejectedError


def _lost(call: Call) -> type[AwsError]:
    return AnswerLostError if call.kind == "write" else UnavailableError


def _say(kind: type[MoorageError], call: Call, why: str, code: str = "") -> MoorageError:
    what, hint = _SAYS[kind]
    why = redact_text(why.strip())
    if issubclass(kind, AwsError):
        return kind(what, where=call.name, why=f"{code}: {why}" if code else why, hint=hint, code=code)
    return kind(what, where=call.name, why=f"{code}: {why}" if code else why, hint=hint)
