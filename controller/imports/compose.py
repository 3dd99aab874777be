"""One draft from what was named: a service, the API in front of it, and the job that trains for it."""

from __future__ import annotations

from controller.aws import Aws
from controller.errors import FailedError
from controller.imports.api import apis_before, behind, read_api
from controller.imports.draft import Draft
from controller.imports.service import find_registered, read_service
from controller.imports.training_job import read_job


def from_service(aws: Aws, cluster: str, name: str, *, api: str = "", job: str = "", anew: bool = False) -> Draft:
    """A draft of a service, of the one API that leads to it, and of a job, `anew` as `read_job` has it.

    Raises NotFoundError and FailedError.
    """
    draft, registry = read_service(aws, cluster, name)
    found = [api] if api else apis_before(aws, registry) if registry else []
    if len(found) > 1:
        raise FailedError(
            f"{len(found)} APIs lead to {cluster}/{name}", why=", ".join(found), hint="choose one with --api"
        )
    for api_id in found:
        if behind(aws, api_id) != registry:
            raise FailedError(f"the API {api_id} doesn't lead to {cluster}/{name}", hint="leave --api out to find it")
        read_api(aws, api_id, draft)
    return read_job(aws, job, draft, anew=anew) if job else draft


def from_api(aws: Aws, api_id: str, *, job: str = "", anew: bool = False) -> Draft:
    """A draft of an API and of the service it leads to. Raises NotFoundError and FailedError."""
    registry = behind(aws, api_id)
    service = find_registered(aws, registry)
    if service is None:
        why = f"no ECS service registers its tasks in {registry}"
        raise FailedError(
            f"nothing is known behind the API {api_id}", why=why, hint="import the service it is to lead to"
        )
    return from_service(aws, *service, api=api_id, job=job, anew=anew)
