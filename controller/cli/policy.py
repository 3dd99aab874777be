"""`moorage policy`: the permissions that the controller needs for some specs, as IAM policies."""

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
    """Print the exact IAM policies that reconciling the specs needs: a table, or with `-o json` the documents.

    The only call to AWS asks for the account, and only if the Environment doesn't name it.
    """
    snapshot, registry = (
        snapshots.build_snapshot(load_specs(files.file)),
        discover_resources(ResourceContext(place.home / "cache")),
    )
    endpoint = embedded.up(place.home).endpoint if place.local else None
    grants = {}
    for name in snapshot.environments:
        home = snapshot.specs.get_environment(name)
        aws = connect_environment(home, endpoint)
        account = (None if place.local else home.spec.account) or aws.account
        location = spec_context.AwsLocation(account, aws.region, aws.partition)
        grants[name] = derive_grants(registry, snapshots.build_contexts(snapshot, name, location, server_digest=""))
    named = {
        f"moorage-{name}-{number}": document
        for name, granted in grants.items()
        for number, document in enumerate(pack_policies(granted), 1)
    }
    console.print_result(
        form,
        table=lambda _: policy_view.policy_text(grants),
        data=lambda: policy_view.policy_data(named, grants.values()),
        names=list(named),
    )
    if len(named) > MAX_POLICIES * len(grants):
        console.print_progress(
            Text(f"{len(named)} policies, but a role takes {MAX_POLICIES}: raise IAM's quota of policies per role")
        )
    return 0
