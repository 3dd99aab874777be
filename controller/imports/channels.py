"""Describe the rows that a training job has read as the `data` section of a spec: their location and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.aws import AwsClient
from controller.core.values import Value
from controller.errors import FailedError, MissingError
from controller.imports.draft import Draft
from controller.resources.model_bundle import CHANNELS

_HINT = "with --data FILE --target COLUMN its settings are taken, and a model is trained anew"
_FIRST_BYTES = 65536  # bytes: more than a row has


def read_channels(aws: AwsClient, job: Mapping[str, Any], draft: Draft) -> dict[str, Value]:
    """Return the channels of a completed job.

    Raises FailedError with everything that prevents the adoption of its model.
    """
    read = {channel["ChannelName"]: channel for channel in job.get("InputDataConfig", ())}
    problems = [
        *_job_problems(job),
        *(text for name, channel in sorted(read.items()) for text in _channel_problems(name, channel)),
    ]
    if "train" not in read:
        problems.append("it has no channel train")
    if problems:
        what = f"the model of the training job {job['TrainingJobName']} can't be taken"
        raise FailedError(what, where=job["TrainingJobArn"], why="; ".join(problems), hint=_HINT)
    urls = {name: read[name]["DataSource"]["S3DataSource"]["S3Uri"] for name in CHANNELS if name in read}
    names = [f"f{number}" for number in range(_count_columns(aws, job, urls["train"]) - 1)]
    reported = f"its channels have no header, so the columns are called {names[0]} to {names[-1]}"
    draft.checks.append(f"spec.data.features and target: {reported}; clients send them by these names")
    return {"channels": urls, "target": "target", "features": names}


def _job_problems(job: Mapping[str, Any]) -> Iterator[str]:
    if job["TrainingJobStatus"] != "Completed":
        yield f"it is {job['TrainingJobStatus']}"
    if job.get("HyperParameters", {}).get("csv_weights") == "1":
        yield "its second column has weights (csv_weights), which a spec doesn't know"


def _channel_problems(name: str, channel: Mapping[str, Any]) -> Iterator[str]:
    source = channel["DataSource"].get("S3DataSource", {})
    if name not in CHANNELS:
        yield f"it read a channel {name}; a spec has {', '.join(CHANNELS)}"
    if source.get("S3DataType") != "S3Prefix":
        kind = source.get("S3DataType") or ", ".join(channel["DataSource"])
        yield f"its channel {name} is no prefix in S3 but {kind}"
    if channel.get("ContentType", "").partition(";")[0].strip() not in ("text/csv", "csv"):
        yield f"its channel {name} is {channel.get('ContentType') or 'libsvm, as nothing else is said'}, not text/csv"
    if channel.get("CompressionType", "None") != "None":
        yield f"its channel {name} is compressed ({channel['CompressionType']})"


def _count_columns(aws: AwsClient, job: Mapping[str, Any], url: str) -> int:
    """Return the number of columns in a channel's first row. Raises FailedError if there is none to read."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    try:
        listed = aws.iter_items("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)
        key = next((found["Key"] for found in listed if found["Size"]), None)
        if key is not None:
            piece = {"Bucket": bucket, "Key": key, "Range": f"bytes=0-{_FIRST_BYTES - 1}"}
            with aws.read("s3", "get_object", **piece)["Body"] as body:
                width = body.read().partition(b"\n")[0].count(b",") + 1
            if width > 1:
                return int(width)
    except MissingError:
        pass
    what = f"the rows that the training job {job['TrainingJobName']} has read are gone, or no CSV"
    raise FailedError(what, where=url, hint=_HINT)
