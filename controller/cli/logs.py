"""`moorage logs`: the log lines of a model's tasks or training job, or its events."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from cyclopts import Parameter

from controller.cli.get import Environments, find_status, resource_id
from controller.cli.options import BackendOptions, FileOptions, Name, parse_duration_option
from controller.core.status import Status
from controller.environments.factory import open_aws_client, open_store
from controller.operations.logs import (
    TRAINING_GROUP,
    LogLine,
    LogSource,
    cloudwatch_source,
    controller_source,
    follow_lines,
)
from controller.operations.logs import read_lines as lines_of
from controller.resources.sagemaker_training_job import is_finished
from controller.store.base import Store


def logs(
    name: Name,
    /,
    *,
    of: Annotated[
        Literal["service", "training", "controller"],
        Parameter(help="Source: the running tasks, the newest training job, or the controller's events."),
    ] = "service",
    follow_: Annotated[
        bool,
        Parameter(
            name="--follow", negative="", help="Print new lines until interrupted, or until the training job ends."
        ),
    ] = False,
    since: Annotated[str, Parameter(help="Start this long ago.")] = "24h",
    lines: Annotated[int, Parameter(name="--tail", help="Maximum number of lines before --follow begins.")] = 200,
    form: Annotated[Literal["text", "json"], Parameter(name=("--output", "-o"), help="Output format.")] = "text",
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Print a model's logs, oldest line first. With --follow, training logs end when the job does."""
    store = open_store(files.file, environment, home=place.home, local=place.local)
    status = find_status(store, environment, name)
    source, is_over = _source(of, status, store, files, place)
    start = round((time.time() - parse_duration_option("--since", since)) * 1000)
    found = lines_of(source, start)
    write = _as_json if form == "json" else _as_text
    for line in found[max(0, len(found) - lines) :]:
        write(line)
    if follow_:
        for line in follow_lines(source, start, found, is_over, time.sleep):
            write(line)
    return 0


def _source(
    of: str, status: Status, store: Store, files: FileOptions, place: BackendOptions
) -> tuple[LogSource, Callable[[], bool]]:
    """Return the source of the lines, and a predicate that holds once no more lines will come."""
    if of == "controller":
        return controller_source(store, status.owner), lambda: False
    aws = open_aws_client(files.file, status.owner.environment, home=place.home, local=place.local)
    if of == "service":
        return cloudwatch_source(aws, _group(resource_id(status, "logs/log-group"))), lambda: False
    job = resource_id(status, "sagemaker/training-job").rpartition("/")[2]
    return cloudwatch_source(aws, TRAINING_GROUP, f"{job}/"), partial(is_finished, aws, job)


def _group(name_or_arn: str) -> str:
    """Return a log group's name; its ARN may end in `:*`."""
    return name_or_arn.removesuffix(":*").rpartition("log-group:")[2]


def _as_text(line: LogLine) -> None:
    sys.stdout.write(f"{line.stamp}  {line.source}  {line.message}\n")
    sys.stdout.flush()


def _as_json(line: LogLine) -> None:
    data = {"time": line.stamp, "source": line.source, "message": line.message}
    sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")
    sys.stdout.flush()
