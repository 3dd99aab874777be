"""Trace the whole lineage, hop by hop: what one hop says of the next is compared with what that one says itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.aws import AwsClient
from controller.core.values import Key
from controller.errors import NotFoundError
from controller.lineage.hop import HOPS, VERSION_LABEL, Hop, find_server_container
from controller.lineage.live_tasks import (
    group_by_image,
    list_registered_tasks,
    list_service_tasks,
    trace_route,
    trace_task,
)
from controller.lineage.provenance import trace_commit, trace_data, trace_image, trace_job, trace_version


@dataclass(frozen=True)
class Lineage:
    """The paths of a model's route: one for each image that serves, most tasks first."""

    owner: Key
    paths: tuple[tuple[Hop, ...], ...]

    @property
    def is_complete(self) -> bool:
        """Whether every hop of every path exists and agrees with its neighbours."""
        return not any(hop.problem for way in self.paths for hop in way)


def trace(aws: AwsClient, owner: Key, cluster: str) -> Lineage:
    """Follow a ModelService from its route to its commit. Only reads.

    `cluster` is where its tasks are searched if no route leads to them. Raises NotFoundError if nothing in the Region
    carries its tags, and the errors of reading AWS.
    """
    route, registry = trace_route(aws, owner)
    tasks = list_registered_tasks(aws, registry) if registry else list_service_tasks(aws, owner, cluster)
    if tasks is None and not route.id:
        hint = "moorage get shows what is known; another Environment may be in another region"
        raise NotFoundError(f"nothing in {aws.region} carries the tags of {owner.name}", hint=hint)
    groups = group_by_image(tasks or ())
    if not groups:
        rest = (Hop(kind, problem="nothing runs that it could be read from") for kind in HOPS[2:])
        return Lineage(owner, ((route, Hop("task", problem="no task is registered: nobody answers"), *rest),))
    return Lineage(owner, tuple((route, *_trace_path(aws, owner, group)) for group in groups))


def _trace_path(aws: AwsClient, owner: Key, tasks: Sequence[Mapping[str, Any]]) -> Iterator[Hop]:
    """Yield the hops from the tasks on; the facts come from the image, or else from the task definition's labels."""
    task, labels = trace_task(aws, tasks)
    yield task
    image, reported = trace_image(aws, find_server_container(tasks[0].get("containers", ())))
    yield image
    if not reported and VERSION_LABEL not in labels:
        # The image has no facts of a model; a version registered under the owner's name serves elsewhere, if at all.
        yield from (Hop(kind, problem="an image that isn't Moorage's tells nothing of it") for kind in HOPS[3:])
        return
    version = reported.get("version") or labels.get(VERSION_LABEL, "")
    package, described = trace_version(aws, owner, str(version), reported.get("model_sha256", ""))
    yield package
    job, ran = trace_job(aws, described, reported)
    yield job
    yield trace_data(aws, ran, reported)
    yield trace_commit(reported)
