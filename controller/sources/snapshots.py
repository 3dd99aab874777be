"""Turn loaded specs into contexts: read and check the data, and identify everything by content."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from controller.core.spec_context import AwsLocation, ResolvedInputs, SpecContext
from controller.core.values import Blob, Key, digest
from controller.dataset import Channel, Dataset, SplitShares, parse_dataset
from controller.errors import DataError, Problem, SpecError
from controller.spec.loaded import LoadedSpec, Specs
from controller.spec.models import ModelService

_MAX_AUTHOR_LENGTH = 200


@dataclass(frozen=True)
class Snapshot:
    """What a source declares at one moment: specs, their data, and the Git commit and its author, if there are any."""

    specs: Specs
    data: Mapping[str, Dataset]
    commit: str = ""
    author: str = ""

    @property
    def environments(self) -> list[str]:
        """The names of the Environments that are declared or used, in reading order."""
        used = [service.model.spec.environment for service in self.specs.services.values()]
        return list(dict.fromkeys([*self.specs.environments, *used]))

    @property
    def owners(self) -> list[Key]:
        """The key of every spec, Environments first."""
        services = (service.model for service in self.specs.services.values())
        return [
            *(Key(name, "Environment", name) for name in self.environments),
            *(Key(service.spec.environment, "ModelService", service.name) for service in services),
        ]

    @property
    def digest(self) -> str:
        """The digest of the declared state; equal digests lead to the same passes."""
        models = [document.model.model_dump(mode="json", by_alias=True) for document in self.specs.documents]
        return digest(models, {name: data.digest for name, data in self.data.items()}, self.commit)


def build_snapshot(specs: Specs, commit: str = "", author: str = "") -> Snapshot:
    """Return specs with the data that they name. Raises SpecError with every problem of every table."""
    return Snapshot(specs, read_data(specs), commit, printable_author(author))


def read_data(specs: Specs) -> dict[str, Dataset]:
    """Return the data of every ModelService that trains a model, by the service's name.

    Raises SpecError with every problem of every table.
    """
    problems: list[Problem] = []
    found: dict[str, Dataset] = {}
    # Models with the same rows share them, in memory as well.
    known: dict[tuple[object, ...], Dataset] = {}
    for name, service in specs.services.items():
        data = service.model.spec.data
        if data is None or data.source is None:
            continue
        split = SplitShares(data.split.validation, data.split.test, data.split.seed)
        try:
            file = service.resolve_path(data.source)
            content = service.document.source.read_file(file)
            asked = (sha256(content).digest(), data.target, tuple(data.features or ()), split)
            if asked not in known:
                known[asked] = parse_dataset(
                    content, file_name=file, target=data.target, features=data.features, split=split
                )
            found[name] = known[asked]
        except DataError as error:
            problems.append(_problem(service, error))
    if problems:
        raise SpecError(tuple(problems))
    return found


def _problem(service: LoadedSpec[ModelService], error: DataError) -> Problem:
    """Return an error as the problem of the field that caused it, with the place in the data if it has one."""
    message = ": ".join(part for part in (error.where, error.what, error.why) if part)
    return service.make_problem(f"spec.data.{error.field}", message, error.hint)


def build_contexts(
    snapshot: Snapshot, environment: str, location: AwsLocation, *, server_digest: str
) -> list[SpecContext]:
    """Return the contexts of the Environment of that name and all its ModelServices, in reading order."""
    home = snapshot.specs.get_environment(environment)
    declared = [service.model for service in snapshot.specs.services.values()]
    services = [service for service in declared if service.spec.environment == environment]
    inputs = {one.name: _resolve_inputs(snapshot, one, server_digest) for one in services}
    shared = SpecContext(home, None, location, model_services=tuple(services))
    return [shared, *(SpecContext(home, one, location, inputs[one.name]) for one in services)]


def _resolve_inputs(snapshot: Snapshot, service: ModelService, server_digest: str) -> ResolvedInputs:
    data = snapshot.data.get(service.name)
    if data is None:
        # The inputs of a completed job, or inputs that are unknown: this machine has none of them.
        features = (service.spec.data.features if service.spec.data else None) or ()
        return ResolvedInputs("", features, {}, server_digest, snapshot.commit, snapshot.author)
    channels = {name: _blob(channel) for name, channel in data.channels.items()}
    return ResolvedInputs(data.digest, data.features, channels, server_digest, snapshot.commit, snapshot.author)


def _blob(channel: Channel) -> Blob:
    return Blob(channel.sha256, channel.size, lambda: channel.content)


def commit_of(directory: Path) -> str:
    """Return the Git commit of a directory, with `-dirty` if files differ from it; empty outside of Git."""
    return _git(directory, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")


def author_of(directory: Path, commit: str) -> str:
    """Return the author of a commit, as `NAME <ADDRESS>`.

    Empty for files that differ from it, which have no author yet.
    """
    if not commit or commit.endswith("-dirty"):
        return ""
    return _git(directory, "show", "--no-patch", "--format=%an <%ae>", commit)


def printable_author(author: str) -> str:
    """Return an author in printable form: the committer chooses the text."""
    return "".join(letter if letter.isprintable() else " " for letter in author)[:_MAX_AUTHOR_LENGTH]


def _git(directory: Path, *asked: str) -> str:
    command = ["git", "-C", str(directory), *asked]
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
