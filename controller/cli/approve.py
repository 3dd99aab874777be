"""`moorage approve`: approve or reject a model version in the SageMaker Model Registry."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from controller.cli.get import Environments, find_status, resource_id
from controller.cli.options import BackendOptions, FileOptions, Name
from controller.cli.output import console
from controller.environments.factory import open_aws_client, open_store
from controller.resources.sagemaker_model_package import decide_approval


def approve(
    name: Name,
    /,
    *,
    version: Annotated[
        int | None, Parameter(help="Version to decide on; by default the newest that waits for approval.")
    ] = None,
    reject: Annotated[bool, Parameter(negative="", help="Reject the version instead.")] = False,
    message: Annotated[str, Parameter(help="Reason; stored with the version in the Model Registry.")] = "",
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Approve a version, so that the next pass lets it serve; until then the current version keeps serving."""
    status = find_status(open_store(files.file, environment, home=place.home, local=place.local), environment, name)
    group = resource_id(status, "sagemaker/model-package-group")
    aws = open_aws_client(files.file, environment, home=place.home, local=place.local)
    number, gate_message = decide_approval(aws, group, approve=not reject, version=version, message=message)
    word = "rejected" if reject else "approved"
    if gate_message and not reject:
        console.print_progress(Text(f"version {number} had failed its gates: {gate_message}", "yellow"))
    console.print_text(Text(f"version {number} of {name} is {word}"))
    return 0
