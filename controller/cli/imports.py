"""`moorage import`: write a spec for existing AWS objects. Only reads AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from controller import embedded
from controller.aws import AwsClient
from controller.cli.options import BackendOptions, FileOptions
from controller.cli.output import console
from controller.environments.factory import connect_environment
from controller.errors import UsageError
from controller.imports.draft import Draft
from controller.imports.importer import import_api, import_service
from controller.imports.training_job import add_job
from controller.spec.load import load_specs, load_text
from controller.spec.models import Environment, EnvironmentSpec

app = App(name="import", help="Write a spec for existing AWS objects. Only reads AWS.")
_OWN = "To serve a model that Moorage trains, add data and training, and replace service with this:"
Job = Annotated[str, Parameter(help="Training job to copy the settings from.", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DraftOptions:
    """Where to read, and what to write."""

    name: Annotated[str, Parameter(help="Name of the ModelService; by default derived from the imported object.")] = ""
    environment: Annotated[
        str,
        Parameter(help="Environment in --file for the ModelService; by default the output has its own Environment."),
    ] = ""
    region: Annotated[str, Parameter(help="Region to read, without --environment.")] = "us-east-1"
    data: Annotated[str, Parameter(help="CSV file to train a model on, relative to the spec.")] = ""
    target: Annotated[str, Parameter(help="Column of --data to predict.")] = ""
    out: Annotated[Path | None, Parameter(help="File to write; it must not exist. By default stdout.")] = None


@app.command
def service(
    service: Annotated[str, Parameter(help="CLUSTER/NAME of an ECS service.")],
    /,
    *,
    api: Annotated[
        str, Parameter(help="Id of the HTTP API that leads to the service; by default Moorage searches for it.")
    ] = "",
    training_job: Job = "",
    writing: DraftOptions = DraftOptions(),
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Write a spec for an ECS service on Fargate and for the HTTP API that leads to it."""
    cluster, _, name = service.partition("/")
    if not (cluster and name):
        raise UsageError(f"'{service}' isn't an ECS service", hint="write CLUSTER/NAME")

    def read(aws: AwsClient) -> Draft:
        return import_service(aws, cluster, name, api=api, job=training_job, settings_only=bool(writing.data))

    return _write(read, writing, files, place)


@app.command
def api(
    api_id: Annotated[str, Parameter(help="Id of an HTTP API.")],
    /,
    *,
    training_job: Job = "",
    writing: DraftOptions = DraftOptions(),
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Write a spec for an HTTP API and the ECS service that it leads to."""
    return _write(
        lambda aws: import_api(aws, api_id, job=training_job, settings_only=bool(writing.data)), writing, files, place
    )


@app.command
def training_job(
    job: Annotated[str, Parameter(help="Name of a SageMaker training job.")],
    /,
    *,
    writing: DraftOptions = DraftOptions(),
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Write a spec for the model of a job of SageMaker's built-in XGBoost; with --data, a spec that trains like it."""
    return _write(lambda aws: add_job(aws, job, settings_only=bool(writing.data)), writing, files, place)


def _write(read: Callable[[AwsClient], Draft], options: DraftOptions, files: FileOptions, place: BackendOptions) -> int:
    if options.out is not None and options.out.exists():
        raise UsageError(
            f"{options.out} exists already, and import doesn't overwrite files", hint="name another file, or remove it"
        )
    endpoint = embedded.up(place.home).endpoint if place.local else None
    draft = read(connect_environment(_environment(options, files), endpoint))
    if options.name:
        draft = replace(draft, name=options.name)
    if not draft.model_sections or not draft.is_served_as_is or options.data or options.target:
        draft.train_model(data=options.data, target=options.target)
    text = _draft_text(draft, options.environment)
    load_text(text, str(options.out or "import"))  # raises if Moorage couldn't read its own output
    if options.out is None:
        console.print_text(Text(text.rstrip("\n")))
    else:
        options.out.write_text(text, encoding="utf-8")
        console.print_progress(Text(f"wrote {options.out}"))
    return 0


def _environment(options: DraftOptions, files: FileOptions) -> Environment:
    if options.environment:
        return load_specs(files.file).get_environment(options.environment)
    home = Environment.default()
    return home.model_copy(update={"spec": EnvironmentSpec(region=options.region)})


def _draft_text(draft: Draft, environment: str) -> str:
    documents = draft.documents(environment or "default", declared=bool(environment))
    text = _comment(draft.notes()) + "---\n".join(console.to_yaml(document) for document in documents)
    if not draft.is_served_as_is:
        return text
    own = [f"  {line}" for line in console.to_yaml(draft.model_sections).splitlines()]
    return text + _comment([_OWN, *own, *draft.training_notes()])


def _comment(lines: Iterable[str]) -> str:
    return "".join(f"# {line}\n" for line in lines)
