"""Mark failed objects in AWS for a retry, which the holder of the lease makes."""

from __future__ import annotations

from controller.aws import AwsClient
from controller.core.graph import get_output
from controller.core.status import Event
from controller.core.values import UNKNOWN, Key, is_known
from controller.environments.backend import utc_now
from controller.environments.factory import OpenEnvironment


def retry_spec(environment: OpenEnvironment, owner: Key, aws: AwsClient) -> list[str]:
    """Mark every failed object of a spec for a retry, and return a description of each.

    `aws` needs no lease: the holder of the lease reads the marks.
    """
    survey = environment.reconciler.survey(environment.contexts)
    marked = []
    for node in survey.graph.topological_order():
        seen = survey.seen.get(node.key)
        resolved = node.resolve(lambda ref: get_output(survey.seen, ref, UNKNOWN))
        if (
            survey.graph.owners[node.key] != owner
            or seen is None
            or node.is_external
            or not is_known(resolved.identity)
        ):
            continue
        description = environment.reconciler.registry[node.key.kind].retry(aws, resolved, seen)
        if description:
            environment.store.emit(Event(utc_now(), owner, "Normal", "Retry", f"requested for {description}", node.key))
            marked.append(description)
    return marked
