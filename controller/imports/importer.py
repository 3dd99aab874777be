"""Build one draft from the named objects: a service, the API in front of it, and the job that trains for it."""

from __future__ import annotations

from controller.aws import AwsClient
from controller.errors import FailedError
from controller.imports.api import add_api, find_apis, find_cloud_map_arn
from controller.imports.draft import Draft
from controller.imports.service import draft_service, find_service
from controller.imports.training_job import add_job


def import_service(
    aws: AwsClient, cluster: str, name: str, *, api: str = "", job: str = "", settings_only: bool = False
) -> Draft:
    """Return a draft of a service, of the one API that leads to it, and of a job; see `add_job` for `settings_only`.

    Raises NotFoundError and FailedError.
    """
    draft, registry = draft_service(aws, cluster, name)
    found = [api] if api else []
    if registry and not api:
        found = find_apis(aws, registry)
    if len(found) > 1:
        raise FailedError(
            f"{len(found)} APIs lead to {cluster}/{name}", why=", ".join(found), hint="choose one with --api"
        )
    for api_id in found:
        if find_cloud_map_arn(aws, api_id) != registry:
            raise FailedError(f"the API {api_id} doesn't lead to {cluster}/{name}", hint="leave --api out to find it")
        add_api(aws, api_id, draft)
    return add_job(aws, job, draft, settings_only=settings_only) if job else draft


def import_api(aws: AwsClient, api_id: str, *, job: str = "", settings_only: bool = False) -> Draft:
    """Return a draft of an API and of the service that it leads to. Raises NotFoundError and FailedError."""
    registry = find_cloud_map_arn(aws, api_id)
    service = find_service(aws, registry)
    if service is None:
        why = f"no ECS service registers its tasks in {registry}"
        raise FailedError(
            f"nothing is known behind the API {api_id}", why=why, hint="import the service it is to lead to"
        )
    return import_service(aws, *service, api=api_id, job=job, settings_only=settings_only)
