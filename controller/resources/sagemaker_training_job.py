"""SageMaker training jobs. Names contain the fingerprint: an identical finished job is reused, never run again.

A failed job keeps its name. Once a tag marks it for a retry, the next attempt's name ends in a number, so AWS alone
shows what was tried.

A job that a spec names is complete and belongs to others: it is compared with the spec's settings, and never written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from controller.aws import AwsClient
from controller.aws.images import xgboost_image_uri
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import RETRY_TAG, parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Format, Key, Ref, Value
from controller.errors import ConflictError, FailedError, MissingError
from controller.resources.base import PermissionScope, Resource
from controller.spec.models import Training

UNSUCCESSFUL = ("Failed", "Stopped")
FINISHED = ("Completed", *UNSUCCESSFUL)
# A job's name has 63 characters at most; those of later attempts end in `-2`, `-3`, …
_MAX_NAME_LENGTH = 60
CHANNELS = ("train", "validation")
# The prefixes of names that SageMaker itself adds to the hyperparameters.
INTERNAL_HYPERPARAMETER_PREFIXES = ("sagemaker_", "_")


class TrainingJob(Resource):
    """One run of the built-in algorithm. A job never changes; other settings make another job."""

    kind = "sagemaker/training-job"
    condition_type = "Trained"
    consequence = "trains a model"
    superseded_policy = "stop"
    reference_outputs = frozenset({"arn", "artifact"})
    retention_category = "registry"
    # A job keeps the settings that it was started with. Only its presence under its name counts: the name contains the
    # fingerprint.
    policy = FieldPolicy(
        revisioned=True, ignore=frozenset({"*"}), immutable=frozenset({"image", "hyperparameters", "channels"})
    )
    permissions = {
        "sagemaker.describe_training_job": frozenset({"sagemaker:DescribeTrainingJob"}),
        "sagemaker.list_tags": frozenset({"sagemaker:ListTags"}),
        "sagemaker.create_training_job": frozenset(
            {"sagemaker:CreateTrainingJob", "sagemaker:AddTags", "iam:PassRole"}
        ),
        "sagemaker.add_tags": frozenset({"sagemaker:AddTags"}),
        "sagemaker.stop_training_job": frozenset({"sagemaker:StopTrainingJob"}),
        "sagemaker.delete_training_job": frozenset({"sagemaker:DeleteTrainingJob"}),
    }
    # Other settings make another job, so a name ends in eight characters of hash; a later attempt adds a number.
    scopes = {
        "sagemaker:": (
            PermissionScope("sagemaker:{region}:{account}:training-job/moorage-{owner}-????????"),
            PermissionScope("sagemaker:{region}:{account}:training-job/moorage-{owner}-????????-*"),
            PermissionScope("sagemaker:{region}:{account}:training-job/{job}"),
        )
    }

    def scope_variables(self, context: SpecContext, node: Node) -> Mapping[str, Value]:
        """Return its name, and that of a job which the spec names."""
        return {**node.identity, "job": context.trainable_spec.training.job if context.trainable_spec else None}

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one job for the spec's fingerprint, or the one that the spec names."""
        if context.trainable_spec is None:
            return
        training = context.trainable_spec.training
        if training.job is not None:
            said = {"version": training.algorithm.version, "hyperparameters": context.hyperparameters}
            yield Node(context.own_key(self.kind), {"name": training.job, **said}, reference_field="spec.training.job")
            return
        bucket = Ref(context.shared_key("s3/bucket"), "name")
        role: Value = training.role_arn or Ref(context.own_key("iam/role", "training"), "arn")
        desired = {
            "image": xgboost_image_uri(context.location.region, training.algorithm.version),
            "role": role,
            "hyperparameters": context.hyperparameters,
            "channels": {name: Ref(context.own_key("s3/object", name), "url") for name in CHANNELS},
            "output": Format("s3://{}/training/", (bucket,)),
            "resources": _resource_config(training),
            "limits": _stopping_condition(training),
            "spot": training.spot.enabled,
            "tags": context.tags(),
        }
        yield Node(
            context.own_key(self.kind),
            {"name": context.physical_name(context.fingerprint, limit=_MAX_NAME_LENGTH)},
            desired,
        )

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Find each job by its name, or its newest attempt.

        A job known to be completed never changes, and isn't read again.

        A failed job that was deleted since is still the result of the training: a new attempt needs `moorage retry`.
        Raises FailedError for a named job whose settings differ from the spec, or that failed.
        """
        found: dict[Key, Observed] = {}
        for target in targets:
            if "version" in target.identity:
                if (ran := _observe_named_job(aws, target)) is not None:
                    found[target.key] = ran
                continue
            if target.known_outputs.get("status") == "Completed":
                found[target.key] = Observed({"tags": target.known_outputs["tags"]}, target.known_outputs)
                continue
            name, job, tags = _find_newest_attempt(aws, target.identity["name"])
            if job is not None:
                found[target.key] = Observed({"tags": tags}, _outputs(job, tags))
            elif target.known_outputs.get("status") in UNSUCCESSFUL and target.known_outputs.get("name") == name:
                found[target.key] = Observed({"tags": target.known_outputs["tags"]}, target.known_outputs)
        return found

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Judge the status: completed is ready; failed and stopped stay so."""
        del node
        status, message = seen.outputs["status"], seen.outputs["message"]
        if status == "Completed":
            return Ready()
        if status in FINISHED:
            # A stack trace follows the first line; it is in the log.
            reported = message.partition("\n")[0] or f"the training job {seen.outputs['name']} {status.lower()}"
            return Failed(f"Training{status}", f"{reported} (moorage retry starts another attempt)")
        return Waiting("Training", f"{seen.outputs['name']}: {message or status}", requeue_after=10)

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Start the job.

        A job of this name that appeared meanwhile is the same job: the name contains the fingerprint.
        """
        del seen
        target = Target(step.node.key, step.node.identity)
        free, _, _ = _find_newest_attempt(aws, step.node.identity["name"])
        try:
            aws.write("sagemaker", "create_training_job", TrainingJobName=free, **_make_request(step.node))
        except ConflictError:
            if not self.observe(aws, [target]):
                raise
        return self.confirm(aws, step)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Stop the job if it runs; delete one that was known to have finished, with all its attempts.

        A job that is stopped because nothing needs it stays, and says so: if it is needed again, that is another
        attempt.
        """
        name, job, tags = _find_newest_attempt(aws, target.identity["name"])
        if job is None or job["TrainingJobStatus"] in FINISHED:
            if target.known_outputs.get("finished") is True:
                _delete_attempts(aws, target.identity["name"])
            return None
        if RETRY_TAG not in tags:
            _mark_for_retry(aws, job["TrainingJobArn"], "superseded")
        if job["TrainingJobStatus"] == "InProgress":
            aws.write("sagemaker", "stop_training_job", TrainingJobName=name)
        return Waiting("Stopping", f"{name} is being stopped", requeue_after=10)

    def retry(self, aws: AwsClient, node: Node, seen: Observed) -> str:
        """Mark a failed or stopped job, so that another attempt follows."""
        del node
        if seen.outputs["status"] not in UNSUCCESSFUL:
            return ""
        try:
            _mark_for_retry(aws, seen.outputs["arn"], "asked for")
        except MissingError as error:
            hint = "a change of training or data trains again"
            raise FailedError(f"{seen.outputs['name']} was deleted, so no attempt can follow it", hint=hint) from error
        return f"training job {seen.outputs['name']}, which {seen.outputs['status'].lower()}"


