"""SageMaker training jobs. Named by fingerprint: an identical finished job is found and reused, never run again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import Aws
from controller.aws.images import xgboost_image
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Format, Key, Ref, Value
from controller.core.wanted import Wanted
from controller.errors import ConflictError, MissingError
from controller.resources.base import Resource, Scope
from controller.spec.models import Training

FINISHED = ("Completed", "Failed", "Stopped")
CHANNELS = ("train", "validation")


class TrainingJob(Resource):
    """One run of the built-in algorithm. A job never changes; other settings are another job."""

    kind = "sagemaker/training-job"
    condition = "Trained"
    consequence = "trains a model"
    superseded = "stop"
    retain = "registry"
    # A job is what it was started as. Only its presence under its name counts, and that name holds the fingerprint.
    policy = FieldPolicy(revisioned=True, ignore=frozenset({"*"}))
    permissions = {
        "sagemaker.describe_training_job": frozenset({"sagemaker:DescribeTrainingJob"}),
        "sagemaker.list_tags": frozenset({"sagemaker:ListTags"}),
        "sagemaker.create_training_job": frozenset(
            {"sagemaker:CreateTrainingJob", "sagemaker:AddTags", "iam:PassRole"}
        ),
        "sagemaker.stop_training_job": frozenset({"sagemaker:StopTrainingJob"}),
    }
    # Other settings are another job, so that a name ends in eight characters of hash.
    scopes = {"sagemaker:": (Scope("sagemaker:{region}:{account}:training-job/moorage-{owner}-????????"),)}

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One job for the spec's fingerprint."""
        if want.service is None:
            return
        training = want.service.spec.training
        bucket = Ref(want.shared("s3/bucket"), "name")
        role: Value = training.role_arn or Ref(want.own("iam/role", "training"), "arn")
        desired = {
            "image": xgboost_image(want.place.region, training.algorithm.version),
            "role": role,
            "hyperparameters": want.hyperparameters,
            "channels": {name: Ref(want.own("s3/object", name), "url") for name in CHANNELS},
            "output": Format("s3://{}/training/", (bucket,)),
            "resources": _resources(training),
            "limits": _limits(training),
            "spot": training.spot.enabled,
            "tags": want.tags(),
        }
        yield Node(want.own(self.kind), {"name": want.physical_name(want.fingerprint, limit=63)}, desired)

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Each job by its name; one that is known to be finished never changes, so it isn't asked for again."""
        found = {}
        for target in targets:
            if target.known.get("finished") is True:
                found[target.key] = Observed({"tags": target.known["tags"]}, target.known)
                continue
            try:
                job = aws.read("sagemaker", "describe_training_job", TrainingJobName=target.identity["name"])
            except MissingError:
                continue
            tags = {
                tag["Key"]: tag["Value"]
                for tag in aws.pages("sagemaker", "list_tags", "Tags", ResourceArn=job["TrainingJobArn"])
            }
            found[target.key] = Observed({"tags": tags}, _outputs(job, tags))
        return found

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Completed is ready; failed and stopped stay so."""
        del node
        status, message = seen.outputs["status"], seen.outputs["message"]
        if status == "Completed":
            return Ready()
        if status in FINISHED:
            return Failed(f"Training{status}", message or f"the training job {seen.outputs['name']} {status.lower()}")
        return Waiting("Training", f"{seen.outputs['name']}: {message or status}", after=10)

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Start the job. A job of this name that appeared meanwhile is the same job: the name holds the fingerprint."""
        del seen
        target = Target(step.node.key, step.node.identity)
        try:
            aws.write("sagemaker", "create_training_job", **_request(step.node))
        except ConflictError:
            if not self.observe(aws, [target]):
                raise
        return self.observe(aws, [target])[step.node.key]

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Stop it if it runs. A finished job stays: it is the lineage of its model, and may be reused."""
        try:
            job = aws.read("sagemaker", "describe_training_job", TrainingJobName=target.identity["name"])
        except MissingError:
            return None
        if job["TrainingJobStatus"] in FINISHED:
            return None
        if job["TrainingJobStatus"] == "InProgress":
            aws.write("sagemaker", "stop_training_job", TrainingJobName=target.identity["name"])
        return Waiting("Stopping", f"{target.identity['name']} is being stopped", after=10)


def _resources(training: Training) -> dict[str, Value]:
    instance = training.instance
    return {"InstanceType": instance.type, "InstanceCount": instance.count, "VolumeSizeInGB": instance.volume}


def _limits(training: Training) -> dict[str, Value]:
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
        "artifact": job.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
        "tags": dict(tags),
    }


def _request(node: Node) -> dict[str, Any]:
    want = node.desired
    return {
        "TrainingJobName": node.identity["name"],
        "AlgorithmSpecification": {"TrainingImage": want["image"], "TrainingInputMode": "File"},
        "RoleArn": want["role"],
        "HyperParameters": want["hyperparameters"],
        "InputDataConfig": [_channel(name, url) for name, url in sorted(want["channels"].items())],
        "OutputDataConfig": {"S3OutputPath": want["output"]},
        "ResourceConfig": want["resources"],
        "StoppingCondition": want["limits"],
        "EnableManagedSpotTraining": want["spot"],
        "Tags": [{"Key": name, "Value": value} for name, value in sorted(want["tags"].items())],
    }


def _channel(name: str, url: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": url, "S3DataDistributionType": "FullyReplicated"}
    # Without a content type the container takes the rows for libsvm.
    # https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost.html#InputOutput-XGBoost
    return {"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
