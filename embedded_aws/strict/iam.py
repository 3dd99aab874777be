"""IAM and STS rules that moto lacks: trust policies are validated, and AssumeRole needs an existing role."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote

from moto.iam.models import iam_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.emulator import Emulator
from embedded_aws.strict.paging import build_page


def install(emulator: Emulator) -> None:
    """Register the handlers."""
    emulator.register_handler("iam", "CreateRole", _validate_trust_policy)
    emulator.register_handler("iam", "UpdateAssumeRolePolicy", _validate_trust_policy)
    emulator.register_handler("iam", "GetAccountAuthorizationDetails", get_account_authorization_details)
    emulator.register_handler("sts", "AssumeRole", assume_role)


def get_account_authorization_details(call: ApiCall) -> ApiResponse | dict[str, Any]:
    """Return roles in pages of a hundred by default; moto returns all at once.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
    """
    if call.params.get("Filter") != ["Role"]:
        return call.forward_to_moto()
    roles = sorted(iam_backends[call.account]["aws"].roles.values(), key=lambda role: role.name)
    page = build_page(
        roles,
        call.params,
        "RoleDetailList",
        100,
        size_parameter="MaxItems",
        token_parameter="Marker",  # noqa: S106  (the name of a request parameter)
        error_code="ValidationError",
    )
    return {
        **page,
        "RoleDetailList": [_describe_role(role) for role in page["RoleDetailList"]],
        "IsTruncated": "Marker" in page,
        "UserDetailList": [],
        "GroupDetailList": [],
        "Policies": [],
    }


def _describe_role(role: Any) -> dict[str, Any]:
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn,
        "CreateDate": role.create_date,
        "AssumeRolePolicyDocument": quote(unquote(role.assume_role_policy_document)),
        "InstanceProfileList": [],
        "RolePolicyList": role.role_policy_list,
        "AttachedManagedPolicies": role.attached_managed_policies,
        "Tags": list(role.tags or ()),
    }


def _validate_trust_policy(call: ApiCall) -> ApiResponse:
    """Refuse a trust policy that IAM can't read.

    Every statement needs an effect, a principal and an action, and names no resource:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
    """
    # CreateRole and UpdateAssumeRolePolicy name the same document differently.
    document = call.params.get("AssumeRolePolicyDocument") or call.params.get("PolicyDocument", "")
    if problem := _find_policy_error(document):
        raise ApiError("MalformedPolicyDocument", problem)
    return call.forward_to_moto()


def _find_policy_error(document: str) -> str:
    try:
        policy = json.loads(document)
    except ValueError:
        return "This policy contains invalid Json"
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        return "Syntax errors in policy: no statement."
    for statement in statements:
        if missing := {"Effect", "Principal", "Action"} - set(statement):
            return f"Missing required field {min(missing)}"
        if "Resource" in statement:
            return "Has prohibited field Resource"
    return ""


def assume_role(call: ApiCall) -> ApiResponse:
    """Return credentials for an existing role. AWS gives the same error for a missing and a forbidden role.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    arn = call.params["RoleArn"]
    if not any(
        role.arn == arn and _trusts_an_account(role) for role in iam_backends[call.account]["aws"].roles.values()
    ):
        caller = f"arn:aws:sts::{call.account}:user/moto"
        message = f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {arn}"
        raise ApiError("AccessDenied", message, status=403)
    return call.forward_to_moto()


def _trusts_an_account(role: Any) -> bool:
    """Return whether a principal of an account, and not a service alone, may assume the role."""
    statements = json.loads(unquote(role.assume_role_policy_document))["Statement"]
    principals = [item["Principal"] for item in (statements if isinstance(statements, list) else [statements])]
    return any(principal == "*" or "AWS" in principal for principal in principals)