def _observe_named_job(aws: AwsClient, target: Target) -> Observed | None:
    """Return the job that a spec names, if it exists.

    Raises FailedError if it isn't the training that the spec describes.
    """
    said = target.identity
    try:
        job = aws.read("sagemaker", "describe_training_job", TrainingJobName=said["name"])
    except MissingError:
        return None
    problems = list(_find_mismatches(job, said["version"], said["hyperparameters"]))
    if problems:
        what = f"the training job {said['name']} isn't the training that the spec says"
        hint = "take spec.training.job out, so that it trains by these settings, or say those that the job had"
        raise FailedError(what, where=str(target.key), why="; ".join(problems), hint=hint)
    if job["TrainingJobStatus"] in UNSUCCESSFUL:
        what = f"the training job {said['name']} has no model: it {job['TrainingJobStatus'].lower()}"
        why, hint = job.get("FailureReason", "").partition("\n")[0], "take spec.training.job out, so that it trains"
        raise FailedError(what, where=str(target.key), why=why, hint=hint)
    return Observed({}, _outputs(job, {}))


def _find_mismatches(job: Mapping[str, Any], version: str, hyperparameters: Mapping[str, str]) -> Iterator[str]:
    image = job["AlgorithmSpecification"].get("TrainingImage", "")
    if not image.endswith(f"/sagemaker-xgboost:{version}"):
        yield f"it ran {image}, and the spec says XGBoost {version}"
    ran = {
        name: text
        for name, text in job.get("HyperParameters", {}).items()
        if not name.startswith(INTERNAL_HYPERPARAMETER_PREFIXES)
    }
    for name in sorted(ran.keys() | hyperparameters.keys()):
        if ran.get(name) != hyperparameters.get(name):
            yield f"{name} was {ran.get(name, 'left out')} and is {hyperparameters.get(name, 'left out')} in the spec"


