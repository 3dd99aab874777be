"""`moorage get`, `describe` and `events`: statuses and events from the store. None of them calls AWS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from controller.cli.options import BackendOptions, FileOptions, Name, Output
from controller.cli.output import console, event_view, status_view
from controller.core.status import Event, Status
from controller.environments.factory import open_store
from controller.errors import NotFoundError, SpecError
from controller.spec import validation_errors
from controller.spec.load import load_specs
from controller.spec.models import Environment, ModelService
from controller.store.base import Store

Environments = Annotated[str, Parameter(help="Name of the Environment.")]


def get(
    name: Name = "",
    /,
    *,
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Show the status of all specs of an environment, or of one."""
    store = open_store(files.file, environment, home=place.home, local=place.local)
    found = [find_status(store, environment, name)] if name else list(store.list_statuses(environment))
    if not found:
        console.print_progress(Text(f"environment {environment} has no status yet: it was never reconciled"))
    declared = _declared_owners(files)
    objects = [
        status_view.status_object(status, declared.get((status.owner.kind, status.owner.name))) for status in found
    ]
    console.print_result(
        form,
        table=lambda wide: status_view.status_table(found, wide=wide),
        data=lambda: objects[0] if name else {"items": objects},
        names=[status_view.resource_name(status) for status in found],
    )
    return 0


def describe(
    name: Name,
    /,
    *,
    events: Annotated[int, Parameter(help="Number of latest events to show.")] = 20,
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Show one spec with its conditions, resources and latest events."""
    store = open_store(files.file, environment, home=place.home, local=place.local)
    status = find_status(store, environment, name)
    latest = list(store.list_events(status.owner, limit=events)) if events else []
    known = _declared_owners(files).get((status.owner.kind, status.owner.name))
    console.print_result(
        form,
        table=lambda _: status_view.description(status, latest),
        data=lambda: (
            status_view.status_object(status, known) | {"events": [event_view.event_data(event) for event in latest]}
        ),
        names=[status_view.resource_name(status)],
    )
    return 0


def events(
    name: Name = "",
    /,
    *,
    environment: Environments = "default",
    limit: Annotated[int, Parameter(help="Maximum number of events.")] = 100,
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Show events, oldest first, of all specs or of one."""
    store = open_store(files.file, environment, home=place.home, local=place.local)
    owner = find_status(store, environment, name).owner if name else None
    found: Sequence[Event] = list(store.list_events(owner, limit=limit))
    console.print_result(
        form,
        table=lambda _: event_view.event_lines(found),
        data=lambda: [event_view.event_data(event) for event in found],
        names=[event_view.event_subject(event) for event in found],
    )
    return 0


def find_status(store: Store, environment: str, name: str) -> Status:
    """Return the status of the ModelService with that name, or else of the Environment.

    Raises NotFoundError when neither has a status.
    """
    known = list(store.list_statuses(environment))
    for kind in ("ModelService", "Environment"):
        for status in known:
            if (status.owner.kind, status.owner.name) == (kind, name):
                return status
    hint = (
        validation_errors.did_you_mean(name, [status.owner.name for status in known])
        or f"moorage get --environment {environment} lists the specs with a status"
    )
    raise NotFoundError(f"environment {environment} has no status of {name}", hint=hint)


def resource_id(status: Status, kind: str) -> str:
    """Return the name or ARN of a spec's resource of a kind, as last observed.

    Raises NotFoundError when the status has no such resource.
    """
    found = next((state.id for state in status.resources if state.key.kind == kind and state.id), "")
    if not found:
        raise NotFoundError(
            f"{status.owner.name} has no {kind} yet",
            hint=f"moorage describe {status.owner.name} shows the resources that it waits for",
        )
    return found


def _declared_owners(files: FileOptions) -> dict[tuple[str, str], Environment | ModelService]:
    """Return the declared specs by kind and name; empty if the files can't be read, as the status is enough."""
    try:
        specs = load_specs(files.file)
    except SpecError:
        return {}
    return {(document.model.kind, document.model.name): document.model for document in specs.documents}
