"""SageMaker's checks of a training job before it is created: the role, the image, the input and the output."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from moto.iam.models import iam_backends
from moto.s3.models import FakeKey, s3_backends

from embedded_aws.api_call import ApiError
from embedded_aws.emulator import Emulator

# Registries of the built-in XGBoost image: https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/. Other regions
# have one too; for those, any registry is accepted.
_REGISTRIES = {
    "us-east-1": "683313688378",
    "us-east-2": "257758044811",
    "us-west-1": "746614075791",
    "us-west-2": "246618743249",
    "ca-central-1": "341280168497",
    "eu-central-1": "492215442770",
    "eu-west-1": "141502667606",
    "eu-west-2": "764974769150",
    "ap-northeast-1": "354813040037",
    "ap-northeast-2": "366743142698",
    "ap-south-1": "720646828776",
    "ap-southeast-1": "121021644041",
    "ap-southeast-2": "783357654285",
}
_VERSIONS = ("1.0-1", "1.2-1", "1.2-2", "1.3-1", "1.5-1", "1.7-1", "3.0-5", "3.2-0")
_IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([\w.-]+))?")


def check_role(emulator: Emulator, arn: str, principal: str = "sagemaker.amazonaws.com") -> None:
    """Refuse a role that doesn't exist, doesn't trust SageMaker or is too new. AWS has one error for all three."""
    trusted = any(
        role.arn == arn
        and _trusts_principal(unquote(role.assume_role_policy_document), principal)
        and not emulator.weather.is_role_propagating(role.create_date)
        for role in iam_backends[emulator.account]["aws"].roles.values()
    )
    if not trusted:
        # Source of the text: aws/sagemaker-python-sdk issues on new roles.
        message = (
            f"Could not assume role {arn}. Please ensure that the role exists and allows principal '{principal}' "
            "to assume the role."
        )
        raise ApiError("ValidationException", message)


def _trusts_principal(document: str, principal: str) -> bool:
    statements = json.loads(document).get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        services = statement.get("Principal", {})
        services = services.get("Service", []) if isinstance(services, Mapping) else []
        actions = statement.get("Action", [])
        named = principal in ([services] if isinstance(services, str) else services)
        allowed = {"sts:AssumeRole", "sts:*", "*"} & set([actions] if isinstance(actions, str) else actions)
        if statement.get("Effect") == "Allow" and named and allowed:
            return True
    return False


def check_image(image: str, region: str) -> str:
    """Return the version of the built-in XGBoost image; refuse every other image."""
    match = _IMAGE.fullmatch(image)
    if match is None:
        raise ApiError("ValidationException", f"Invalid image URI {image}. Please provide a valid Amazon ECR path.")
    account, where, repository, tag = match.groups()
    if where != region:
        raise ApiError("ValidationException", f"Invalid image URI {image}: the image must be in region {region}.")
    if repository != "sagemaker-xgboost" or account != _REGISTRIES.get(region, account):
        raise ApiError(
            "ValidationException",
            f"Cannot find repository {repository} in registry ID {account}. Please check if your ECR repository exists "
            "and the role has proper pull permissions for SageMaker.",
        )
    version = (tag or "").removesuffix("-cpu-py3")
    if version not in _VERSIONS:
        raise ApiError("ValidationException", f"Requested image {image} not found.")
    return version


def check_output(emulator: Emulator, uri: str, region: str) -> None:
    """Refuse an output path whose bucket doesn't exist."""
    if _split_uri(uri)[0] not in _s3_backend(emulator).buckets:
        message = (
            f"S3 bucket '{_split_uri(uri)[0]}' of the output path does not exist in region {region}, or can't be read."
        )
        raise ApiError("ValidationException", message)


def check_input(emulator: Emulator, channels: list[dict[str, Any]], region: str, role: str) -> None:
    """Refuse a channel without objects, or of a kind that the embedded AWS doesn't support."""
    names = [channel["ChannelName"] for channel in channels]
    if len(set(names)) < len(names):
        raise ApiError("ValidationException", "Channel names must be unique within InputDataConfig.")
    for channel in channels:
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] != "S3Prefix":
            raise ApiError(
                "NotImplemented", "The embedded AWS reads S3DataSource with S3DataType S3Prefix only", status=501
            )
        if not _list_keys(emulator, source["S3Uri"]):
            bucket = _split_uri(source["S3Uri"])[0]
            # Source of the text: aws/amazon-sagemaker-examples#2489.
            raise ApiError(
                "ValidationException",
                f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. Please ensure that '
                f"the bucket exists in the selected region ({region}), that objects exist under that S3 prefix, and "
                f'that the role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".',
            )


def read_objects(emulator: Emulator, uri: str) -> list[tuple[str, bytes]]:
    """Return the objects under an S3 prefix as (name below the prefix, content). Needs the emulator's lock."""
    bucket, prefix = _split_uri(uri)
    return [
        (_relative_name(key, prefix), _s3_backend(emulator).buckets[bucket].keys[key].value)
        for key in _list_keys(emulator, uri)
    ]


def object_exists(emulator: Emulator, uri: str) -> bool:
    """Return whether an object of exactly this URI exists. Needs the emulator's lock."""
    return _split_uri(uri)[1] in _list_keys(emulator, uri)


def _list_keys(emulator: Emulator, uri: str) -> list[str]:
    """List the keys under a prefix, without folder markers and deleted objects."""
    bucket, prefix = _split_uri(uri)
    found = _s3_backend(emulator).buckets.get(bucket)
    if found is None:
        return []
    keys = sorted(key for key in found.keys if key.startswith(prefix) and not key.endswith("/"))
    return [key for key in keys if isinstance(found.keys[key], FakeKey)]


def write_object(emulator: Emulator, uri: str, content: bytes) -> None:
    """Write an object. Needs the emulator's lock."""
    bucket, key = _split_uri(uri)
    _s3_backend(emulator).put_object(bucket, key, content)


def _relative_name(key: str, prefix: str) -> str:
    """Return an object's name below its prefix, which may be a folder, a whole key, or the start of names."""
    return (
        key[len(prefix) :].lstrip("/")
        if prefix.endswith("/") or key[len(prefix) :].startswith("/")
        else key.rsplit("/", 1)[-1]
    )


def _split_uri(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _s3_backend(emulator: Emulator) -> Any:
    return s3_backends[emulator.account]["aws"]
