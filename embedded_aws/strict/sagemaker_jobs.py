"""SageMaker training jobs that really train: created strictly, run in a child process, stopped, listed and deleted.

moto keeps a record of each job beside ours, for tags and GetResources only. UpdateTrainingJob is not here: 501.
A job with several instances runs in one container that sees all the data.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.sagemaker.models import sagemaker_backends

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.constraints import check
from embedded_aws.errors import SettingError
from embedded_aws.strict import sagemaker_checks as checks
from embedded_aws.strict.paging import page
from embedded_aws.training.container import Container, Exit
from embedded_aws.training.job import TERMINAL, Job
from embedded_aws.training.once import Once
from embedded_aws.world import World

_log = logging.getLogger(__name__)
_DIRECTORY = "training"
_GROUP = "/aws/sagemaker/TrainingJobs"
# The only XGBoost installed here reads its own major version's data and writes its own format.
_MAJOR = "3"
_MAX_RUNTIME = 86_400
_TICK = 0.1


def install(world: World) -> None:
    """Register the operations of training jobs."""
    wanted = os.environ.get("MOORAGE_LOCAL_TRAINER", "")
    if wanted not in {"", "once"}:
        raise SettingError(f"MOORAGE_LOCAL_TRAINER is once or not set, not {wanted!r}")
    jobs = TrainingJobs(world, once=Once() if wanted else None)
    world.on_reset(jobs.clear)
    for operation, handler in (
        ("CreateTrainingJob", jobs.create),
        ("DescribeTrainingJob", jobs.describe),
        ("ListTrainingJobs", jobs.list),
        ("StopTrainingJob", jobs.stop),
        ("DeleteTrainingJob", jobs.delete),
    ):
        world.handle("sagemaker", operation, handler)


@dataclass
class TrainingJobs:
    """All training jobs of a world, by region and name.

    `instances` is how many can train at once; with `once`, equal jobs train once.
    """

    world: World
    instances: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(os.cpu_count() or 1))
    once: Once | None = None
    _jobs: dict[tuple[str, str], Job] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget all jobs, and the directories of those that a kill -9 cut off."""
        self._jobs = {}
        if self.once:
            self.once.clear()
        shutil.rmtree(self.world.home / _DIRECTORY, ignore_errors=True)

    def create(self, call: Call) -> Answer:
        """Take a job and start it. A name is used once in an account and region, whatever became of its job."""
        check(call)
        params = call.params
        version = self._check(params, call.region)
        answer = call.forward()
        job = Job(self._arn(call), call.region, params, version, self.world.now())
        self._jobs[call.region, job.name] = job
        self.enter(job, "Starting")
        self.world.work(f"training {job.name}", _Run(self, job).run)
        return answer if answer.status >= 300 else call.result({"TrainingJobArn": job.arn})

    def _check(self, params: Mapping[str, Any], region: str) -> str:
        name, role = params["TrainingJobName"], params["RoleArn"]
        if existing := self._jobs.get((region, name)):
            raise Refused(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a training job with this "
                f"name already exists ({existing.arn})",
            )
        image = params["AlgorithmSpecification"].get("TrainingImage", "")
        version = checks.check_image(image, region)
        checks.check_role(self.world, role)
        checks.check_input(self.world, params.get("InputDataConfig", []), region, role)
        checks.check_output(self.world, params["OutputDataConfig"]["S3OutputPath"], region)
        _check_times(params)
        return version

    def describe(self, call: Call) -> dict[str, Any]:
        """Tell everything about a job."""
        return self._find(call).describe()

    def list(self, call: Call) -> dict[str, Any]:
        """List jobs: filter first, then sort, then page; oldest first unless asked otherwise, as the API's model says."""
        params = call.params
        jobs = [job for (region, _), job in self._jobs.items() if region == call.region and _matches(job, params)]
        jobs.sort(key=_SORTS[params.get("SortBy", "CreationTime")], reverse=params.get("SortOrder") == "Descending")
        return page([job.summary() for job in jobs], params, "TrainingJobSummaries", 10)

    def stop(self, call: Call) -> dict[str, Any]:
        """Ask a job to stop: at once Stopping, then Stopped. A job that has ended refuses."""
        job = self._find(call)
        if job.status in TERMINAL:
            message = f"The request was rejected because the training job is in status {job.status}"
            raise Refused("ValidationException", message)
        if job.status != "Stopping":
            self.enter(job, "Stopping")
            job.stop.set()
        return {}

    def delete(self, call: Call) -> dict[str, Any]:
        """Delete a job that has ended; its name is then free again.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteTrainingJob.html
        """
        key = (call.region, call.params["TrainingJobName"])
        job = self._jobs.get(key)
        if job is None:
            raise Refused("ResourceNotFound", "Requested resource not found.")
        if job.status not in TERMINAL:
            raise Refused("ResourceInUse", f"Training job {job.name} is in status {job.status} and can't be deleted.")
        del self._jobs[key]
        sagemaker_backends[self.world.account][call.region].training_jobs.pop(job.name, None)
        return {}

    def _find(self, call: Call) -> Job:
        job = self._jobs.get((call.region, call.params["TrainingJobName"]))
        if job is None:
            raise Refused("ValidationException", "Requested resource not found.")
        return job

    def _arn(self, call: Call) -> str:
        return f"arn:aws:sagemaker:{call.region}:{call.account}:training-job/{call.params['TrainingJobName']}"

    def enter(self, job: Job, secondary: str, message: str = "") -> None:
        """Change a job's state and say so on EventBridge.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        with self.world.lock:
            job.enter(secondary, self.world.now(), message)
            detail = _milliseconds(job.describe())
            self.world.publish("aws.sagemaker", "SageMaker Training Job State Change", detail, [job.arn], job.region)


class _Run:
    """One job's way through its states, in a thread of its own."""

    def __init__(self, jobs: TrainingJobs, job: Job) -> None:
        self._world, self._job, self._enter, self._instances = jobs.world, job, jobs.enter, jobs.instances
        self._once = jobs.once
        self._stream = f"{job.name}/algo-1-{int(job.created.timestamp())}"
        self._began = 0.0

    def run(self, stop: threading.Event) -> None:
        """Wait for an instance in state Starting, as AWS does when capacity is short, then use it."""
        while not self._instances.acquire(timeout=_TICK):
            if stop.is_set():
                return
            if self._job.stop.is_set():
                self._enter(self._job, "Stopped")
                return
        try:
            self._use(stop)
        finally:
            self._instances.release()

    def _use(self, stop: threading.Event) -> None:
        """Download, train, upload. A defect of the embedded AWS fails the job as AWS's own errors would."""
        container = Container(self._world.home / _DIRECTORY, self._job.name)
        try:
            self._work(container, stop)
        except Exception as error:  # noqa: BLE001
            _log.exception("training job %s", self._job.name)
            self._fail(f"InternalServerError: {error}")
        finally:
            container.close()

    def _work(self, container: Container, stop: threading.Event) -> None:
        if not self._advance("Downloading"):
            return
        self._download(container)
        if self._job.version[0] != _MAJOR:
            self._fail(f"InternalServerError: the embedded AWS has XGBoost {_MAJOR}.x only, not {self._job.version}")
            return
        if not self._advance("Training"):
            return
        self._began = time.monotonic()
        request = self._job.request

        def train() -> Exit:
            environment = request.get("Environment", {})
            return container.run(self._world.children, environment, self._lines, lambda: self._ask(stop))

        ended = self._once.run(container, train) if self._once else train()
        if not stop.is_set():
            self._finish(container, ended)

    def _download(self, container: Container) -> None:
        channels = self._job.request.get("InputDataConfig", [])
        container.configure(self._job.request.get("HyperParameters", {}), channels)
        for channel in channels:
            with self._world.lock:
                files = checks.objects(self._world, channel["DataSource"]["S3DataSource"]["S3Uri"])
            container.put(channel["ChannelName"], files, zipped=channel.get("CompressionType") == "Gzip")

    def _finish(self, container: Container, ended: Exit) -> None:
        now = self._world.now()
        self._job.metrics = [
            {"MetricName": name, "Value": value, "Timestamp": now} for name, value in container.metrics.items()
        ]
        if ended.code != 0 and not ended.stopped:
            self._fail(f"AlgorithmError: {ended.failure or 'no reason was left'}, exit code: {ended.code}")
            return
        if ended.stopped != "Stopped" and not self._advance("Uploading"):
            ended = Exit(ended.code, ended.failure, "Stopped")
        self._upload(container)
        self._enter(self._job, ended.stopped or "Completed")

    def _upload(self, container: Container) -> None:
        packed = container.artifact()
        if packed is None:
            return
        target = self._job.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        self._job.artifact = f"{target}/{self._job.name}/output/model.tar.gz"
        with self._world.lock:
            checks.store(self._world, self._job.artifact, packed)

    def _advance(self, secondary: str) -> bool:
        """Go on to the next state, unless the job was asked to stop meanwhile: then it is Stopped."""
        with self._world.lock:
            if not self._job.stop.is_set():
                self._enter(self._job, secondary)
                return True
            if secondary != "Uploading":
                self._enter(self._job, "Stopped")
            return False

    def _ask(self, stop: threading.Event) -> str:
        if stop.is_set() or self._job.stop.is_set():
            return "Stopped"
        limit = self._job.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _MAX_RUNTIME)
        return "MaxRuntimeExceeded" if time.monotonic() - self._began > limit else ""

    def _lines(self, lines: list[str]) -> None:
        self._world.log(_GROUP, self._stream, lines, self._job.region)

    def _fail(self, reason: str) -> None:
        self._job.failure = reason
        self._enter(self._job, "Failed")


