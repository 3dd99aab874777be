"""Training jobs of the embedded AWS: validated on creation, then really trained."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from embedded_aws import control

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
# One thread: the tables are so small that several threads would mostly wait for each other.
HYPERPARAMETERS = {"num_round": "20", "objective": "reg:squarederror", "nthread": "1"}
# The job trains until it is stopped, however slow the machine is.
ENDLESS = {"num_round": "1000000"}
TERMINAL = {"Completed", "Failed", "Stopped"}


def rows(count: int) -> str:
    """Return CSV rows: label first, no header, the first feature missing in every tenth row."""
    return "".join(f"{3 * n % 17},{'' if n % 10 == 0 else n % 13},{n % 7}\n" for n in range(count))


@pytest.fixture(scope="module")
def aws(embedded_aws):
    seed(embedded_aws)
    return embedded_aws


def seed(embedded_aws) -> None:
    embedded_aws.client("s3").create_bucket(Bucket="models")
    for channel, count in (("train", 400), ("validation", 100)):
        embedded_aws.client("s3").put_object(Bucket="models", Key=f"data/{channel}/part-0.csv", Body=rows(count))
    for name, statement in (
        ("training", TRUST),
        ("other", TRUST | {"Principal": {"Service": "ecs-tasks.amazonaws.com"}}),
    ):
        embedded_aws.client("iam").create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [statement]})
        )


@pytest.fixture(scope="module")
def sagemaker(aws):
    return aws.client("sagemaker")


def channel(name: str, prefix: str = "", **more) -> dict:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://models/{prefix or f'data/{name}/'}"}
    return {"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}} | more


def request(name: str, hyperparameters: dict | None = None, **changes) -> dict:
    return {
        "TrainingJobName": name,
        "HyperParameters": HYPERPARAMETERS | (hyperparameters or {}),
        "RoleArn": "arn:aws:iam::123456789012:role/training",
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "InputDataConfig": [channel("train"), channel("validation")],
        "OutputDataConfig": {"S3OutputPath": "s3://models/output/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    } | changes


def until(sagemaker, name: str, reached) -> dict:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        job = sagemaker.describe_training_job(TrainingJobName=name)
        if reached(job):
            return job
        time.sleep(0.02)
    raise AssertionError(f"{name} stayed {job['SecondaryStatus']}")


def ended(sagemaker, name: str) -> dict:
    return until(sagemaker, name, lambda job: job["TrainingJobStatus"] in TERMINAL)


def messages(aws, name: str) -> list[str]:
    group = "/aws/sagemaker/TrainingJobs"
    found = aws.client("logs").filter_log_events(logGroupName=group, logStreamNamePrefix=f"{name}/")
    return [event["message"] for event in found["events"]]


def refusal(call, **arguments) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_a_job_really_trains(aws, sagemaker) -> None:
    """The job passes its states in order, keeps its request, and produces metrics, logs and a UBJSON model."""
    sagemaker.create_training_job(
        **request("real", Environment={"STAGE": "test"}, Tags=[{"Key": "owner", "Value": "me"}])
    )
    job = ended(sagemaker, "real")
    assert [t["Status"] for t in job["SecondaryStatusTransitions"]] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert job["Environment"] == {"STAGE": "test"}
    assert job["HyperParameters"] == HYPERPARAMETERS
    assert sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"] == [{"Key": "owner", "Value": "me"}]
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert metrics.keys() == {"train:rmse", "validation:rmse"}

    lines = messages(aws, "real")
    assert lines[-1].startswith("[19]\ttrain-rmse:")
    assert f"validation-rmse:{metrics['validation:rmse']:.5f}" in lines[-1]

    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://models/output/real/output/model.tar.gz"
    body = aws.client("s3").get_object(Bucket="models", Key="output/real/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["xgboost-model"]
        assert archive.extractfile("xgboost-model").read(2) == b"{L"


def test_names_are_used_once(sagemaker) -> None:
    """A second job of the same name is refused, whatever the first one's state. Deleting the first frees the name."""
    sagemaker.create_training_job(**request("once", ENDLESS))
    assert refusal(sagemaker.create_training_job, **request("once"))[0] == "ResourceInUse"
    assert refusal(sagemaker.delete_training_job, TrainingJobName="once")[0] == "ResourceInUse"
    sagemaker.stop_training_job(TrainingJobName="once")
    ended(sagemaker, "once")
    assert refusal(sagemaker.create_training_job, **request("once"))[0] == "ResourceInUse"
    sagemaker.delete_training_job(TrainingJobName="once")
    assert refusal(sagemaker.describe_training_job, TrainingJobName="once")[0] == "ValidationException"
    assert refusal(sagemaker.delete_training_job, TrainingJobName="once")[0] == "ResourceNotFound"
    sagemaker.create_training_job(**request("once"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RoleArn": "arn:aws:iam::123456789012:role/missing"}, "Could not assume role"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/other"}, "Could not assume role"),
        ({"InputDataConfig": [channel("train", "nothing/")]}, "No S3 objects found under S3 URL"),
        ({"InputDataConfig": [channel("train"), channel("train")]}, "Channel names must be unique"),
        ({"OutputDataConfig": {"S3OutputPath": "s3://missing/output"}}, "does not exist"),
        (
            {"AlgorithmSpecification": {"TrainingImage": IMAGE.replace("3.2-0", "9.9-9"), "TrainingInputMode": "File"}},
            "not found",
        ),
        (
            {"AlgorithmSpecification": {"TrainingImage": IMAGE.replace("east", "west"), "TrainingInputMode": "File"}},
            "region",
        ),
        (
            {"AlgorithmSpecification": {"TrainingImage": IMAGE.replace("sagemaker-", ""), "TrainingInputMode": "File"}},
            "repository",
        ),
        ({"EnableManagedSpotTraining": True}, "MaxWaitTimeInSeconds"),
        ({"TrainingJobName": "under_score"}, "regular expression"),
        ({"ResourceConfig": {"InstanceType": "ml.tiny", "InstanceCount": 1, "VolumeSizeInGB": 5}}, "enum value set"),
    ],
)
def test_invalid_jobs_are_refused_on_creation(sagemaker, changes, words) -> None:
    """Each wrong reference or value is a ValidationException that names the problem, and no job is created."""
    code, message = refusal(sagemaker.create_training_job, **request("refused", **changes))
    assert code == "ValidationException"
    assert words in message
    assert refusal(sagemaker.describe_training_job, TrainingJobName="refused")[0] == "ValidationException"


