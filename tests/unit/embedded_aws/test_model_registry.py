"""The model registry of the embedded AWS."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"


@pytest.fixture(scope="module")
def sagemaker(embedded_aws):
    s3 = embedded_aws.client("s3")
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="model.tar.gz", Body=b"model")
    return embedded_aws.client("sagemaker")


def version(group: str, **more) -> dict:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://models/model.tar.gz"}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    return {"ModelPackageGroupName": group, "InferenceSpecification": specification} | more


def refusal(call, **arguments) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def test_versions_are_numbered_and_a_token_registers_once(sagemaker) -> None:
    """Each registration gets the next number.

    The same ClientToken returns the same version; with other content it is a conflict.
    """
    sagemaker.create_model_package_group(ModelPackageGroupName="counted")
    first = sagemaker.create_model_package(**version("counted", ClientToken="a"))["ModelPackageArn"]
    assert first == "arn:aws:sagemaker:us-east-1:123456789012:model-package/counted/1"
    assert sagemaker.create_model_package(**version("counted", ClientToken="a"))["ModelPackageArn"] == first
    again = version("counted", ClientToken="a", ModelPackageDescription="another")
    assert refusal(sagemaker.create_model_package, **again) == "ConflictException"
    second = sagemaker.create_model_package(**version("counted"))["ModelPackageArn"]
    sagemaker.delete_model_package(ModelPackageName=second)
    assert sagemaker.create_model_package(**version("counted"))["ModelPackageArn"].endswith("/3")


def test_a_version_is_kept_as_sent(sagemaker) -> None:
    """Metrics, metadata and the specification are returned as sent. The approval status is pending by default."""
    sagemaker.create_model_package_group(ModelPackageGroupName="kept", Tags=[{"Key": "owner", "Value": "me"}])
    sent = version(
        "kept",
        ModelMetrics={
            "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://models/metrics.json"}}
        },
        CustomerMetadataProperties={"fingerprint": "abc", "rmse": "49610"},
        ModelPackageDescription="the first",
        Domain="MACHINE_LEARNING",
        Task="REGRESSION",
    )
    arn = sagemaker.create_model_package(**sent)["ModelPackageArn"]
    reported = sagemaker.describe_model_package(ModelPackageName=arn)
    assert {name: reported[name] for name in sent} == sent
    assert (reported["ModelPackageVersion"], reported["ModelPackageStatus"]) == (1, "Completed")
    assert reported["ModelApprovalStatus"] == "PendingManualApproval"


def test_an_update_changes_only_what_it_names(sagemaker) -> None:
    """Approving keeps everything else. Metadata is merged, and removed by key."""
    sagemaker.create_model_package_group(ModelPackageGroupName="updated")
    sent = version("updated", CustomerMetadataProperties={"a": "1", "b": "2"}, ModelPackageDescription="kept")
    arn = sagemaker.create_model_package(**sent)["ModelPackageArn"]
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="gate passed"
    )
    sagemaker.update_model_package(
        ModelPackageArn=arn, CustomerMetadataProperties={"c": "3"}, CustomerMetadataPropertiesToRemove=["a"]
    )
    reported = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (reported["ModelApprovalStatus"], reported["ApprovalDescription"]) == ("Approved", "gate passed")
    assert reported["CustomerMetadataProperties"] == {"b": "2", "c": "3"}
    assert reported["ModelPackageDescription"] == "kept"


def test_versions_are_listed_by_group_approval_and_order(sagemaker) -> None:
    """A group's versions are filtered by approval, sorted both ways and paged. Without a group the list is empty."""
    sagemaker.create_model_package_group(ModelPackageGroupName="listed")
    arns = [sagemaker.create_model_package(**version("listed"))["ModelPackageArn"] for _ in range(3)]
    sagemaker.update_model_package(ModelPackageArn=arns[1], ModelApprovalStatus="Approved")

    def numbers(**filters) -> list[int]:
        pages = sagemaker.get_paginator("list_model_packages").paginate(**filters, PaginationConfig={"PageSize": 2})
        return [item["ModelPackageVersion"] for page in pages for item in page["ModelPackageSummaryList"]]

    assert numbers(ModelPackageGroupName="listed") == [1, 2, 3]
    assert numbers(ModelPackageGroupName="listed", SortOrder="Descending") == [3, 2, 1]
    assert numbers(ModelPackageGroupName="listed", ModelApprovalStatus="Approved") == [2]
    assert numbers() == []
    batch = sagemaker.batch_describe_model_package(ModelPackageArnList=[arns[0], arns[0] + "9"])
    assert list(batch["ModelPackageSummaries"]) == [arns[0]]
    assert list(batch["BatchDescribeModelPackageErrorMap"]) == [arns[0] + "9"]


def test_a_group_is_deleted_only_when_empty(sagemaker) -> None:
    """A group with versions is a conflict. A missing group or version is a ValidationException.

    A name is used once.
    """
    sagemaker.create_model_package_group(ModelPackageGroupName="full")
    assert refusal(sagemaker.create_model_package_group, ModelPackageGroupName="full") == "ValidationException"
    arn = sagemaker.create_model_package(**version("full"))["ModelPackageArn"]
    assert refusal(sagemaker.delete_model_package_group, ModelPackageGroupName="full") == "ConflictException"
    sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName="full")
    assert refusal(sagemaker.describe_model_package_group, ModelPackageGroupName="full") == "ValidationException"
    assert refusal(sagemaker.describe_model_package, ModelPackageName=arn) == "ValidationException"


@pytest.mark.parametrize(
    "changes",
    [
        {"ModelPackageGroupName": "missing"},
        {"Tags": [{"Key": "a", "Value": "b"}]},
        {"SourceUri": "s3://models/source"},
        {"ModelApprovalStatus": "Maybe"},
        {"InferenceSpecification": {"Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://models/model.tar"}]}},
    ],
)
def test_an_invalid_version_is_refused(sagemaker, changes) -> None:
    """An invalid version is refused before a number is assigned."""
    names = [
        group["ModelPackageGroupName"]
        for group in sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    ]
    if "strict" not in names:
        sagemaker.create_model_package_group(ModelPackageGroupName="strict")
    assert refusal(sagemaker.create_model_package, **(version("strict") | changes)) == "ValidationException"
    assert sagemaker.list_model_packages(ModelPackageGroupName="strict")["ModelPackageSummaryList"] == []


def test_a_tag_has_one_value(embedded_aws, sagemaker) -> None:
    """Adding a tag again replaces its value, and GetResources finds the group by it. A version can't be tagged."""
    arn = sagemaker.create_model_package_group(ModelPackageGroupName="tagged")["ModelPackageGroupArn"]
    for value in ("old", "new"):
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "moorage:service", "Value": value}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "moorage:service", "Value": "new"}]
    tagging = embedded_aws.client("resourcegroupstaggingapi")
    found = tagging.get_resources(TagFilters=[{"Key": "moorage:service", "Values": ["new"]}])["ResourceTagMappingList"]
    assert [item["ResourceARN"] for item in found] == [arn]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["moorage:service"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == []
    package = sagemaker.create_model_package(**version("tagged"))["ModelPackageArn"]
    assert refusal(sagemaker.add_tags, ResourceArn=package, Tags=[{"Key": "a", "Value": "b"}]) == "ValidationException"
