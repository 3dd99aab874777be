"""The sections `data`, `training` and `model` of a ModelService: from a table to the version that may serve."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from controller.spec import hyperparameters as table
from controller.spec.domains import HyperparameterValue
from controller.spec.findings import Finding, finding_error, raise_findings
from controller.spec.strict import Items, RoleArn, StrictModel, find_duplicates
from controller.spec.units import Duration, Volume

Fraction = Annotated[float, Field(gt=0, lt=1)]
SECONDS_PER_DAY = 86400

# Version → why it can't be used. XGBoost's formats: a server can read a model only if it is not older than its trainer,
# and 3.2 dropped the binary format that 1.3 to 1.7 wrote.
UNSUPPORTED_VERSIONS = {
    "1.0-1": "writes pickled models, which are never loaded",
    "1.2-1": "writes pickled models, which are never loaded",
    "1.2-2": "writes pickled models, which are never loaded",
    "1.3-1": "writes a binary format that XGBoost 3.2 can't read",
    "1.5-1": "writes a binary format that XGBoost 3.2 can't read",
    "1.7-1": "writes a binary format that XGBoost 3.2 can't read",
}


def _check_source(source: str) -> str:
    if match := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", source):
        raise finding_error(
            f"data.source can't be {match[1]}://: only a file is read", "name a CSV file, relative to this spec"
        )
    if not source or "\0" in source:
        raise finding_error("data.source names no file", "name a CSV file, relative to this spec")
    return source


class Split(StrictModel):
    """How rows are dealt, by a hash of their content and the seed."""

    validation: Fraction = 0.08
    """Share of the rows that training watches."""
    test: Fraction = 0.2
    """Share of the rows that training never sees; gates are measured on them."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 35
    """Another seed deals the rows anew."""

    @model_validator(mode="after")
    def _check_shares(self) -> Split:
        if self.validation + self.test >= 1:
            raise finding_error(f"validation {self.validation:g} and test {self.test:g} leave no rows to train on")
        return self


Prefix = Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s*?]+$")]


class Channels(StrictModel):
    """Rows that a training job has read: CSV in S3 without a header, the label first.

    Each takes a prefix, as SageMaker does.
    """

    train: Prefix
    """What it learned from, like `s3://bucket/train/`."""
    validation: Prefix | None = None
    """What it watched."""
    test: Prefix | None = None
    """What it never saw; gates on `test` are measured on it."""

    @property
    def prefixes_by_name(self) -> dict[str, str]:
        """The channels that there are, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: prefix for name, prefix in found.items() if prefix is not None}


class Data(StrictModel):
    """The table the model learns from."""

    source: Annotated[str, AfterValidator(_check_source)] | None = None
    """CSV file with a header, relative to this spec."""
    channels: Channels | None = None
    """In the place of `source`: what the job has read that `training.job` names."""
    target: Annotated[str, Field(min_length=1)]
    """The column to predict."""
    features: Annotated[Items[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None
    """Columns to learn from, in this order; left out: every other column.

    Of `channels`, the names of all columns after the label.
    """
    split: Split = Split()
    """How rows are dealt to training, validation and test."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Data:
        raise_findings(
            [
                *self._invalid_features(),
                *(self._invalid_source() if self.channels is None else self._invalid_channels()),
            ]
        )
        return self

    def _invalid_source(self) -> Iterator[Finding]:
        if self.source is None:
            yield Finding(
                "'source' is missing in spec.data", "(moorage explain modelservice.spec.data.source)", at_key=True
            )

    def _invalid_channels(self) -> Iterator[Finding]:
        if self.source is not None:
            hint = "take one of the two out"
            yield Finding("'channels' stand in the place of 'source'", hint, ("channels",), at_key=True)
        if self.features is None:
            hint = "add 'features', the names of the columns after the label, in their order"
            yield Finding("channels have no header, so nothing names their columns", hint, ("channels",), at_key=True)
        if self.split != Split():
            yield Finding("channels are rows that were dealt already", "take 'split' out", ("split",), at_key=True)

    def _invalid_features(self) -> Iterator[Finding]:
        features = self.features or ()
        for index in find_duplicates(features):
            yield Finding(f"feature '{features[index]}' is listed twice", path=("features", index))
        if self.target in features:
            yield Finding(
                f"the target '{self.target}' can't be a feature", path=("features", features.index(self.target))
            )


def _check_version(version: str) -> str:
    if version not in table.SUPPORTED_VERSIONS:
        offered = f"use one of {', '.join(table.SUPPORTED_VERSIONS)}"
        if version in UNSUPPORTED_VERSIONS:
            raise finding_error(
                f"algorithm version {version} can't be served: it {UNSUPPORTED_VERSIONS[version]}", offered
            )
        raise finding_error(f"'{version}' is not a version of SageMaker's XGBoost that can be served", offered)
    return version


