"""SageMaker training jobs that really train: created strictly, run in a child process, stopped, listed and deleted.

moto keeps a record of each job too, for tags and GetResources only. UpdateTrainingJob answers 501. A job with several
instances runs in one container that sees all the data.
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

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.constraints import validate_input
from embedded_aws.emulator import Emulator
from embedded_aws.errors import SettingError
from embedded_aws.strict import sagemaker_checks
from embedded_aws.strict.paging import build_page
from embedded_aws.training.container import ContainerExit, TrainingContainer
from embedded_aws.training.job import TERMINAL, TrainingJob
from embedded_aws.training.result_cache import ResultCache

_log = logging.getLogger(__name__)
_DIRECTORY = "training"
_GROUP = "/aws/sagemaker/TrainingJobs"
# The installed XGBoost reads data as its own major version does, and writes that version's format.
_MAJOR = "3"
_MAX_RUNTIME = 86_400
_TICK = 0.1


def install(emulator: Emulator) -> None:
    """Register the operations of training jobs. Raises SettingError for an unknown MOORAGE_LOCAL_TRAINER."""
    setting = os.environ.get("MOORAGE_LOCAL_TRAINER", "")
    if setting not in {"", "once"}:
        raise SettingError(f"MOORAGE_LOCAL_TRAINER is once or not set, not {setting!r}")
    jobs = TrainingJobHandlers(emulator, result_cache=ResultCache() if setting else None)
    emulator.on_reset(jobs.clear)
    for operation, handler in (
        ("CreateTrainingJob", jobs.create),
        ("DescribeTrainingJob", jobs.describe),
        ("ListTrainingJobs", jobs.list),
        ("StopTrainingJob", jobs.stop),
        ("DeleteTrainingJob", jobs.delete),
    ):
        emulator.register_handler("sagemaker", operation, handler)


@dataclass
class TrainingJobHandlers:
    """All training jobs of an emulator, by region and name.

    `instances` limits how many train at once. With `result_cache`, equal jobs train once.
    """

    emulator: Emulator
    instances: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(os.cpu_count() or 1))
    result_cache: ResultCache | None = None
    _jobs: dict[tuple[str, str], TrainingJob] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget all jobs, and delete the directories of jobs that a kill -9 interrupted."""
        self._jobs = {}
        if self.result_cache:
            self.result_cache.clear()
        shutil.rmtree(self.emulator.home / _DIRECTORY, ignore_errors=True)

    def create(self, call: ApiCall) -> ApiResponse:
        """Create a job and start it. A name is used once in an account and region, whatever the state of its job."""
        validate_input(call)
        params = call.params
        version = self._validate_request(params, call.region)
        answer = call.forward_to_moto()
        job = TrainingJob(self._build_arn(call), call.region, params, version, self.emulator.now())
        self._jobs[call.region, job.name] = job
        self.set_status(job, "Starting")
        self.emulator.start_worker(f"training {job.name}", _TrainingRun(self, job).run)
        return answer if answer.status >= 300 else call.build_response({"TrainingJobArn": job.arn})

    def _validate_request(self, params: Mapping[str, Any], region: str) -> str:
        name, role = params["TrainingJobName"], params["RoleArn"]
        if existing := self._jobs.get((region, name)):
            raise ApiError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a training job with this "
                f"name already exists ({existing.arn})",
            )
        image = params["AlgorithmSpecification"].get("TrainingImage", "")
        version = sagemaker_checks.check_image(image, region)
        sagemaker_checks.check_role(self.emulator, role)
        sagemaker_checks.check_input(self.emulator, params.get("InputDataConfig", []), region, role)
        sagemaker_checks.check_output(self.emulator, params["OutputDataConfig"]["S3OutputPath"], region)
        _check_spot_limits(params)
        return version

    def describe(self, call: ApiCall) -> dict[str, Any]:
        """Describe a job."""
        return self._get_job(call).describe()

    def list(self, call: ApiCall) -> dict[str, Any]:
        """List jobs: filter first, then sort, then page. By default oldest first, as the API's model says."""
        params = call.params
        jobs = [
            job for (region, _), job in self._jobs.items() if region == call.region and _matches_filters(job, params)
        ]
        jobs.sort(key=_SORT_KEYS[params.get("SortBy", "CreationTime")], reverse=params.get("SortOrder") == "Descending")
        return build_page([job.summarize() for job in jobs], params, "TrainingJobSummaries", 10)

    def stop(self, call: ApiCall) -> dict[str, Any]:
        """Stop a job: Stopping at once, Stopped later. Raises ApiError for a job that has ended."""
        job = self._get_job(call)
        if job.status in TERMINAL:
            message = f"The request was rejected because the training job is in status {job.status}"
            raise ApiError("ValidationException", message)
        if job.status != "Stopping":
            self.set_status(job, "Stopping")
            job.stop_requested.set()
        return {}

    def delete(self, call: ApiCall) -> dict[str, Any]:
        """Delete a job that has ended, which frees its name.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeleteTrainingJob.html
        """
        key = (call.region, call.params["TrainingJobName"])
        job = self._jobs.get(key)
        if job is None:
            raise ApiError("ResourceNotFound", "Requested resource not found.")
        if job.status not in TERMINAL:
            raise ApiError("ResourceInUse", f"Training job {job.name} is in status {job.status} and can't be deleted.")
        del self._jobs[key]
        sagemaker_backends[self.emulator.account][call.region].training_jobs.pop(job.name, None)
        return {}

    def _get_job(self, call: ApiCall) -> TrainingJob:
        job = self._jobs.get((call.region, call.params["TrainingJobName"]))
        if job is None:
            raise ApiError("ValidationException", "Requested resource not found.")
        return job

    def _build_arn(self, call: ApiCall) -> str:
        return f"arn:aws:sagemaker:{call.region}:{call.account}:training-job/{call.params['TrainingJobName']}"

    def set_status(self, job: TrainingJob, secondary: str, message: str = "") -> None:
        """Change a job's status and publish it on EventBridge.

        https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
        """
        with self.emulator.lock:
            job.set_status(secondary, self.emulator.now(), message)
            detail = _to_epoch_milliseconds(job.describe())
            self.emulator.publish_event(
                "aws.sagemaker", "SageMaker Training Job State Change", detail, [job.arn], job.region
            )


