"""`moorage approve`: a person's word on a model version, in the SageMaker Model Registry."""

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
    version: Annotated[int | None, Parameter(help="Which; by default the newest that waits.")] = None,
    reject: Annotated[bool, Parameter(negative="", help="Reject it instead.")] = False,
    message: Annotated[str, Parameter(help="Why; kept with the version.")] = "",
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Approve a version, so that the next pass lets it serve; what serves now goes on until then."""
    status = find_status(open_store(files.file, environment, home=place.home, local=place.local), environment, name)
    group = resource_id(status, "sagemaker/model-package-group")
    aws = open_aws_client(files.file, environment, home=place.home, local=place.local)
    number, held = decide_approval(aws, group, approve=not reject, version=version, message=message)
    word = "rejected" if reject else "approved"
    if held and not reject:
        console.print_progress(Text(f"its gates held it back: {held}", "yellow"))
    console.print_text(Text(f"version {number} of {name} is {word}"))
    return 0
