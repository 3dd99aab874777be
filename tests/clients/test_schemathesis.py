"""Requests that schemathesis makes up from `/openapi.json`, right ones and wrong ones, and what it says of
the answers.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# A wrong body may still be right for the server: text that is no CSV by the schema's narrow pattern, as ` 1.5e3`.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,positive_data_acceptance,unsupported_method,allow_header_conformance"
)


@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic", "multi:softprob"])
def test_answers_conform_to_the_openapi_document(
    train_bundle: Any, start_server: Any, tmp_path: Path, objective: str
) -> None:
    """No answer of 5xx, none that isn't documented, and what the document calls right is taken."""
    server = start_server(train_bundle(objective))
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    options = ["--seed", "1", "--max-examples", "30", "--continue-on-failure", "--checks", CHECKS]
    done = subprocess.run([*command, url, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
    assert not server.log_events
