"""The whole way, hop by hop: what one says of the next is held against what that one says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller.aws import Aws
from controller.core.values import Key
from controller.errors import NotFoundError
from controller.lineage.answering import by_image, registered, route_of, running, task_of
from controller.lineage.hop import HOPS, VERSION, Hop, server
from controller.lineage.origin import commit_of, data_of, image_of, job_of, version_of


@dataclass(frozen=True)
class Lineage:
    """The ways back from a model's route: one for each image that answers, most tasks first."""

    owner: Key
    ways: tuple[tuple[Hop, ...], ...]

    @property
    def whole(self) -> bool:
        """Whether every hop of every way is there and agrees with its neighbours."""
        return not any(hop.problem for way in self.ways for hop in way)


def trace(aws: Aws, owner: Key, cluster: str) -> Lineage:
    """Follow a ModelService from its route to its commit. Reads only.

    `cluster` is where to look for its tasks when no route leads to them. Raises NotFoundError when nothing in the
    region carries its tags, and what reading AWS raises.
    """
    route, registry = route_of(aws, owner)
    tasks = registered(aws, registry) if registry else running(aws, owner, cluster)
    if tasks is None and not route.id:
        hint = "moorage get shows what is known; another Environment may be in another region"
        raise NotFoundError(f"nothing in {aws.region} carries the tags of {owner.name}", hint=hint)
    groups = by_image(tasks or ())
    if not groups:
        rest = (Hop(kind, problem="nothing runs that it could be read from") for kind in HOPS[2:])
        return Lineage(owner, ((route, Hop("task", problem="no task is registered: nobody answers"), *rest),))
    return Lineage(owner, tuple((route, *_way(aws, owner, group)) for group in groups))


def _way(aws: Aws, owner: Key, tasks: Sequence[Mapping[str, Any]]) -> Iterator[Hop]:
    """From the tasks back. `told` is what the image says of its model, or else the task definition's labels."""
    task, labels = task_of(aws, tasks)
    yield task
    image, told = image_of(aws, server(tasks[0].get("containers", ())))
    yield image
    if not told and VERSION not in labels:
        # It tells of no model; and whatever is registered under the owner's name serves elsewhere, if at all.
        yield from (Hop(kind, problem="an image that isn't Moorage's tells nothing of it") for kind in HOPS[3:])
        return
    version = told.get("version") or labels.get(VERSION, "")
    package, described = version_of(aws, owner, str(version), told.get("model_sha256", ""))
    yield package
    job, ran = job_of(aws, described, told)
    yield job
    yield data_of(aws, ran, told)
    yield commit_of(told)
