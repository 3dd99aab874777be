"""`moorage wait`: block a script until a model is ready, whichever process reconciles it."""

from __future__ import annotations

import time
from typing import Annotated

from cyclopts import Parameter

from controller.cli.get import Environments
from controller.cli.options import BackendOptions, FileOptions, Name, Output, parse_duration_option
from controller.cli.output import console, status_view
from controller.core.status import Status
from controller.core.values import Key
from controller.environments.factory import open_store
from controller.operations.wait import WaitCondition, wait_for


def wait(
    name: Name,
    /,
    *,
    condition: Annotated[
        str, Parameter(name="--for", help="Condition to wait for: `condition=TYPE` or `condition=TYPE=STATUS`.")
    ] = "condition=Ready",
    timeout: Annotated[str, Parameter(help="Stop waiting after this time.")] = "30m",
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Wait until a condition of a model holds.

    The exit code is 9 when it doesn't hold in time, 6 when the model has no status by then.
    """
    awaited, seconds = WaitCondition.parse(condition), parse_duration_option("--timeout", timeout)
    store = open_store(files.file, environment, home=place.home, local=place.local)
    owner = Key(environment, "ModelService", name)

    def read() -> Status | None:
        store.refresh()
        return store.get_status(owner)

    status = wait_for(awaited, read, seconds, now=time.monotonic, sleep=time.sleep)
    console.print_result(
        form,
        table=lambda wide: status_view.status_table([status], wide=wide),
        data=lambda: status_view.status_object(status, None),
        names=[status_view.resource_name(status)],
    )
    return 0
