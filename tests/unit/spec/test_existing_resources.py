"""What was found: a task definition that is served as it is, a job whose model is taken.

And what may stand beside them.
"""

from __future__ import annotations

import pytest

from controller.errors import SpecError
from controller.spec.load import load_text

HEAD = "apiVersion: moorage/v1alpha1\nkind: ModelService\nmetadata: {name: churn}\nspec:\n"
EXISTING_SERVICE = "  service: {name: churn, taskDefinition: churn:7}\n"


def problems(body: str) -> list[str]:
    """Every problem of a spec: where, what, what next."""
    with pytest.raises(SpecError) as refused:
        load_text(HEAD + body, "a.yaml")
    return [f"{one.line}:{one.column} {one.message} ({one.hint})" for one in refused.value.problems]


def test_existing_revision_needs_neither_data_nor_training() -> None:
    """The revision says what runs, and nothing is trained."""
    spec = load_text(HEAD + EXISTING_SERVICE).services["churn"].model.spec
    assert (spec.data, spec.training, spec.service.task_definition) == (None, None, "churn:7")


def test_data_and_training_are_required_otherwise() -> None:
    """Each is named, as any field that is missing."""
    assert problems("  service: {desiredCount: 2}\n") == [
        "4:1 'data' is missing in spec ((moorage explain modelservice.spec.data))",
        "4:1 'training' is missing in spec ((moorage explain modelservice.spec.training))",
    ]


def test_existing_revision_round_trips_through_json() -> None:
    """What is stored or printed of it can be loaded again and is equal."""
    model = load_text(HEAD + EXISTING_SERVICE).services["churn"].model
    assert type(model).model_validate(model.model_dump(mode="json", by_alias=True)) == model


@pytest.mark.parametrize(
    "section", ["data: {source: a.csv, target: y}", "model: {approval: manual}", "image: {architecture: arm64}"]
)
def test_training_sections_conflict_with_a_revision(section: str) -> None:
    """One of the two has to go, and nobody guesses which."""
    name = section.partition(":")[0]
    said = f"'{name}' makes a model of its own, and service.taskDefinition serves churn:7 as it is"
    assert problems(f"{EXISTING_SERVICE}  {section}\n") == [f"6:3 {said} (take one of the two out)"]


@pytest.mark.parametrize(
    ("field", "column"), [("cpu: 0.25 vCPU", 3), ("env: {A: b}", 3), ("stopTimeout: 30s", 3)], ids=str
)
def test_fields_of_the_revision_are_refused(field: str, column: int) -> None:
    """A second spelling could contradict it, even where it is what a spec has by default."""
    name = field.partition(":")[0]
    body = f"  service:\n    {field}\n    name: churn\n    taskDefinition: churn:7\n"
    assert problems(body) == [
        (
            f"6:{column + 2} '{name}' is said by the task definition churn:7 already"
            " (take it out, or taskDefinition, so that a model of your own serves)"
        )
    ]


@pytest.mark.parametrize(
    "named", ["churn", "churn:latest", "churn:0", "arn:aws:ecs:us-east-1:1:task-definition/churn:7"]
)
def test_a_revision_is_named_by_its_number(named: str) -> None:
    """A family alone would stand for another revision from one day to the next."""
    assert problems(f"  service: {{name: churn, taskDefinition: '{named}'}}\n") == [
        (
            f"5:42 service.taskDefinition '{named}' names no revision of a task definition"
            " (write FAMILY:REVISION, like churn:7)"
        )
    ]


def test_service_and_registry_are_required() -> None:
    """The service, and the registry behind an API, exist as well; and nobody knows what a month of it costs."""
    body = "  service: {taskDefinition: churn:7}\n  api: {id: abc}\n  policy: {maxMonthlyCost: 5 USD}\n"
    assert problems(body) == [
        "5:29 service.taskDefinition needs service.name (add 'name', of the ECS service that runs it)",
        (
            "6:3 api leads to what is served as it is only over service.discovery"
            " (add 'discovery' to service: the Cloud Map service that its tasks are registered in)"
        ),
        "7:28 what churn:7 costs isn't estimated, so maxMonthlyCost can't be held (take it out)",
    ]


TRAINING = "  training: {%salgorithm: {name: xgboost, version: '3.2-0'}, hyperparameters: {num_round: 5}}\n"
JOB, NEW_TRAINING = TRAINING % "job: churn-2026, ", TRAINING % ""
CHANNELS = "channels: {train: 's3://strangers/train/'}, target: y"


def test_adopted_job_names_its_channels() -> None:
    """Its model is taken; the columns have the names that the spec gives them."""
    spec = load_text(HEAD + "  data: {" + CHANNELS + ", features: [a, b]}\n" + JOB).services["churn"].model.spec
    assert spec.data is not None
    assert spec.data.channels is not None
    assert (spec.data.channels.prefixes_by_name, spec.data.source) == ({"train": "s3://strangers/train/"}, None)


@pytest.mark.parametrize(
    ("data", "training", "problem"),
    [
        ("target: y", JOB, "5:3 'source' is missing in spec.data ((moorage explain modelservice.spec.data.source))"),
        (
            CHANNELS,
            JOB,
            (
                "5:10 channels have no header, so nothing names their columns"
                " (add 'features', the names of the columns after the label, in their order)"
            ),
        ),
        (
            f"{CHANNELS}, features: [a], source: a.csv",
            JOB,
            "5:10 'channels' stand in the place of 'source' (take one of the two out)",
        ),
        (
            f"{CHANNELS}, features: [a], split: {{seed: 1}}",
            JOB,
            "5:80 channels are rows that were dealt already (take 'split' out)",
        ),
        (
            f"{CHANNELS}, features: [a]",
            NEW_TRAINING,
            (
                "5:10 data.channels are what a training job has read, and none is named"
                " (name the job as training.job, or a CSV file with a header as data.source)"
            ),
        ),
        (
            "source: a.csv, target: y",
            JOB,
            (
                "6:19 training.job churn-2026 didn't learn from data.source"
                " (name what it read as data.channels, or take 'job' out, so that it is trained on data.source)"
            ),
        ),
    ],
)
def test_job_and_channels_are_required_together(data: str, training: str, problem: str) -> None:
    """What trains here deals its rows itself; what is over has read them ready-made."""
    assert problems("  data: {" + data + "}\n" + training) == [problem]
