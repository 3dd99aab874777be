"""`moorage import`: write a spec for what exists already. AWS is only read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from controller import embedded
from controller.aws import AwsClient
from controller.cli import output
from controller.cli.options import Files, Place
from controller.errors import UsageError
from controller.imports.draft import Draft
from controller.imports.importer import import_api, import_service
from controller.imports.training_job import add_job
from controller.runtime.compose import open_door
from controller.spec.load import load_specs, load_text
from controller.spec.models import Environment, EnvironmentSpec

app = App(name="import", help="Write a spec for what exists already.")
_OWN = "To serve a model of its own, add data and training, and put this in the place of service:"
Job = Annotated[str, Parameter(help="Training job whose settings the spec takes.", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Writing:
    """Where to look, and what to write."""

    name: Annotated[str, Parameter(help="Name of the ModelService; by default from what is imported.")] = ""
    environment: Annotated[
        str, Parameter(help="Environment of --file to put it into; by default one is written beside it.")
    ] = ""
    region: Annotated[str, Parameter(help="Region to look in, without --environment.")] = "us-east-1"
    data: Annotated[str, Parameter(help="CSV file to train a model on, relative to the spec.")] = ""
    target: Annotated[str, Parameter(help="Column of it to predict.")] = ""
    out: Annotated[Path | None, Parameter(help="File to write, which must not exist; by default stdout.")] = None


@app.command
def service(
    service: Annotated[str, Parameter(help="CLUSTER/NAME of an ECS service.")],
    /,
    *,
    api: Annotated[str, Parameter(help="Id of the HTTP API in front of it; by default it is looked for.")] = "",
    training_job: Job = "",
    writing: Writing = Writing(),
    files: Files = Files(),
    place: Place = Place(),
) -> int:
    """Write a spec for an ECS service on Fargate, and for the HTTP API that leads to it."""
    cluster, _, name = service.partition("/")
    if not (cluster and name):
        raise UsageError(f"'{service}' is no service", hint="moorage import service CLUSTER/NAME")

    def read(aws: AwsClient) -> Draft:
        return import_service(aws, cluster, name, api=api, job=training_job, settings_only=bool(writing.data))

    return _write(read, writing, files, place)


@app.command
def api(
    api_id: Annotated[str, Parameter(help="Id of an HTTP API.")],
    /,
    *,
    training_job: Job = "",
    writing: Writing = Writing(),
    files: Files = Files(),
    place: Place = Place(),
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
    writing: Writing = Writing(),
    files: Files = Files(),
    place: Place = Place(),
) -> int:
    """Write a spec for the model of a job of SageMaker's built-in XGBoost; with --data, for training as that job did."""
    return _write(lambda aws: add_job(aws, job, settings_only=bool(writing.data)), writing, files, place)


def _write(read: Callable[[AwsClient], Draft], writing: Writing, files: Files, place: Place) -> int:
    if writing.out is not None and writing.out.exists():
        raise UsageError(f"{writing.out} exists already", hint="name another file, or remove that one")
    endpoint = embedded.up(place.home).endpoint if place.local else None
    draft = read(open_door(_environment(writing, files), endpoint))
    if writing.name:
        draft = replace(draft, name=writing.name)
    if not draft.model_sections or not draft.is_served_as_is or writing.data or writing.target:
        draft.train_model(data=writing.data, target=writing.target)
    text = _text(draft, writing.environment)
    load_text(text, str(writing.out or "import"))  # what is written can be read again
    if writing.out is None:
        output.show(Text(text.rstrip("\n")))
    else:
        writing.out.write_text(text, encoding="utf-8")
        output.progress(Text(f"wrote {writing.out}"))
    return 0


def _environment(writing: Writing, files: Files) -> Environment:
    if writing.environment:
        return load_specs(files.file).get_environment(writing.environment)
    home = Environment.default()
    return home.model_copy(update={"spec": EnvironmentSpec(region=writing.region)})


def _text(draft: Draft, environment: str) -> str:
    documents = draft.documents(environment or "default", declared=bool(environment))
    text = _comment(draft.notes()) + "---\n".join(output.as_yaml(document) for document in documents)
    if not draft.is_served_as_is:
        return text
    own = [f"  {line}" for line in output.as_yaml(draft.model_sections).splitlines()]
    return text + _comment([_OWN, *own, *draft.training_notes()])


def _comment(lines: Iterable[str]) -> str:
    return "".join(f"# {line}\n" for line in lines)
