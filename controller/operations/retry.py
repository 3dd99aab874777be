"""Trying again what failed and stays failed: it is marked in AWS, and whoever holds the lease acts on it."""

from __future__ import annotations

from controller.aws import AwsClient
from controller.core.graph import get_output
from controller.core.status import Event
from controller.core.values import UNKNOWN, Key, is_known
from controller.environments.backend import utc_now
from controller.environments.factory import OpenEnvironment


def retry_spec(environment: OpenEnvironment, owner: Key, aws: AwsClient) -> list[str]:
    """Mark whatever of a spec failed, and say what it was. `aws` needs no lease: marks are for its holder to read."""
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
        told = environment.reconciler.registry[node.key.kind].retry(aws, resolved, seen)
        if told:
            environment.store.emit(Event(utc_now(), owner, "Normal", "Retry", f"asked for: {told}", node.key))
            marked.append(told)
    return marked