def _check_times(params: Mapping[str, Any]) -> None:
    """Check the limits of a spot job.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StoppingCondition.html
    """
    times = params.get("StoppingCondition", {})
    wait, runtime = times.get("MaxWaitTimeInSeconds"), times.get("MaxRuntimeInSeconds", _MAX_RUNTIME)
    if not params.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise Refused("ValidationException", "MaxWaitTimeInSeconds needs EnableManagedSpotTraining to be true.")
        return
    if wait is None or wait < runtime:
        message = "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        raise Refused("ValidationException", message)


def _matches(job: Job, params: Mapping[str, Any]) -> bool:
    modified = job.modified or job.created
    return (
        params.get("NameContains", "").lower() in job.name.lower()
        and params.get("StatusEquals", job.status) == job.status
        and ("CreationTimeAfter" not in params or job.created >= params["CreationTimeAfter"])
        and ("CreationTimeBefore" not in params or job.created <= params["CreationTimeBefore"])
        and ("LastModifiedTimeAfter" not in params or modified >= params["LastModifiedTimeAfter"])
        and ("LastModifiedTimeBefore" not in params or modified <= params["LastModifiedTimeBefore"])
    )


_SORTS: Mapping[str, Any] = {
    "Name": lambda job: job.name,
    "CreationTime": lambda job: (job.created, job.name),
    "Status": lambda job: (job.status, job.name),
}


def _milliseconds(value: Any) -> Any:
    """Turn times into epoch milliseconds, as SageMaker's events have them."""
    if isinstance(value, Mapping):
        return {name: _milliseconds(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_milliseconds(item) for item in value]
    return int(value.timestamp() * 1000) if hasattr(value, "timestamp") else value
