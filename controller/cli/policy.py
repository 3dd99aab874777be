"""`moorage policy`: what the controller must be allowed to do for these specs, as IAM policies."""

from __future__ import annotations

from rich.text import Text

from controller import embedded
from controller.cli import output, render_policy
from controller.cli.options import Files, Output, Place
from controller.core import wanted
from controller.permissions import MOST, grants, policies
from controller.resources.base import Workshop, discover
from controller.runtime import prepare
from controller.runtime.compose import open_door
from controller.spec.load import load


def policy(*, files: Files = Files(), place: Place = Place(), form: Output = "table") -> int:
    """Print the exact IAM policy of whoever reconciles these specs: a table, or with `-o json` the documents.

    AWS is asked for the account at most, and not even that where the Environment names it.
    """
    snapshot, registry = prepare.snapshot_of(load(files.file)), discover(Workshop(place.home / "cache"))
    endpoint = embedded.up(place.home).endpoint if place.local else None
    found = {}
    for name in snapshot.environments:
        home = snapshot.specs.environment(name)
        aws = open_door(home, endpoint)
        account = (None if place.local else home.spec.account) or aws.account
        where = wanted.Place(account, aws.region, aws.partition)
        found[name] = grants(registry, prepare.wants(snapshot, name, where, server_digest=""))
    named = {
        f"moorage-{name}-{number}": document
        for name, granted in found.items()
        for number, document in enumerate(policies(granted), 1)
    }
    output.emit(
        form,
        table=lambda _: render_policy.text(found),
        data=lambda: render_policy.data(named, found.values()),
        names=list(named),
    )
    if len(named) > MOST * len(found):
        output.progress(Text(f"{len(named)} policies: a role takes {MOST} of them unless IAM's quota is raised"))
    return 0