def _find_newest_attempt(aws: AwsClient, name: str) -> tuple[str, Mapping[str, Any] | None, dict[str, str]]:
    """Return the newest attempt at a job: its name, the job, its tags.

    The job is None if the attempt is still to be made.

    An attempt that ended without success counts until it is marked: then the next one's name is looked up.
    """
    for attempt in count(1):
        tried = _attempt_name(name, attempt)
        try:
            job = aws.read("sagemaker", "describe_training_job", TrainingJobName=tried)
        except MissingError:
            return tried, None, {}
        listed = aws.iter_items("sagemaker", "list_tags", "Tags", ResourceArn=job["TrainingJobArn"])
        tags = parse_tags(listed)
        if job["TrainingJobStatus"] not in UNSUCCESSFUL or RETRY_TAG not in tags:
            return tried, job, tags
    raise AssertionError("not reached")


def _delete_attempts(aws: AwsClient, name: str) -> None:
    """Delete every attempt at a job, the last one first: an attempt is found through those before it.

    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteTrainingJob.html
    """
    attempts = []
    with contextlib.suppress(MissingError):
        for attempt in count(1):
            tried = _attempt_name(name, attempt)
            aws.read("sagemaker", "describe_training_job", TrainingJobName=tried)
            attempts.append(tried)
    for tried in reversed(attempts):
        with contextlib.suppress(MissingError):
            aws.write("sagemaker", "delete_training_job", TrainingJobName=tried)


def _attempt_name(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _mark_for_retry(aws: AwsClient, arn: str, why: str) -> None:
    aws.write("sagemaker", "add_tags", ResourceArn=arn, Tags=to_tag_list({RETRY_TAG: why}))


def is_finished(aws: AwsClient, name: str) -> bool:
    """Return whether a job of that name has ended. Raises MissingError."""
    job = aws.read("sagemaker", "describe_training_job", TrainingJobName=name)
    return job["TrainingJobStatus"] in FINISHED


def _resource_config(training: Training) -> dict[str, Value]:
    instance = training.instance
    return {"InstanceType": instance.type, "InstanceCount": instance.count, "VolumeSizeInGB": instance.volume}


def _stopping_condition(training: Training) -> dict[str, Value]:
    limits = {"MaxRuntimeInSeconds": training.stopping.max_runtime}
    if training.spot.enabled and training.spot.max_wait is not None:
        limits["MaxWaitTimeInSeconds"] = training.spot.max_wait
    return limits


def _outputs(job: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Value]:
    status = job["TrainingJobStatus"]
    return {
        "name": job["TrainingJobName"],
        "arn": job["TrainingJobArn"],
        "status": status,
        "finished": status in FINISHED,
        "message": job.get("FailureReason", "") if status in FINISHED else job.get("SecondaryStatus", ""),
        "billed": job.get("BillableTimeInSeconds"),
        "artifact": job.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
        "tags": dict(tags),
    }


def _make_request(node: Node) -> dict[str, Any]:
    context = node.desired
    return {
        "AlgorithmSpecification": {"TrainingImage": context["image"], "TrainingInputMode": "File"},
        "RoleArn": context["role"],
        "HyperParameters": context["hyperparameters"],
        "InputDataConfig": [_channel_config(name, url) for name, url in sorted(context["channels"].items())],
        "OutputDataConfig": {"S3OutputPath": context["output"]},
        "ResourceConfig": context["resources"],
        "StoppingCondition": context["limits"],
        "EnableManagedSpotTraining": context["spot"],
        "Tags": [{"Key": name, "Value": value} for name, value in sorted(context["tags"].items())],
    }


def _channel_config(name: str, url: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": url, "S3DataDistributionType": "FullyReplicated"}
    # Without a content type the container reads the rows as libsvm.
    # https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost.html#InputOutput-XGBoost
    return {"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
