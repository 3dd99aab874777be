"""SageMaker tags: a key holds one value, and a model package version has no tags of its own."""

from __future__ import annotations

from typing import Any

from moto.sagemaker.models import sagemaker_backends

from embedded_aws.api_call import ApiCall, ApiError
from embedded_aws.constraints import validate_input
from embedded_aws.emulator import Emulator
from embedded_aws.strict.paging import build_page


def install(emulator: Emulator) -> None:
    """Register the handlers."""
    emulator.register_handler("sagemaker", "AddTags", add_tags)
    emulator.register_handler("sagemaker", "ListTags", list_tags)
    emulator.register_handler("sagemaker", "DeleteTags", delete_tags)


def add_tags(call: ApiCall) -> dict[str, Any]:
    """Add tags. An existing key gets the new value (moto would keep both)."""
    validate_input(call)
    resource = _find_resource(call)
    tags = {tag["Key"]: tag["Value"] for tag in [*(resource.tags or []), *call.params["Tags"]]}
    # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AddTags.html: at most 50.
    if len(tags) > 50:
        raise ApiError("ResourceLimitExceeded", "A resource can't have more than 50 tags.")
    resource.tags = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"Tags": resource.tags}


def list_tags(call: ApiCall) -> dict[str, Any]:
    """List a resource's tags."""
    return build_page(_find_resource(call).tags or [], call.params, "Tags", 50)


def delete_tags(call: ApiCall) -> dict[str, Any]:
    """Delete tags by key. A missing key is no error."""
    resource = _find_resource(call)
    resource.tags = [tag for tag in resource.tags or [] if tag["Key"] not in call.params["TagKeys"]]
    return {}


def _find_resource(call: ApiCall) -> Any:
    """Return the tagged resource from moto's records. Raises ApiError when it doesn't exist."""
    arn = call.params["ResourceArn"]
    backend = sagemaker_backends[call.account][call.region]
    try:
        resource = backend._get_resource_from_arn(arn)  # noqa: SLF001  (the only way from an ARN to moto's record)
    except Exception as error:
        raise ApiError("ValidationException", f"Could not find or can't tag {arn}.") from error
    if resource is None:
        raise ApiError("ValidationException", f"Could not find {arn}.")
    return resource
