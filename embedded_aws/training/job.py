"""The record of one training job: its request, its states and its DescribeTrainingJob answer.

State changes go through `set_status`, which keeps the transitions in order. `strict/sagemaker_training_jobs.py` makes
them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# Secondary status → primary status, and the transition's message.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_SecondaryStatusTransition.html
STATES: Mapping[str, tuple[str, str]] = {
    "Starting": ("InProgress", "Starting the training job"),
    "Downloading": ("InProgress", "Downloading input data"),
    "Training": ("InProgress", "Training image download completed. Training in progress."),
    "Uploading": ("InProgress", "Uploading generated training model"),
    "Stopping": ("Stopping", "Stopping the training job"),
    "Completed": ("Completed", "Training job completed"),
    "Failed": ("Failed", "Training job failed"),
    "Stopped": ("Stopped", "Training job stopped"),
    "MaxRuntimeExceeded": ("Stopped", "Training job runtime exceeded MaxRuntimeInSeconds provided"),
}
TERMINAL = frozenset({"Completed", "Failed", "Stopped"})
# The approximate price of a spot instance as a share of on-demand; AWS reports the saving as billable time.
_SPOT_SHARE = 0.3


@dataclass
class TrainingJob:
    """A training job. `request` is CreateTrainingJob's input; `stop` is set when the job is asked to stop."""

    arn: str
    region: str
    request: Mapping[str, Any]
    version: str
    created: datetime
    status: str = "InProgress"
    secondary: str = ""
    modified: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    failure: str = ""
    artifact: str = ""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    transitions: list[dict[str, Any]] = field(default_factory=list)
    stop_requested: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """The TrainingJobName."""
        return str(self.request["TrainingJobName"])

    def set_status(self, secondary: str, now: datetime, message: str = "") -> None:
        """Enter a secondary status, and the primary status that it belongs to."""
        if self.transitions:
            self.transitions[-1]["EndTime"] = now
        self.status, words = STATES[secondary]
        self.secondary, self.modified = secondary, now
        self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message or words})
        if secondary == "Training":
            self.started = now
        if self.status in TERMINAL:
            self.ended = self.transitions[-1]["EndTime"] = now

    def describe(self) -> dict[str, Any]:
        """Return DescribeTrainingJob's answer. Omitted settings have AWS's own defaults."""
        described = {name: value for name, value in self.request.items() if name != "Tags"}
        described |= {
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "SecondaryStatusTransitions": [dict(transition) for transition in self.transitions],
            "AlgorithmSpecification": {
                "EnableSageMakerMetricsTimeSeries": False,
                **self.request["AlgorithmSpecification"],
            },
            "InputDataConfig": [_describe_channel(channel) for channel in self.request.get("InputDataConfig", [])],
            "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **self.request["OutputDataConfig"]},
            "ProfilingStatus": "Disabled",
        }
        for switch in ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining"):
            described.setdefault(switch, False)
        return described | self._describe_results()

    def summarize(self) -> dict[str, Any]:
        """Return the job as ListTrainingJobs shows it."""
        summary = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
        }
        return summary | ({"TrainingEndTime": self.ended} if self.ended else {})

    def _describe_results(self) -> dict[str, Any]:
        results: dict[str, Any] = {}
        if self.failure:
            results["FailureReason"] = self.failure
        if self.artifact:
            results["ModelArtifacts"] = {"S3ModelArtifacts": self.artifact}
        if self.metrics:
            results["FinalMetricDataList"] = self.metrics
        if self.started:
            results["TrainingStartTime"] = self.started
        if self.ended:
            results["TrainingEndTime"] = self.ended
        if self.started and self.ended:
            seconds = max(1, round((self.ended - self.started).total_seconds()))
            results["TrainingTimeInSeconds"] = seconds
            spot = self.request.get("EnableManagedSpotTraining")
            results["BillableTimeInSeconds"] = max(1, round(seconds * _SPOT_SHARE)) if spot else seconds
        return results


def _describe_channel(channel: Mapping[str, Any]) -> dict[str, Any]:
    source = {"S3DataDistributionType": "FullyReplicated", **channel["DataSource"]["S3DataSource"]}
    return {"CompressionType": "None", "RecordWrapperType": "None", **channel, "DataSource": {"S3DataSource": source}}