def test_the_image_refuses_invalid_input(aws, sagemaker) -> None:
    """Unknown or invalid hyperparameters, unknown channels and unreadable files fail the job with the reason."""
    aws.client("s3").put_object(Bucket="models", Key="hidden/.part", Body=rows(10))
    reasons = {
        "unknown-name": "Extraneous hyperparameter found: depth",
        "bad-value": "Hyperparameter eta",
        "extra-channel": "Extraneous channel found: test",
        "hidden-file": "Hidden file",
        "no-content-type": "is not 'LIBSVM' format",
        "one-column": "UserError: ",
    }
    sagemaker.create_training_job(**request("unknown-name", {"depth": "6"}))
    sagemaker.create_training_job(**request("bad-value", {"eta": "1.5"}))
    extra = [channel("train"), channel("test", "data/validation/")]
    sagemaker.create_training_job(**request("extra-channel", InputDataConfig=extra))
    sagemaker.create_training_job(**request("hidden-file", InputDataConfig=[channel("train", "hidden/")]))
    untold = channel("train")
    del untold["ContentType"]
    sagemaker.create_training_job(**request("no-content-type", InputDataConfig=[untold]))
    aws.client("s3").put_object(Bucket="models", Key="one-column/part.csv", Body="1\n2\n")
    sagemaker.create_training_job(**request("one-column", InputDataConfig=[channel("train", "one-column/")]))
    for name, reason in reasons.items():
        job = ended(sagemaker, name)
        assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
        assert job["FailureReason"].startswith("AlgorithmError: ")
        assert reason in job["FailureReason"]


def test_a_header_is_silently_a_row(aws, sagemaker) -> None:
    """As in the real image, a header of column names silently becomes one more row of zeros, and the job completes."""
    aws.client("s3").put_object(Bucket="models", Key="header/part.csv", Body="label,a,b\n" + rows(50))
    sagemaker.create_training_job(**request("header", InputDataConfig=[channel("train", "header/")]))
    assert ended(sagemaker, "header")["TrainingJobStatus"] == "Completed"
    assert "Train matrix has 51 rows and 2 columns" in messages(aws, "header")


def test_early_stopping_needs_a_metric(aws, sagemaker) -> None:
    """`early_stopping_rounds` is silently ignored without `eval_metric`, and stops the job with it."""
    patience = {"num_round": "150", "early_stopping_rounds": "2", "eta": "1"}
    sagemaker.create_training_job(**request("ignored", patience))
    sagemaker.create_training_job(**request("stopped-early", patience | {"eval_metric": "mae,rmse"}))
    ended(sagemaker, "ignored")
    assert messages(aws, "ignored")[-1].startswith("[149]")
    metrics = {metric["MetricName"] for metric in ended(sagemaker, "stopped-early")["FinalMetricDataList"]}
    assert metrics == {"train:mae", "train:rmse", "validation:mae", "validation:rmse"}
    assert len(messages(aws, "stopped-early")) < 100


