"""`moorage predict`: send a row to a model through its API, as any client would."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shlex import quote
from typing import Annotated, Any
from urllib.parse import urlsplit

from cyclopts import Parameter
from rich.text import Text

from controller.cli.get import Environments, find_status
from controller.cli.options import BackendOptions, FileOptions, Name
from controller.cli.output import console
from controller.environments.factory import open_store
from controller.errors import FailedError, NotFoundError, UsageError
from inference_server.client import Client, ClientError, RefusedError

PATH = "/predict"
_TIMEOUT = 30.0  # seconds; API Gateway limits an integration to this time


def predict(
    name: Name,
    /,
    *features: Annotated[
        str, Parameter(help="Features of one row, like `median_income=8.3`; an empty value means missing.")
    ],
    data: Annotated[Path | None, Parameter(help="File with a complete JSON request body; `-` reads stdin.")] = None,
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Print a model's prediction, and on stderr the curl command that sends the same request."""
    status = find_status(open_store(files.file, environment, home=place.home, local=place.local), environment, name)
    endpoint = str(status.facts.get("endpoint") or "")
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise NotFoundError(f"{name} has no endpoint", hint="add 'api' to its spec and reconcile")
    endpoint, body = endpoint.rstrip("/"), _body(features, data)
    console.print_progress(Text(curl(endpoint + PATH, body), "dim"))
    sys.stdout.write(console.to_json(ask(endpoint, body)))
    return 0


def curl(url: str, body: bytes) -> str:
    """Return the curl command line that sends the same request."""
    return f"curl -sS {quote(url)} -H 'content-type: application/json' -d {quote(body.decode())}"


def ask(endpoint: str, body: bytes) -> Any:
    """Send a JSON request. Raises UsageError when the model rejects the input, FailedError when no answer arrives."""
    try:
        with Client(endpoint, timeout=_TIMEOUT) as client:
            return client.ask(PATH, body)
    except RefusedError as error:
        kind = UsageError if error.status in (400, 413, 415, 422) else FailedError
        raise kind(f"the API answered {error.status}", where=error.url, why=error.message) from error
    except ClientError as error:
        raise FailedError("the API doesn't answer", where=error.url, why=str(error)) from error


def _body(features: tuple[str, ...], data: Path | None) -> bytes:
    if data is not None:
        try:
            content = sys.stdin.buffer.read() if str(data) == "-" else data.read_bytes()
            json.loads(content)
        except OSError as error:
            raise UsageError("the data can't be read", where=str(data), why=error.strerror or "") from error
        except ValueError as error:
            raise UsageError("the data isn't valid JSON", where=str(data), why=str(error)) from error
        return content
    if not features:
        raise UsageError("no features were given", hint="moorage predict NAME median_income=8.3 …, or --data FILE")
    return json.dumps({"instances": [dict(map(_feature, features))]}).encode()


def _number(text: str) -> float:
    """Read a number; integers stay integers, so that the request looks like the command line."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def _feature(text: str) -> tuple[str, float | None]:
    name, equals, value = text.partition("=")
    try:
        if name and equals:
            return name, _number(value) if value else None
    except ValueError:
        pass
    raise UsageError(f"'{text}' isn't a feature with a number", hint="write NAME=NUMBER, or NAME= for a missing value")