class _TrainingRun:
    """The run of one job through its states, in a thread of its own."""

    def __init__(self, jobs: TrainingJobHandlers, job: TrainingJob) -> None:
        self._emulator, self._job, self._set_status, self._instances = (
            jobs.emulator,
            job,
            jobs.set_status,
            jobs.instances,
        )
        self._result_cache = jobs.result_cache
        self._stream = f"{job.name}/algo-1-{int(job.created.timestamp())}"
        self._training_started = 0.0

    def run(self, stop: threading.Event) -> None:
        """Wait for an instance in state Starting, as AWS does when capacity is short, then run the container."""
        while not self._instances.acquire(timeout=_TICK):
            if stop.is_set():
                return
            if self._job.stop_requested.is_set():
                self._set_status(self._job, "Stopped")
                return
        try:
            self._run_container(stop)
        finally:
            self._instances.release()

    def _run_container(self, stop: threading.Event) -> None:
        """Download, train, upload. A defect of the embedded AWS fails the job as an internal error of AWS would."""
        container = TrainingContainer(self._emulator.home / _DIRECTORY, self._job.name)
        try:
            self._train(container, stop)
        except Exception as error:  # noqa: BLE001
            _log.exception("training job %s", self._job.name)
            self._fail(f"InternalServerError: {error}")
        finally:
            container.close()

    def _train(self, container: TrainingContainer, stop: threading.Event) -> None:
        if not self._advance("Downloading"):
            return
        self._download(container)
        if self._job.version[0] != _MAJOR:
            self._fail(f"InternalServerError: the embedded AWS has XGBoost {_MAJOR}.x only, not {self._job.version}")
            return
        if not self._advance("Training"):
            return
        self._training_started = time.monotonic()
        request = self._job.request

        def train() -> ContainerExit:
            environment = request.get("Environment", {})
            return container.run(
                self._emulator.processes, environment, self._log_lines, lambda: self._stop_reason(stop)
            )

        ended = self._result_cache.get_or_train(container, train) if self._result_cache else train()
        if not stop.is_set():
            self._finish(container, ended)

    def _download(self, container: TrainingContainer) -> None:
        channels = self._job.request.get("InputDataConfig", [])
        container.write_configuration(self._job.request.get("HyperParameters", {}), channels)
        for channel in channels:
            with self._emulator.lock:
                files = sagemaker_checks.read_objects(self._emulator, channel["DataSource"]["S3DataSource"]["S3Uri"])
            container.write_channel(channel["ChannelName"], files, zipped=channel.get("CompressionType") == "Gzip")

    def _finish(self, container: TrainingContainer, ended: ContainerExit) -> None:
        now = self._emulator.now()
        self._job.metrics = [
            {"MetricName": name, "Value": value, "Timestamp": now} for name, value in container.metrics.items()
        ]
        if ended.code != 0 and not ended.stop_reason:
            self._fail(f"AlgorithmError: {ended.failure or 'no reason was left'}, exit code: {ended.code}")
            return
        if ended.stop_reason != "Stopped" and not self._advance("Uploading"):
            ended = ContainerExit(ended.code, ended.failure, "Stopped")
        self._upload(container)
        self._set_status(self._job, ended.stop_reason or "Completed")

    def _upload(self, container: TrainingContainer) -> None:
        packed = container.pack_artifact()
        if packed is None:
            return
        target = self._job.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        self._job.artifact = f"{target}/{self._job.name}/output/model.tar.gz"
        with self._emulator.lock:
            sagemaker_checks.write_object(self._emulator, self._job.artifact, packed)

    def _advance(self, secondary: str) -> bool:
        """Enter the next state and return True.

        If the job was asked to stop meanwhile, set Stopped and return False.
        """
        with self._emulator.lock:
            if not self._job.stop_requested.is_set():
                self._set_status(self._job, secondary)
                return True
            if secondary != "Uploading":
                self._set_status(self._job, "Stopped")
            return False

    def _stop_reason(self, stop: threading.Event) -> str:
        if stop.is_set() or self._job.stop_requested.is_set():
            return "Stopped"
        limit = self._job.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _MAX_RUNTIME)
        return "MaxRuntimeExceeded" if time.monotonic() - self._training_started > limit else ""

    def _log_lines(self, lines: list[str]) -> None:
        self._emulator.write_log_lines(_GROUP, self._stream, lines, self._job.region)

    def _fail(self, reason: str) -> None:
        self._job.failure = reason
        self._set_status(self._job, "Failed")