def test_a_job_can_be_stopped(sagemaker) -> None:
    """The job is InProgress until it is stopped.

    Stopping shows Stopping, then Stopped. A second stop is refused, and a saved model is uploaded.
    """
    sagemaker.create_training_job(**request("endless", ENDLESS | {"save_model_on_termination": "true"}))
    assert sagemaker.describe_training_job(TrainingJobName="endless")["TrainingJobStatus"] == "InProgress"
    until(sagemaker, "endless", lambda job: job["SecondaryStatus"] == "Training")
    sagemaker.stop_training_job(TrainingJobName="endless")
    assert sagemaker.describe_training_job(TrainingJobName="endless")["TrainingJobStatus"] in {"Stopping", "Stopped"}
    assert ended(sagemaker, "endless")["SecondaryStatus"] == "Stopped"
    code, message = refusal(sagemaker.stop_training_job, TrainingJobName="endless")
    assert code == "ValidationException"
    assert "status Stopped" in message


def test_jobs_wait_for_an_instance(sagemaker) -> None:
    """With one job more than processors, one stays Starting and can be stopped in that state; the others train."""
    processors = os.cpu_count() or 1
    crowd = [f"crowd-{n}" for n in range(processors + 1)]
    for name in crowd:
        sagemaker.create_training_job(**request(name, ENDLESS))

    def training() -> set[str]:
        jobs = sagemaker.list_training_jobs(NameContains="crowd-", MaxResults=100)["TrainingJobSummaries"]
        return {job["TrainingJobName"] for job in jobs if job["SecondaryStatus"] == "Training"}

    until(sagemaker, crowd[0], lambda _: len(training()) == processors)
    waits = (set(crowd) - training()).pop()
    for name in sorted(crowd, key=lambda name: name != waits):
        sagemaker.stop_training_job(TrainingJobName=name)
    states = {
        name: [state["Status"] for state in ended(sagemaker, name)["SecondaryStatusTransitions"]] for name in crowd
    }
    assert states.pop(waits) == ["Starting", "Stopping", "Stopped"]
    assert all("Training" in passed for passed in states.values())


def test_the_runtime_limit_stops_a_job(sagemaker) -> None:
    """A job over MaxRuntimeInSeconds is Stopped, with MaxRuntimeExceeded."""
    limit = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 2}
    spot = request("too-long", ENDLESS, StoppingCondition=limit, EnableManagedSpotTraining=True)
    sagemaker.create_training_job(**spot)
    job = ended(sagemaker, "too-long")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]


def test_down_ends_a_training_process(aws, tmp_path) -> None:
    """`down` during a training leaves no process and no container directory."""
    found = control.up(tmp_path)
    try:
        own = type(aws)(found.endpoint, tmp_path, aws.session)
        seed(own)
        own.client("sagemaker").create_training_job(**request("cut-off", ENDLESS))
        until(own.client("sagemaker"), "cut-off", lambda _: offspring(found.pid))
        children = offspring(found.pid)
    finally:
        control.down(tmp_path)
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert list((tmp_path / "training").iterdir()) == []


def offspring(pid: int) -> list[str]:
    """Return the child processes of a process, as the kernel lists them under each thread that started one."""
    return [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def test_lists_filter_before_they_page(sagemaker) -> None:
    """Pages contain only matching jobs, and their tokens lead through all of them."""
    found: list[str] = []
    for page in sagemaker.get_paginator("list_training_jobs").paginate(
        StatusEquals="Failed", PaginationConfig={"PageSize": 2}
    ):
        assert {job["TrainingJobStatus"] for job in page["TrainingJobSummaries"]} == {"Failed"}
        found += [job["TrainingJobName"] for job in page["TrainingJobSummaries"]]
    assert found == ["unknown-name", "bad-value", "extra-channel", "hidden-file", "no-content-type", "one-column"]
    newest = sagemaker.list_training_jobs(SortBy="Name", SortOrder="Descending", MaxResults=1)
    assert newest["TrainingJobSummaries"][0]["TrainingJobName"] == "unknown-name"


def test_job_states_reach_a_queue(aws, sagemaker) -> None:
    """An EventBridge rule sends each state change of a job to SQS, with the job's own fields in the detail."""
    sqs, events = aws.client("sqs"), aws.client("events")
    queue = sqs.create_queue(QueueName="states")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="training", EventPattern=json.dumps({"source": ["aws.sagemaker"]}))
    events.put_targets(Rule="training", Targets=[{"Id": "queue", "Arn": arn}])
    sagemaker.create_training_job(**request("told"))
    reported: list[str] = []
    while "Completed" not in reported:
        received = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20, MaxNumberOfMessages=10)["Messages"]
        events_seen = [json.loads(message["Body"]) for message in received]
        reported += [event["detail"]["SecondaryStatus"] for event in events_seen]
        assert {event["detail-type"] for event in events_seen} == {"SageMaker Training Job State Change"}
    assert sorted(reported) == sorted(["Starting", "Downloading", "Training", "Uploading", "Completed"])
