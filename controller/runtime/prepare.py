"""From loaded specs to what they want: the data is read and checked, and everything is known by content."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from controller.core.values import Blob
from controller.core.wanted import Inputs, Place, Wanted
from controller.dataset import Channel, Dataset, Split, parse
from controller.errors import DataError, Problem, SpecError
from controller.spec.loaded import Loaded, Specs
from controller.spec.models import ModelService


def read_data(specs: Specs) -> dict[str, Dataset]:
    """The data of every ModelService, by the service's name. Raises SpecError with every problem of every table."""
    problems: list[Problem] = []
    found: dict[str, Dataset] = {}
    for name, service in specs.services.items():
        data = service.model.spec.data
        split = Split(data.split.validation, data.split.test, data.split.seed)
        try:
            file = service.beside(data.source)
            content = service.document.source.read(file)
            found[name] = parse(content, name=file, target=data.target, features=data.features, split=split)
        except DataError as error:
            problems.append(_problem(service, error))
    if problems:
        raise SpecError(tuple(problems))
    return found


def _problem(service: Loaded[ModelService], error: DataError) -> Problem:
    """The error at the field that is at fault, with the place in the data where there is one."""
    message = ": ".join(part for part in (error.where, error.what, error.why) if part)
    return service.problem(f"spec.data.{error.field}", message, error.hint)


def wants(
    specs: Specs, data: Mapping[str, Dataset], environment: str, place: Place, *, server_digest: str, commit: str = ""
) -> list[Wanted]:
    """The Environment of that name and all its ModelServices, in the order in which they were read."""
    home = specs.environment(environment)
    services = [service.model for service in specs.services.values() if service.model.spec.environment == environment]
    return [
        Wanted(home, None, place),
        *(Wanted(home, service, place, _inputs(data[service.name], server_digest, commit)) for service in services),
    ]


def environments(specs: Specs) -> list[str]:
    """The names of the Environments that are declared or used, in reading order."""
    used = [service.model.spec.environment for service in specs.services.values()]
    return list(dict.fromkeys([*specs.environments, *used]))


def _inputs(data: Dataset, server_digest: str, commit: str) -> Inputs:
    channels = {name: _blob(channel) for name, channel in data.channels.items()}
    return Inputs(data.digest, data.features, channels, server_digest, commit)


def _blob(channel: Channel) -> Blob:
    return Blob(channel.sha256, channel.size, lambda: channel.content)


def commit_of(directory: Path) -> str:
    """The Git commit that a directory is at, with `-dirty` when files differ from it; empty outside of Git."""
    command = ["git", "-C", str(directory), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