class Algorithm(StrictModel):
    """SageMaker's built-in algorithm."""

    name: Literal["xgboost"] = "xgboost"
    """Only `xgboost`."""
    version: Annotated[
        str, AfterValidator(_check_version), Field(json_schema_extra={"enum": list(table.SUPPORTED_VERSIONS)})
    ]
    """Version of the training image, in quotes."""


class Instance(StrictModel):
    """What the training job runs on."""

    type: Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")] = "ml.m5.large"
    """SageMaker instance type."""
    count: Literal[1] = 1
    """Always 1: each channel is one file, so a second host would have no rows of its own."""
    volume: Volume = 5
    """Size of the disk."""


class Spot(StrictModel):
    """Managed spot training."""

    enabled: bool = False
    """Whether to train on spare capacity; an interrupted job starts from the first round again."""
    max_wait: Duration | None = None
    """How long to wait for capacity and training together; needed with `enabled`."""


class Stopping(StrictModel):
    """When a training job is given up."""

    max_runtime: Duration = 3600
    """Longest run of a training job; at most 28 days."""


# Checked as a whole, so that one value of a wrong type hides nothing else that is wrong.
Hyperparameters = Annotated[
    Mapping[str, HyperparameterValue],
    PlainValidator(table.validate_hyperparameters),
    WithJsonSchema(table.json_schema()),
]


class Training(StrictModel):
    """How the model is trained."""

    algorithm: Algorithm
    """What trains it."""
    role_arn: RoleArn | None = None
    """Execution role of the training job; left out: a least-privilege role is made and owned."""
    instance: Instance = Instance()
    """What the training job runs on."""
    spot: Spot = Spot()
    """Managed spot training."""
    stopping: Stopping = Stopping()
    """When a training job is given up."""
    job: Annotated[str, Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$")] | None = None
    """Completed training job that has done just this: its model is taken, and nothing is trained.

    It needs `data.channels`.
    """
    hyperparameters: Hyperparameters
    """SageMaker XGBoost's hyperparameters, as its documentation spells them; `num_round` is required."""

    @model_validator(mode="after")
    def _check_limits(self) -> Training:
        raise_findings(self._invalid_limits())
        return self

    def _invalid_limits(self) -> Iterator[Finding]:
        runtime, wait = self.stopping.max_runtime, self.spot.max_wait
        if not 1 <= runtime <= 28 * SECONDS_PER_DAY:
            yield Finding(f"maxRuntime is {runtime} s; SageMaker takes 1 s to 28 d", path=("stopping", "maxRuntime"))
        if self.spot.enabled and wait is None:
            yield Finding("spot needs maxWait", "add 'maxWait', at least stopping.maxRuntime", ("spot",))
        if wait is not None and wait < runtime:
            hint = f"at least {runtime}s, or a shorter stopping.maxRuntime"
            yield Finding(
                f"spot.maxWait is {wait} s, less than stopping.maxRuntime of {runtime} s", hint, ("spot", "maxWait")
            )


# Prefix of the objective → what is measured of its models. XGBoost's default objective is reg:squarederror.
METRICS_BY_OBJECTIVE = {
    "binary:logistic": ("logloss", "error", "auc"),
    "binary:logitraw": ("auc",),
    "binary:hinge": ("error",),
    "multi:": ("mlogloss", "merror"),
    "reg:": ("rmse", "mae"),
    "count:": ("rmse", "mae"),
}


def metrics_for(objective: str) -> tuple[str, ...]:
    """Names of the metrics that are measured for an objective; empty if none is."""
    return next((metrics for prefix, metrics in METRICS_BY_OBJECTIVE.items() if objective.startswith(prefix)), ())


class Gate(StrictModel):
    """A condition that a new version must meet before it may serve. Exactly one of `max` and `min`."""

    metric: Literal["rmse", "mae", "logloss", "error", "auc", "mlogloss", "merror"]
    """What is measured."""
    dataset: Literal["train", "validation", "test"] = "test"
    """Which rows it is measured on."""
    max: float | None = None
    """The metric may be at most this."""
    min: float | None = None
    """The metric must be at least this."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Gate:
        if (self.max is None) == (self.min is None):
            raise finding_error("a gate needs exactly one of 'max' and 'min'")
        return self


class Model(StrictModel):
    """Which version may serve."""

    version: Annotated[int, Field(ge=1)] | None = None
    """Pins a version of the model package group; left out: the approved version of this spec's training."""
    approval: Literal["auto", "manual"] = "auto"
    """`auto`: passing every gate approves; `manual`: a person approves in the SageMaker Model Registry."""
    gates: Items[Gate] = ()
    """Conditions a new version must meet."""
