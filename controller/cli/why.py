"""`moorage why`: what answers, and where it is from. Read from AWS as it is now."""

from __future__ import annotations

from controller.cli import output, render_why
from controller.cli.get import Environments
from controller.cli.options import Files, Name, Output, Place
from controller.core.values import Key
from controller.lineage import trace
from controller.runtime.compose import open_account
from controller.spec.load import load_specs


def why(
    name: Name,
    /,
    *,
    environment: Environments = "default",
    files: Files = Files(),
    place: Place = Place(),
    form: Output = "table",
) -> int:
    """Follow a model from its live route to the commit it was trained from. Exit 6 if a hop is missing or contradicts.

    The specs only say where to look: the Environment's region, role and cluster.
    """
    where = load_specs(files.file).get_environment(environment)
    aws = open_account(files.file, environment, home=place.home, local=place.local)
    lineage = trace(aws, Key(environment, "ModelService", name), where.spec.cluster)
    output.emit(
        form,
        table=lambda _: render_why.text(lineage),
        data=lambda: render_why.data(lineage),
        names=[f"{hop.kind}/{hop.id}" for way in lineage.paths for hop in way],
    )
    return 0 if lineage.is_complete else 6
