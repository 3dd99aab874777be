"""Partial failures in an otherwise successful response: the objects that AWS didn't change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# An object that is absent already counts as deleted.
_ALREADY_DELETED = {"ImageNotFound"}


def describe_failures(answer: Mapping[str, Any]) -> str:
    """Return which objects AWS left and why, from a response's `failures`; empty if it left none.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Failure.html,
    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageFailure.html
    """
    failures = [failure for failure in answer.get("failures", ()) if failure.get("failureCode") not in _ALREADY_DELETED]
    return "; ".join(f"{_failed_object(failure)}: {_failure_reason(failure)}" for failure in failures)


def _failed_object(failure: Mapping[str, Any]) -> str:
    image = failure.get("imageId", {})
    return str(failure.get("arn") or image.get("imageTag") or image.get("imageDigest", ""))


def _failure_reason(failure: Mapping[str, Any]) -> str:
    return str(failure.get("failureReason") or failure.get("reason") or failure.get("failureCode", ""))
