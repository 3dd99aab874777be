"""Listings that return much at once: roles with their policies, tags by ARN, versions with their metadata."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

TRUST = json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"Service": "a"}, "Action": "sts:AssumeRole"}]})
INLINE = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def aws(embedded_aws: Any) -> Any:
    iam = embedded_aws.client("iam")
    for number in range(5):
        iam.create_role(
            RoleName=f"role-{number}", AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "n", "Value": str(number)}]
        )
    arn = iam.create_policy(PolicyName="admin", PolicyDocument=json.dumps(INLINE))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="role-1", PolicyArn=arn)
    iam.put_role_policy(RoleName="role-1", PolicyName="more", PolicyDocument=json.dumps(INLINE))
    return embedded_aws


def test_roles_are_listed_in_full_and_in_pages(aws: Any) -> None:
    """Trust, inline policies, attachments and tags of a role equal those of the calls for a single role.

    A page has the requested size.
    """
    iam = aws.client("iam")
    pages = iam.get_paginator("get_account_authorization_details").paginate(
        Filter=["Role"], PaginationConfig={"PageSize": 2}
    )
    found = [page["RoleDetailList"] for page in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    roles = {role["RoleName"]: role for page in found for role in page}
    role, alone = roles["role-1"], iam.get_role(RoleName="role-1")["Role"]
    same = ("Arn", "RoleId", "Path", "AssumeRolePolicyDocument", "Tags")
    assert {name: role[name] for name in same} == {name: alone[name] for name in same}
    assert role["RolePolicyList"] == [{"PolicyName": "more", "PolicyDocument": INLINE}]
    assert [policy["PolicyName"] for policy in role["AttachedManagedPolicies"]] == ["admin"]


def test_tags_are_found_by_arn(aws: Any) -> None:
    """One call returns the tags of several services, without resources that don't exist or have no tags.

    Other filters, and pages, are refused.
    """
    tagging, ecr, logs = aws.client("resourcegroupstaggingapi"), aws.client("ecr"), aws.client("logs")
    first = ecr.create_repository(repositoryName="one", tags=[{"Key": "a", "Value": "1"}])["repository"][
        "repositoryArn"
    ]
    second = ecr.create_repository(repositoryName="two")["repository"]["repositoryArn"]
    logs.create_log_group(logGroupName="/of/one", tags={"b": "2"})
    group = "arn:aws:logs:us-east-1:123456789012:log-group:/of/one"
    sagemaker = aws.client("sagemaker")
    made = sagemaker.create_model_package_group(ModelPackageGroupName="g", Tags=[{"Key": "c", "Value": "3"}])
    arns = [first, second, group, made["ModelPackageGroupArn"], f"{made['ModelPackageGroupArn']}-gone"]
    reported = tagging.get_resources(ResourceARNList=arns)["ResourceTagMappingList"]
    assert {item["ResourceARN"]: item["Tags"] for item in reported} == {
        first: [{"Key": "a", "Value": "1"}],
        group: [{"Key": "b", "Value": "2"}],
        made["ModelPackageGroupArn"]: [{"Key": "c", "Value": "3"}],
    }
    for beside in ({"ResourceTypeFilters": ["ecr"]}, {"ResourcesPerPage": 100}):
        with pytest.raises(ClientError, match="can't specify both"):
            tagging.get_resources(ResourceARNList=arns, **beside)


def test_versions_are_found_with_their_metadata(aws: Any) -> None:
    """A search by group names returns the same as DescribeModelPackage. A search by another name returns nothing.

    Pages lead through all versions.
    """
    sagemaker = aws.client("sagemaker")
    for name in ("search-a", "search-b", "search-c"):
        sagemaker.create_model_package_group(ModelPackageGroupName=name)
        arn = sagemaker.create_model_package(ModelPackageGroupName=name, CustomerMetadataProperties={"of": name})
    alone = sagemaker.describe_model_package(ModelPackageName=arn["ModelPackageArn"])

    def search(names: str) -> list[dict[str, Any]]:
        filters = [{"Name": "ModelPackageGroupName", "Operator": "In", "Value": names}]
        pages = sagemaker.get_paginator("search").paginate(
            Resource="ModelPackage",
            SearchExpression={"Filters": filters, "Operator": "Or"},
            PaginationConfig={"PageSize": 1},
        )
        return [result["ModelPackage"] for page in pages for result in page["Results"]]

    found = search("search-a,search-c")
    assert [version["CustomerMetadataProperties"] for version in found] == [{"of": "search-a"}, {"of": "search-c"}]
    assert found[1].items() <= alone.items()
    assert search("search") == []
