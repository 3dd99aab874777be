"""`moorage rollback`: pin a model that served before in the spec. Git stays the source of truth."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from controller import embedded
from controller.cli.options import BackendOptions, FileOptions, Name
from controller.cli.output import console
from controller.core.spec_context import AwsLocation, SpecContext
from controller.environments.factory import connect_environment
from controller.errors import NotFoundError
from controller.lineage import find_rollback_target
from controller.spec import validation_errors
from controller.spec.edit import pin_version
from controller.spec.load import load_specs


def rollback(
    name: Name,
    /,
    *,
    to_revision: Annotated[
        int | None, Parameter(help="Revision of the task definition; by default the last that served another model.")
    ] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Show the edit without changing the file.")] = False,
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Pin the model that an earlier revision served in the spec's file, and show the edit.

    The next reconcile applies it. Only the model version goes back: CPU, memory and routes stay as the spec has them.
    """
    specs = load_specs(files.file)
    loaded = specs.services.get(name)
    if loaded is None:
        raise NotFoundError(f"no file declares {name}", hint=validation_errors.did_you_mean(name, specs.services))
    home = specs.get_environment(loaded.model.spec.environment)
    aws = connect_environment(home, embedded.up(place.home).endpoint if place.local else None)
    context = SpecContext(home, loaded.model, AwsLocation(aws.account, aws.region, aws.partition))
    revision, version = find_rollback_target(aws, context.owner, context.physical_name(limit=255), to_revision)
    file, text = loaded.document.source.file, pin_version(loaded, version)
    old, new = (content.splitlines(keepends=True) for content in (loaded.document.source.text, text))
    sys.stdout.writelines(difflib.unified_diff(old, new, file, file))
    if not dry_run:
        Path(file).write_text(text, encoding="utf-8")
    console.print_progress(
        Text(f"version {version} served in revision {revision}; commit the edit, and the next reconcile applies it")
    )
    return 0
