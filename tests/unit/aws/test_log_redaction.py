"""Nothing secret gets into the log, whichever way it comes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from controller.aws.log import configure_logging, redact, redact_text
from controller.errors import RejectedError

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SESSION_KEY_ID = "ASIAIOSFODNN7EXAMPLE"
SESSION = "IQoJb3JpZ2luX2VjE" + "x" * 60
SECRET_CANARY = "canary-3f1c9b"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logging(stream=stream, level=10)
    yield stream
    structlog.reset_defaults()


def test_a_canary_through_every_path_leaves_no_trace(log):
    """As a value under a secret's name, nested, in lists, in parameters, in answers, in URLs, in an exception."""
    logger = structlog.get_logger()
    logger.info(
        "direct",
        password=SECRET_CANARY,
        SecretString=SECRET_CANARY,
        Authorization=SECRET_CANARY,
        aws_session_token=SECRET_CANARY,
    )
    logger.info("nested", params={"containers": [{"credentials": {"x": SECRET_CANARY}}]})
    logger.info("answer", answer={"Parameter": {"Name": "/p", "Type": "SecureString", "Value": SECRET_CANARY}})
    logger.info("text", url=f"https://b/k?X-Amz-Security-Token={SECRET_CANARY}&X-Amz-Signature={SECRET_CANARY}&y=1")
    logger.info("header", line=f"Authorization: Bearer {SECRET_CANARY}", env=f"AWS_SECRET_ACCESS_KEY={SECRET_CANARY}")
    event = f"the event itself, password={SECRET_CANARY}"
    logger.info(event, keys=[KEY_ID, SESSION_KEY_ID, SESSION])
    try:
        int(f"token={SECRET_CANARY} and {KEY_ID}")
    except ValueError:
        logger.exception("failed")
    text = log.getvalue()
    assert len(text.splitlines()) == 7
    for secret in (SECRET_CANARY, KEY_ID, SESSION_KEY_ID, SESSION):
        assert secret not in text


def test_values_that_are_not_secret_stay_readable(log):
    """Redaction that eats everything would be as useless as none."""
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"
    structlog.get_logger().info("call", name="ecs.create_service", secretArn=arn, count=3, nextToken="2", ok=True)
    line = json.loads(log.getvalue())
    assert (line["event"], line["level"]) == ("call", "info")
    assert (line["name"], line["count"], line["nextToken"], line["ok"]) == ("ecs.create_service", 3, "2", True)
    assert line["secretArn"] == arn


def test_log_is_json_without_a_terminal(log):
    """One object per line, with a UTC time."""
    structlog.get_logger().warning("heartbeat")
    assert json.loads(log.getvalue())["timestamp"].endswith("Z")


def test_a_terminal_gets_readable_lines():
    """The same events, not JSON, and redacted as well."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    configure_logging(stream=stream)
    structlog.get_logger().info("hello", password=SECRET_CANARY)
    structlog.get_logger().debug("too quiet")
    structlog.reset_defaults()
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
    assert SECRET_CANARY not in stream.getvalue()
    assert "quiet" not in stream.getvalue()


def test_bytes_are_counted_not_shown():
    """Data and secrets in bytes are nobody's reading."""
    assert redact({"body": SECRET_CANARY.encode()}) == {"body": "<13 bytes>"}


def test_a_private_key_is_cut_out():
    """Over several lines too."""
    text = "x -----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- y"
    assert redact_text(text) == "x [redacted] y"


def test_client_errors_render_without_secrets(aws_client, scripted_server, scripted_answer):
    """AWS repeats a key id in its message; what we print doesn't."""
    scripted_server.answers.append(scripted_answer.error("ClientException", f"no such key {SESSION_KEY_ID}"))
    with pytest.raises(RejectedError) as caught:
        aws_client().write("ecs", "create_cluster")
    assert "[redacted]" in str(caught.value)
    assert SESSION_KEY_ID not in str(caught.value)
