"""`moorage policy`: what the controller must be allowed to do for these specs, as IAM policies."""

from __future__ import annotations

from rich.text import Text

from controller import embedded
from controller.cli.options import BackendOptions, FileOptions, Output
from controller.cli.output import console, policy_view
from controller.core import spec_context
from controller.environments.factory import connect_environment
from controller.permissions import MAX_POLICIES, derive_grants, pack_policies
from controller.resources.base import ResourceContext, discover_resources
from controller.sources import snapshots
from controller.spec.load import load_specs


def policy(
    *, files: FileOptions = FileOptions(), place: BackendOptions = BackendOptions(), form: Output = "table"
) -> int:
    """Print the exact IAM policy of whoever reconciles these specs: a table, or with `-o json` the documents.

    AWS is asked for the account at most, and not even that where the Environment names it.
    """
    snapshot, registry = (
        snapshots.build_snapshot(load_specs(files.file)),
        discover_resources(ResourceContext(place.home / "cache")),
    )
    endpoint = embedded.up(place.home).endpoint if place.local else None
    found = {}
    for name in snapshot.environments:
        home = snapshot.specs.get_environment(name)
        aws = connect_environment(home, endpoint)
        account = (None if place.local else home.spec.account) or aws.account
        where = spec_context.AwsLocation(account, aws.region, aws.partition)
        found[name] = derive_grants(registry, snapshots.build_contexts(snapshot, name, where, server_digest=""))
    named = {
        f"moorage-{name}-{number}": document
        for name, granted in found.items()
        for number, document in enumerate(pack_policies(granted), 1)
    }
    console.print_result(
        form,
        table=lambda _: policy_view.policy_text(found),
        data=lambda: policy_view.policy_data(named, found.values()),
        names=list(named),
    )
    if len(named) > MAX_POLICIES * len(found):
        console.print_progress(
            Text(f"{len(named)} policies: a role takes {MAX_POLICIES} of them unless IAM's quota is raised")
        )
    return 0
