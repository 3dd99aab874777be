"""The server's page in the documentation says what the server does."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from inference_server.errors import RequestError, RowWidthError
from inference_server.options import Options

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "inference-server.md").read_text()


def test_every_option_is_documented() -> None:
    """The table of options is the table in the code, row by row."""
    expected = [
        (
            f"--{option.name.replace('_', '-')}",
            "" if option.default is MISSING else str(option.default),
            option.metadata["help"],
        )
        for option in fields(Options)
    ]
    found = re.findall(r"^\| `(--[a-z-]+)` \| ?(.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    assert found == expected


def test_every_error_code_is_documented() -> None:
    """Each code that a client can meet stands in the page, beside its status."""

    def kinds(error: type[RequestError]) -> list[type[RequestError]]:
        return [error, *(kind for child in error.__subclasses__() for kind in kinds(child))]

    for kind in kinds(RequestError):
        if kind.code not in {"bad_request", "seed_contract"} and kind is not RowWidthError:
            lines = [line for line in PAGE.splitlines() if f"`{kind.code}`" in line]
            assert any(str(kind.status) in line.split("|")[1] for line in lines if line.startswith("|")), kind


def test_python_example_runs(housing_bundle: Any, start_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The example for Python does what it says against a server."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(code.replace("8080", str(start_server(housing_bundle).port)), {})
    assert capsys.readouterr().out == "median_income\n422 instances[0].housing_median_age\n"


def test_every_route_and_metric_is_documented(housing_bundle: Any, start_server: Any) -> None:
    """Each route of the table is named, and each metric that the server gives, and none that it doesn't."""
    server = start_server(housing_bundle, capture="/dev/null")
    for path, methods in server.routes.items():
        if not path.startswith("/v2/"):
            assert any(f"`{method} {path}`" in PAGE for method in methods), path
    given = set(re.findall(r"^# TYPE (\w+)", server.send("GET", "/metrics").body.decode(), re.MULTILINE))
    assert set(re.findall(r"^\| `(moorage_\w+)`", PAGE, re.MULTILINE)) == given
