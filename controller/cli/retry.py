"""`moorage retry`: another attempt at a failed training job or deployment, without a change of the spec."""

from __future__ import annotations

from rich.text import Text

from controller.cli.get import Environments
from controller.cli.options import BackendOptions, FileOptions, Name
from controller.cli.output import console
from controller.core.values import Key
from controller.environments.factory import EnvironmentFactory, OpenEnvironment, open_aws_client
from controller.errors import NotFoundError
from controller.operations.retry import retry_spec
from controller.sources.source import DirectorySource, read_now
from controller.spec import validation_errors


def retry(
    name: Name,
    /,
    *,
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Let the next pass retry a failed or stopped training job, or a deployment that ECS rolled back."""
    snapshot = read_now(DirectorySource(files.file))
    aws = open_aws_client(files.file, environment, home=place.home, local=place.local)
    with EnvironmentFactory(place.home, local=place.local) as factory:
        opened = factory.open_environment(snapshot, environment)
        marked = retry_spec(opened, _declared(opened, name), aws)
    if not marked:
        console.print_progress(Text(f"nothing of {name} needs a retry"))
    for description in marked:
        console.print_text(Text(f"the next reconcile retries: {description}"))
    return 0


def _declared(environment: OpenEnvironment, name: str) -> Key:
    declared = {context.owner.name: context.owner for context in environment.contexts if context.service is not None}
    if name not in declared:
        hint = validation_errors.did_you_mean(name, list(declared)) or "moorage validate lists the declared specs"
        raise NotFoundError(f"no file declares {name} in environment {environment.name}", hint=hint)
    return declared[name]
