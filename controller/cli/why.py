"""`moorage why`: trace the model that answers now to its commit. Reads AWS, not the store."""

from __future__ import annotations

from controller.cli.get import Environments
from controller.cli.options import BackendOptions, FileOptions, Name, Output
from controller.cli.output import console, lineage_view
from controller.core.values import Key
from controller.environments.factory import open_aws_client
from controller.lineage import trace
from controller.spec.load import load_specs


def why(
    name: Name,
    /,
    *,
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Trace a model from its live route to the commit it was trained from.

    Return 6 if a hop is missing or contradicts another. The specs only give the Environment's region, role and cluster.
    """
    declared = load_specs(files.file).get_environment(environment)
    aws = open_aws_client(files.file, environment, home=place.home, local=place.local)
    lineage = trace(aws, Key(environment, "ModelService", name), declared.spec.cluster)
    console.print_result(
        form,
        table=lambda _: lineage_view.lineage_text(lineage),
        data=lambda: lineage_view.lineage_data(lineage),
        names=[f"{hop.kind}/{hop.id}" for path in lineage.paths for hop in path],
    )
    return 0 if lineage.is_complete else 6
