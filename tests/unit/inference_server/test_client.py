"""The Python client: against the real server, and against one that answers as the test says."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from time import time
from typing import Any

import pytest

from inference_server.client import (
    AnswerError,
    AsyncClient,
    Client,
    ClientError,
    LostError,
    RefusedError,
    UnreachableError,
)

from .model_bundles import NAMES, Bundle, same_floats, to_lists
from .server_thread import ThreadedServer

REFUSED = b"HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 57\r\n\r\n{"predictions":[1.5],"model":{"name":"m","version":null}}'


class ScriptedServer:
    """A server that takes one request per connection and answers the next of its answers; none is: it hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self.heads: list[bytes] = []
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for answer in self._answers:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(10)
                self.heads.append(connection.recv(65536))
                connection.sendall(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

    def close(self) -> int:
        """Close it; give how many requests came."""
        self._listener.close()
        self._thread.join(10)
        return len(self.heads)


@pytest.fixture
def start_scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """Start scripted servers."""
    started: list[ScriptedServer] = []

    def start(*answers: bytes) -> ScriptedServer:
        started.append(ScriptedServer(*answers))
        return started[-1]

    yield start
    for server in started:
        server.close()


def predict_without_sleeping(url: str, **options: Any) -> tuple[Any, list[float]]:
    """Predict one row with a client that doesn't sleep.

    Give the result or the error, and how long it would have slept.
    """
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def run() -> Any:
        async with AsyncClient(url, sleep=sleep, **options) as client:
            try:
                return await client.predict([[1.0]])
            except ClientError as error:
                return error

    return asyncio.run(run()), slept


def test_answers_are_typed_objects(start_server: Callable[..., ThreadedServer], housing_bundle: Bundle) -> None:
    """Predictions, explanations and the model come as objects; rows may be lists, objects, arrays; NaN is missing."""
    server, rows = start_server(housing_bundle), housing_bundle.rows[:3]
    with Client(f"http://127.0.0.1:{server.port}/") as client:
        plain = client.predict(to_lists(rows))
        assert same_floats(plain.values, housing_bundle.predict(rows))
        assert (plain.model.name, plain.model.version) == ("housing-model", 3)
        named = [dict(zip(NAMES, map(float, row), strict=True)) for row in rows]
        assert any(math.isnan(value) for row in named for value in row.values())
        assert client.predict(named) == client.predict(rows) == plain
        for explanation, value in zip(client.explain(named), plain.values, strict=True):
            assert explanation.prediction == value
            assert tuple(explanation.contributions) == NAMES
            total = explanation.bias + sum(explanation.contributions.values())
            assert total == pytest.approx(explanation.margin, rel=1e-4)
        model = client.model()
        assert (model.sha256, model.features[0].name) == (housing_bundle.manifest.model.sha256, NAMES[0])
        assert client.ready()


def test_multi_output_values_are_lists(
    start_server: Callable[..., ThreadedServer], train_bundle: Callable[..., Bundle]
) -> None:
    """Where a model gives one value per class, so does the client."""
    bundle = train_bundle("multi:softprob")
    with Client(f"http://127.0.0.1:{start_server(bundle).port}") as client:
        (values,) = client.predict(to_lists(bundle.rows[:1])).values
        (explanation,) = client.explain(to_lists(bundle.rows[:1]))
    assert isinstance(values, list)
    assert len(values) == len(explanation.bias) == len(explanation.contributions[NAMES[0]]) == 3


def test_refused_error_carries_the_server_error(
    start_server: Callable[..., ThreadedServer], housing_bundle: Bundle
) -> None:
    """Status, code, field, message and request id of the server are the error's; it is sent once."""
    with (
        Client(f"http://127.0.0.1:{start_server(housing_bundle).port}", headers={"X-Request-Id": "mine"}) as client,
        pytest.raises(RefusedError, match="422: instances") as refused,
    ):
        client.predict([[1.0, 2.0]])
    error = refused.value
    assert (error.status, error.code, error.request_id) == (422, "invalid_input", "mine")
    assert error.field.endswith("total_rooms")
    assert "has 2 values" in error.message


def test_retry_after_is_honoured(start_scripted: Callable[..., ScriptedServer]) -> None:
    """Retry-After in seconds and as a date is waited for, then the request is sent again."""
    server = start_scripted(REFUSED % b"7", REFUSED % formatdate(time() + 9, usegmt=True).encode(), ANSWER)
    result, slept = predict_without_sleeping(server.url)
    assert result.values == [1.5]
    assert slept[0] == 7
    assert 7 < slept[1] <= 9
    assert server.close() == 3
    assert all(b"User-Agent: moorage\r\n" in head for head in server.heads)


def test_retry_after_beyond_the_timeout_is_not_waited_for(start_scripted: Callable[..., ScriptedServer]) -> None:
    """A Retry-After beyond the timeout is not waited for: the error has it for whoever asks."""
    server = start_scripted(REFUSED % b"31")
    result, slept = predict_without_sleeping(server.url)
    assert (type(result), result.status, result.retry_after, slept) == (RefusedError, 503, 31, [])
    assert server.close() == 1


def test_gives_up_after_four_attempts(start_scripted: Callable[..., ScriptedServer]) -> None:
    """A server that stays overloaded is not asked forever."""
    server = start_scripted(*[REFUSED % b"1"] * 4)
    result, slept = predict_without_sleeping(server.url)
    assert (result.status, slept) == (503, [1, 1, 1.6])
    assert server.close() == 4


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 503 Gone\r\nContent-Length: 0\r\n\r\n", RefusedError),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", RefusedError),
        (b"HTTP/1.1 429 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", RefusedError),
        (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n[]", RefusedError),
        (b"HTTP/1.1 307 There\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", RefusedError),
        (b"", LostError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", LostError),
        (b"SSH-2.0-OpenSSH\r\n", LostError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", AnswerError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", AnswerError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", AnswerError),
    ],
)
def test_requests_that_may_have_been_received_are_not_retried(
    start_scripted: Callable[..., ScriptedServer], answer: bytes, kind: type[ClientError]
) -> None:
    """No error but a 503 with Retry-After, no broken connection and no nonsense makes it send a request again."""
    server = start_scripted(answer)
    result, slept = predict_without_sleeping(server.url)
    assert (type(result), slept) == (kind, [])
    assert result.url == f"{server.url}/predict"
    assert server.close() == 1


def test_refused_connection_is_retried() -> None:
    """While nobody listens nothing was sent, so it is tried again; four times in all."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        result, slept = predict_without_sleeping(f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert (type(result), slept) == (UnreachableError, [0.1, 0.4, 1.6])


def test_timeout_is_a_lost_error(start_scripted: Callable[..., ScriptedServer]) -> None:
    """A server that doesn't answer in time is LostError: it may have worked on it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result, slept = predict_without_sleeping(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
    assert (type(result), slept) == (LostError, [])


def test_error_shapes_of_gateways_are_parsed(start_scripted: Callable[..., ScriptedServer]) -> None:
    """API Gateway's shape, the seed's, and plain text give their message."""
    for body in (b'{"message":"No"}', b'{"Error":"No"}', b'{"error":"No"}', b"No"):
        server = start_scripted(b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        result, _ = predict_without_sleeping(server.url)
        assert (result.status, result.message, result.code) == (404, "No", "")


def test_proxy_is_used_except_for_loopback(start_scripted: Callable[..., ScriptedServer]) -> None:
    """With a proxy in the environment, a name elsewhere is asked through it, loopback directly."""
    proxy, server = start_scripted(ANSWER), start_scripted(ANSWER)
    code = (
        "import sys; from inference_server.client import Client\n"
        "for url in sys.argv[1:]:\n"
        "    with Client(url) as client: print(client.predict([[1.0]]).values)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "http://models.invalid/stage", server.url],
        env={**os.environ, "http_proxy": proxy.url, "HTTP_PROXY": proxy.url, "no_proxy": "", "NO_PROXY": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[1.5]\n[1.5]\n", "")
    assert proxy.close() == server.close() == 1
    assert proxy.heads[0].startswith(b"POST http://models.invalid/stage/predict HTTP/1.1\r\n")
    assert server.heads[0].startswith(b"POST /predict HTTP/1.1\r\n")


def test_invalid_urls_are_rejected() -> None:
    """A client is for http and https."""
    for url in ("localhost:8080", "file:///etc/passwd", "http://", ""):
        with pytest.raises(ValueError, match="is not an http:// or https:// URL"):
            Client(url)
