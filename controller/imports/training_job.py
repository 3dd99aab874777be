"""Describe a SageMaker training job of the built-in XGBoost as the `training` section of a spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from controller.aws import AwsClient
from controller.aws.images import XGBOOST_ACCOUNTS
from controller.core.values import Value
from controller.errors import FailedError, MissingError, NotFoundError
from controller.imports.channels import read_channels
from controller.imports.draft import Draft, spec_name
from controller.resources.sagemaker_training_job import INTERNAL_HYPERPARAMETER_PREFIXES
from controller.spec import hyperparameters as table
from controller.spec.training import UNSUPPORTED_VERSIONS

_HINT = "Moorage trains SageMaker's built-in XGBoost; another model is served from its bundle (moorage bundle)"
_IMAGE = re.compile(r"(?P<account>[0-9]{12})\.dkr\.ecr\.[^/]+/sagemaker-xgboost:(?P<version>[0-9.]+-[0-9]+)")
# Settings of a job that no spec has, by their names in DescribeTrainingJob, and their meaning.
_UNSUPPORTED_SETTINGS = {
    "VpcConfig": "it ran inside a VPC",
    "CheckpointConfig": "it wrote checkpoints",
    "DebugHookConfig": "it was watched by the debugger",
    "TensorBoardOutputConfig": "it wrote for TensorBoard",
    "ExperimentConfig": "it was part of an experiment",
    "Environment": "it was given environment variables",
    "RetryStrategy": "it was tried again after internal errors",
}


def add_job(aws: AwsClient, name: str, draft: Draft | None = None, *, settings_only: bool = False) -> Draft:
    """Add a job to a draft: its settings and its model, or with `settings_only` the settings alone.

    Raises NotFoundError, and FailedError for a job that Moorage can't train or serve.
    """
    try:
        job = aws.read("sagemaker", "describe_training_job", TrainingJobName=name)
    except MissingError as error:
        raise NotFoundError(f"there is no training job {name} in {aws.region}") from error
    version = _version(job)
    draft = draft or Draft(f"the training job {name} in {aws.region}", spec_name(name))
    draft.environment.setdefault("region", aws.region)
    draft.environment.setdefault("account", aws.account)
    section = _section(job, version, draft)
    if settings_only:
        draft.spec = {"training": section, **draft.spec}
        draft.changes.append(f"the training's role: one made by Moorage instead of {job['RoleArn']}")
        draft.unmanaged.append(f"the job {name} and its model: other rows make another model, of a version of its own")
    else:
        draft.spec = {"data": read_channels(aws, job, draft), "training": {"job": name, **section}, **draft.spec}
        draft.unmanaged.append(f"the job {name}, its model and its rows: they are read, and stay whose they are")
    _add_notes(job, draft)
    return draft


def _version(job: Mapping[str, Any]) -> str:
    image = job["AlgorithmSpecification"].get("TrainingImage") or job["AlgorithmSpecification"].get("AlgorithmName", "")
    found = _IMAGE.match(image)
    what, where = f"the training job {job['TrainingJobName']} can't be said in a spec", job["TrainingJobArn"]
    if found is None or found["account"] not in XGBOOST_ACCOUNTS.values():
        raise FailedError(what, where=where, why=f"it ran {image}", hint=_HINT)
    if found["version"] not in table.SUPPORTED_VERSIONS:
        why = UNSUPPORTED_VERSIONS.get(found["version"], "is not a version whose models can be served")
        offered = f"use one of {', '.join(table.SUPPORTED_VERSIONS)}"
        raise FailedError(what, where=where, why=f"XGBoost {found['version']} {why}", hint=offered)
    return found["version"]


def _section(job: Mapping[str, Any], version: str, draft: Draft) -> dict[str, Value]:
    resources = job["ResourceConfig"]
    section: dict[str, Value] = {
        "algorithm": {"name": "xgboost", "version": version},
        "instance": {"type": resources["InstanceType"], "volume": f"{resources['VolumeSizeInGB']}Gi"},
        "stopping": {"maxRuntime": f"{job['StoppingCondition']['MaxRuntimeInSeconds']}s"},
        "hyperparameters": dict(_hyperparameters(job, draft)),
    }
    if job.get("EnableManagedSpotTraining"):
        section["spot"] = {"enabled": True, "maxWait": f"{job['StoppingCondition']['MaxWaitTimeInSeconds']}s"}
    if resources.get("InstanceCount", 1) != 1:
        draft.changes.append(f"training on one instance instead of {resources['InstanceCount']}")
    return section


def _hyperparameters(job: Mapping[str, Any], draft: Draft) -> Iterator[tuple[str, Value]]:
    for name, text in sorted(job.get("HyperParameters", {}).items()):
        if name.startswith(INTERNAL_HYPERPARAMETER_PREFIXES):
            draft.unmanaged.append(f"the hyperparameter {name}, which is SageMaker's own")
        else:
            yield name, _parse_number(text)


def _parse_number(text: str) -> Value:
    """Return a number if its text is the same again: SageMaker takes all hyperparameters as text."""
    for kind in (int, float):
        try:
            if str(kind(text)) == text:
                return kind(text)
        except ValueError:
            continue
    return text


def _add_notes(job: Mapping[str, Any], draft: Draft) -> None:
    draft.unmanaged.extend(f"{reported} ({name})" for name, reported in _UNSUPPORTED_SETTINGS.items() if job.get(name))
    if job.get("OutputDataConfig", {}).get("KmsKeyId") or job["ResourceConfig"].get("VolumeKmsKeyId"):
        draft.unmanaged.append("it encrypted its output or its disk with a KMS key of the account's")
    if job.get("EnableNetworkIsolation"):
        draft.unmanaged.append("it had no network (EnableNetworkIsolation)")
