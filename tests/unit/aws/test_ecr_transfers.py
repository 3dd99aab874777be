"""Blobs and manifests: what is checked of an answer, and that a signed URL never shows."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from controller.aws.calls import AwsCall
from controller.aws.ecr_repository import EcrRepository
from controller.aws.signed_url import fetch_signed_url
from controller.errors import DeniedError, FailedError, MissingError, RejectedError, UnavailableError

SOURCE = AwsCall("read", "ecr", "get_download_url_for_layer", {})


def test_a_signed_url_is_fetched_whole(scripted_server: Any, scripted_answer: Any) -> None:
    """What the URL gives arrives; it is asked for with GET and no credentials of ours."""
    scripted_server.answers.append(scripted_answer(body=b"layer"))
    with fetch_signed_url(f"{scripted_server.url}/layer?X-Amz-Signature=secret", SOURCE) as body:
        assert body.read() == b"layer"
    assert "Authorization" not in scripted_server.requests[-1].headers


@pytest.mark.parametrize(("status", "error"), [(403, DeniedError), (404, MissingError), (503, UnavailableError)])
def test_refused_url_error_hides_the_url(scripted_server: Any, scripted_answer: Any, status: int, error: Any) -> None:
    """The status decides which; the URL is a secret while it is valid."""
    scripted_server.answers.append(scripted_answer(status=status))
    with pytest.raises(error) as caught:
        fetch_signed_url(f"{scripted_server.url}/layer?X-Amz-Signature=secret", SOURCE)
    assert "secret" not in str(caught.value)
    assert "ecr.get_download_url_for_layer" in str(caught.value)


def test_truncated_answer_is_an_error(scripted_server: Any, scripted_answer: Any) -> None:
    """Fewer bytes than promised are an error, not a blob."""
    scripted_server.answers.append(scripted_answer(body=b"half", cut=True))
    with fetch_signed_url(f"{scripted_server.url}/layer", SOURCE) as body, pytest.raises(UnavailableError):
        body.read()


@pytest.mark.parametrize("url", ["http://example.com/layer", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_only_https_is_asked_for(url: str) -> None:
    """Plain HTTP leads to this machine only; other schemes lead nowhere."""
    with pytest.raises(RejectedError):
        fetch_signed_url(url, SOURCE)


def test_a_manifest_must_have_the_digest_that_was_asked_for(
    aws_client: Any, scripted_server: Any, scripted_answer: Any
) -> None:
    """A pin is a promise that the registry has to keep."""
    reported = {"images": [{"imageManifest": "other"}], "failures": []}
    scripted_server.answers.extend([scripted_answer.json(reported), scripted_answer.json(reported)])
    with pytest.raises(FailedError, match="another manifest"):
        EcrRepository(aws_client(), "base").get_manifest(digest=f"sha256:{'0' * 64}")
    kept = f"sha256:{sha256(b'other').hexdigest()}"
    assert EcrRepository(aws_client(), "base").get_manifest(digest=kept) == b"other"


def test_a_missing_image_says_why(aws_client: Any, scripted_server: Any, scripted_answer: Any) -> None:
    """ECR's own reason, and the image's name."""
    failure = {"failureReason": "Requested image not found"}
    scripted_server.answers.append(scripted_answer.json({"images": [], "failures": [failure]}))
    with pytest.raises(MissingError, match=r"base, 3\.11-slim.*Requested image not found"):
        EcrRepository(aws_client(), "base").get_manifest(tag="3.11-slim")


def test_parts_are_cut_as_ecr_asks(aws_client: Any, scripted_server: Any, scripted_answer: Any) -> None:
    """Every part but the last has the returned size, and each says which bytes it is."""
    scripted_server.answers.append(scripted_answer.json({"uploadId": "u", "partSize": 4}))
    EcrRepository(aws_client(), "models", "210987654321").push_blob(f"sha256:{'0' * 64}", [b"abc", b"defgh", b"ij"])
    sent = [json.loads(request.body) for request in scripted_server.seen("ecr")]
    assert {request["registryId"] for request in sent} == {"210987654321"}
    ranges = [(request["partFirstByte"], request["partLastByte"]) for request in sent[1:-1]]
    assert ranges == [(0, 3), (4, 7), (8, 9)]
