"""The log: JSON lines, also for what libraries say, and never a client's data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .server_process import BODY, send

CODE = """
import logging
from inference_server.log import configure_logging, describe_error
log = configure_logging("info")
log.info("began", size=3)
log.debug("unseen")
try:
    float("secret-cell")
except ValueError as error:
    log.error("failed", **describe_error(error))
    logging.getLogger("aiohttp.server").exception("in %s", "secret-cell")
logging.getLogger("asyncio").error("never retrieved\\nfuture: secret-cell")
"""


def test_log_lines_are_json_without_error_messages() -> None:
    """One JSON object per line with time, level and event; errors say what and where, without their message."""
    env = {"PATH": os.environ["PATH"]}
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", CODE], cwd=root, env=env, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(line)[:3] for line in lines] == [["timestamp", "level", "event"]] * 4
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "began"),
        ("error", "failed"),
        ("warning", "library"),
        ("warning", "library"),
    ]
    assert lines[0]["size"] == 3
    assert (lines[1]["error"], lines[1]["trace"]) == ("ValueError", ["<string>:8 <module>"])
    assert (lines[2]["logger"], lines[2]["message"], lines[2]["error"]) == ("aiohttp.server", "in %s", "ValueError")
    assert lines[3]["message"] == "never retrieved"
    assert "secret" not in done.stdout + done.stderr


def test_closed_stdout_does_not_stop_the_server(housing_bundle: Any, start_process: Any) -> None:
    """When the reader of stdout has gone, requests are answered, metrics are told, and the server ends with 0."""
    process = start_process(housing_bundle.directory, "--log-level", "debug", "--emf-interval", "0.01", DRAIN_DELAY="0")
    port = process.wait_until_started()
    process.process.stdout.close()
    for _ in range(20):
        assert json.loads(send(port, "/predict", BODY))["predictions"]
    process.process.terminate()
    process.process.stdout = None
    assert process.process.wait(60) == 0
    assert b"Traceback" not in process.process.stderr.read()
