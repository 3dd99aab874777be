"""`moorage retry`: another attempt at what failed, though nothing was changed."""

from __future__ import annotations

from rich.text import Text

from controller.cli.get import Environments
from controller.cli.options import BackendOptions, FileOptions, Name
from controller.cli.output import console
from controller.core.values import Key
from controller.environments.factory import EnvironmentFactory, OpenEnvironment, open_aws_client
from controller.errors import NotFoundError
from controller.operations.retry import retry_spec as mark
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
    """Let a failed or stopped training job, or a deployment that was rolled back, be tried again by the next pass."""
    snapshot = read_now(DirectorySource(files.file))
    aws = open_aws_client(files.file, environment, home=place.home, local=place.local)
    with EnvironmentFactory(place.home, local=place.local) as house:
        site = house.open_environment(snapshot, environment)
        marked = mark(site, _declared(site, name), aws)
    if not marked:
        console.print_progress(Text(f"nothing of {name} failed for good"))
    for told in marked:
        console.print_text(Text(f"to be tried again: {told}"))
    return 0


def _declared(site: OpenEnvironment, name: str) -> Key:
    declared = {want.owner.name: want.owner for want in site.contexts if want.service is not None}
    if name not in declared:
        hint = validation_errors.did_you_mean(name, list(declared)) or "moorage validate lists what is declared"
        raise NotFoundError(f"no file declares {name} in environment {site.name}", hint=hint)
    return declared[name]
