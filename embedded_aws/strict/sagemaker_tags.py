"""SageMaker tags: a key holds one value, and a version of a model package has none of its own."""

from __future__ import annotations

from typing import Any

from moto.sagemaker.models import sagemaker_backends

from embedded_aws.call import Call, Refused
from embedded_aws.constraints import check
from embedded_aws.strict.paging import page
from embedded_aws.world import World


def install(world: World) -> None:
    """Register the operations."""
    world.handle("sagemaker", "AddTags", add)
    world.handle("sagemaker", "ListTags", lists)
    world.handle("sagemaker", "DeleteTags", delete)


def add(call: Call) -> dict[str, Any]:
    """Add tags; a key that is there gets the new value (moto would keep both)."""
    check(call)
    resource = _find(call)
    tags = {tag["Key"]: tag["Value"] for tag in [*(resource.tags or []), *call.params["Tags"]]}
    # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AddTags.html: at most 50.
    if len(tags) > 50:
        raise Refused("ResourceLimitExceeded", "A resource can't have more than 50 tags.")
    resource.tags = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"Tags": resource.tags}


def lists(call: Call) -> dict[str, Any]:
    """List a resource's tags."""
    return page(_find(call).tags or [], call.params, "Tags", 50)


def delete(call: Call) -> dict[str, Any]:
    """Delete tags by key; a key that isn't there is no error."""
    resource = _find(call)
    resource.tags = [tag for tag in resource.tags or [] if tag["Key"] not in call.params["TagKeys"]]
    return {}


def _find(call: Call) -> Any:
    """Find the tagged resource in moto's own records."""
    arn = call.params["ResourceArn"]
    backend = sagemaker_backends[call.account][call.region]
    try:
        resource = backend._get_resource_from_arn(arn)  # noqa: SLF001  (the only way from an ARN to moto's record)
    except Exception as missing:
        raise Refused("ValidationException", f"Could not find or can't tag {arn}.") from missing
    if resource is None:
        raise Refused("ValidationException", f"Could not find {arn}.")
    return resource