def _check_spot_limits(params: Mapping[str, Any]) -> None:
    """Check the time limits of a spot job.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StoppingCondition.html
    """
    times = params.get("StoppingCondition", {})
    wait, runtime = times.get("MaxWaitTimeInSeconds"), times.get("MaxRuntimeInSeconds", _MAX_RUNTIME)
    if not params.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise ApiError("ValidationException", "MaxWaitTimeInSeconds needs EnableManagedSpotTraining to be true.")
        return
    if wait is None or wait < runtime:
        message = "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        raise ApiError("ValidationException", message)


def _matches_filters(job: TrainingJob, params: Mapping[str, Any]) -> bool:
    modified = job.modified or job.created
    return (
        params.get("NameContains", "").lower() in job.name.lower()
        and params.get("StatusEquals", job.status) == job.status
        and ("CreationTimeAfter" not in params or job.created >= params["CreationTimeAfter"])
        and ("CreationTimeBefore" not in params or job.created <= params["CreationTimeBefore"])
        and ("LastModifiedTimeAfter" not in params or modified >= params["LastModifiedTimeAfter"])
        and ("LastModifiedTimeBefore" not in params or modified <= params["LastModifiedTimeBefore"])
    )


_SORT_KEYS: Mapping[str, Any] = {
    "Name": lambda job: job.name,
    "CreationTime": lambda job: (job.created, job.name),
    "Status": lambda job: (job.status, job.name),
}


def _to_epoch_milliseconds(value: Any) -> Any:
    """Convert times to epoch milliseconds, the form in SageMaker's events."""
    if isinstance(value, Mapping):
        return {name: _to_epoch_milliseconds(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_to_epoch_milliseconds(item) for item in value]
    return int(value.timestamp() * 1000) if hasattr(value, "timestamp") else value
