"""Pages, limits and errors of the HTTP side."""

from __future__ import annotations

import gzip
import json
import re
import select
from contextlib import suppress
from typing import Any

import pytest

from inference_server.options import Options

from .server_thread import EngineProxy

ROW = [8.3, 41.0, 880.0, 129.0, 322.0, 126.0, 37.88, -122.23]


def test_health_and_model_routes(housing_bundle: Any, start_server: Any) -> None:
    """Alive, ready, and what is served: version, sha256, signature and lineage."""
    server = start_server(housing_bundle)
    assert server.send("GET", "/livez").json == {"status": "alive"}
    assert server.send("GET", "/readyz").json == {"status": "ready"}
    model = server.send("GET", "/model").json
    assert (model["name"], model["version"]) == ("housing-model", 3)
    assert model["sha256"] == housing_bundle.manifest.model.sha256
    assert [feature["name"] for feature in model["features"]] == list(housing_bundle.manifest.feature_names)
    assert model["lineage"] == {"commit": "abc"}
    assert model["metrics"] == {"test": {"rmse": 1.5}}


def test_head_answers_like_get_without_a_body(housing_bundle: Any, start_server: Any) -> None:
    """Probes that send HEAD get the status."""
    answer = start_server(housing_bundle).send("HEAD", "/livez")
    assert (answer.status, answer.body) == (200, b"")


def test_metrics_count_requests_and_rows(housing_bundle: Any, start_server: Any) -> None:
    """Each answered request and each predicted row is counted, under the route's name, never the client's path."""
    server = start_server(housing_bundle, keepalive=74.0)
    server.send("POST", "/predict", {"instances": [ROW, ROW]})
    server.send("POST", "/predict", {"instances": [ROW[:7]]})
    server.send("GET", "/wp-login.php")
    answer = server.send("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    assert 'moorage_requests_total{route="predict",status="200"} 1.0' in lines
    assert 'moorage_requests_total{route="predict",status="422"} 1.0' in lines
    assert 'moorage_requests_total{route="none",status="404"} 1.0' in lines
    assert "moorage_rows_total 2.0" in lines
    assert "moorage_workers_ready 1.0" in lines
    assert 'moorage_batch_rows_bucket{le="1"} 0.0' in lines
    assert 'moorage_batch_rows_bucket{le="2"} 1.0' in lines
    assert "moorage_batch_rows_sum 2.0" in lines
    assert 'moorage_request_seconds_count{route="predict"} 2.0' in lines
    assert "moorage_requests_pending 0.0" in lines
    assert (
        f'moorage_model_info{{name="housing-model",sha256="{housing_bundle.manifest.model.sha256}",version="3"}} 1.0'
        in lines
    )
    assert "wp-login" not in answer.body.decode()


def test_unknown_paths_and_methods_are_rejected(housing_bundle: Any, start_server: Any) -> None:
    """404 names the paths that are, 405 the methods that are allowed."""
    answer = start_server(housing_bundle).send("GET", "/nothing")
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    answer = start_server(housing_bundle).send("GET", "/predict")
    assert (answer.status, answer.error["code"], answer.headers["allow"]) == (405, "method_not_allowed", "POST")


def test_request_ids_are_echoed_or_replaced(housing_bundle: Any, start_server: Any) -> None:
    """A client's request id comes back; an indecent one is replaced, never echoed."""
    server = start_server(housing_bundle)
    assert server.send("GET", "/livez", x_request_id="abc-1").headers["x-request-id"] == "abc-1"
    assert server.send("GET", "/nothing", x_request_id="abc-2").error["request_id"] == "abc-2"
    answer = server.send("GET", "/nothing", x_request_id="<script>" * 40)
    assert "script" not in answer.error["request_id"]


def test_no_version_banner(housing_bundle: Any, start_server: Any) -> None:
    """No answer says which software in which version runs, not even one to nonsense."""
    server = start_server(housing_bundle)
    for answer in (
        server.send_raw(b"GET /livez HTTP/1.0\r\n\r\n"),
        server.send_raw(b"nonsense\r\n\r\n"),
        server.send_raw(b"GET /x HTTP/1.0\r\n\r\n"),
    ):
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert b"server: moorage\r\n" in head
        assert b"aiohttp" not in answer.lower()
        assert b"python" not in answer.lower()


def test_unparsable_requests_get_the_common_error_shape(housing_bundle: Any, start_server: Any) -> None:
    """What is no HTTP gets a JSON error and a closed connection; an endless header has a status of its own.

    All count.
    """
    server = start_server(housing_bundle, keepalive=71.0)
    for sent, status, code in (
        (b"nonsense\r\n\r\n", b" 400 ", "malformed"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b" 431 ", "header_too_large"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b" 431 ", "header_too_large"),
    ):
        head, _, body = server.send_raw(sent).partition(b"\r\n\r\n")
        assert status in head.splitlines()[0]
        assert json.loads(body)["error"]["code"] == code
    assert b'moorage_requests_total{route="none",status="431"} 2.0' in server.send("GET", "/metrics").body


@pytest.mark.parametrize("chunked", [False, True])
def test_body_above_the_limit_is_rejected(housing_bundle: Any, start_server: Any, chunked: bool) -> None:
    """413, whether the length was announced or not."""
    body = b" " * 5000
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    sent = (
        b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + body + b"\r\n0\r\n\r\n"
        if chunked
        else b"Content-Length: 5000\r\n\r\n" + body
    )
    answer = start_server(housing_bundle, max_body=4000).send_raw(head + sent)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer


def test_compressed_bodies_are_limited(housing_bundle: Any, start_server: Any) -> None:
    """Gzip is understood; what would grow beyond the limit is 413, what is no gzip 400; none of it ends the server."""
    server = start_server(housing_bundle, max_body=4000)
    head = {"content_encoding": "gzip"}
    assert (
        server.send("POST", "/predict", gzip.compress(json.dumps({"instances": [ROW]}).encode()), **head).status == 200
    )
    answer = server.send("POST", "/predict", gzip.compress(bytes(2_000_000)), **head)
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")
    answer = server.send("POST", "/predict", b"this is no gzip", **head)
    assert (answer.status, answer.error["code"]) == (400, "malformed")
    assert server.send("GET", "/livez").status == 200


def test_too_many_rows_are_rejected(housing_bundle: Any, start_server: Any) -> None:
    """422 with a code of its own, in a small body as in a large one."""
    server = start_server(housing_bundle, max_rows=2)
    assert server.send("POST", "/predict", {"instances": [ROW] * 2}).status == 200
    for count in (3, 5000):
        answer = server.send("POST", "/predict", {"instances": [ROW] * count})
        assert (answer.status, answer.error["code"]) == (422, "too_many_rows")


def test_body_timeout(housing_bundle: Any, start_server: Any) -> None:
    """408 after the body's time, and the connection is closed."""
    answer = start_server(housing_bundle, body_timeout=0.1).send_raw(
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"
    )
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in answer


def test_idle_connection_is_closed(housing_bundle: Any, start_server: Any) -> None:
    """A connection on which nothing, or half a head, arrives is closed after the idle time.

    That is above 60 s by default.
    """
    server = start_server(housing_bundle, keepalive=0.1)
    for sent in (b"", b"POST /predict HTTP/1.1\r\nHost:"):
        assert server.send_raw(sent) == b""
    assert Options(model_dir=housing_bundle.directory).keepalive > 60


@pytest.mark.parametrize("before", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_slow_head_is_cut_off(housing_bundle: Any, start_server: Any, before: bytes) -> None:
    """However its bytes drip, on a new connection or a kept one: it is closed after its own time, and nobody else."""
    server = start_server(housing_bundle, head_timeout=0.2, keepalive=600)
    with server.connect() as idle, server.connect() as slow:
        for connection in (idle, slow):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" if connection is idle else before)
        if before:
            assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        slow.sendall(b"POST /predict HTTP/1.1\r\n")
        with suppress(ConnectionError):
            while select.select([slow], [], [], 0.02)[0] == []:
                slow.sendall(b"X-A: b\r\n")
            assert slow.recv(4096) == b""
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(housing_bundle: Any, start_server: Any) -> None:
    """Three requests in one packet get three answers, in order, on the one connection."""
    request = b"GET /%s HTTP/1.1\r\nHost: x\r\n%s\r\n"
    sent = request % (b"livez", b"") + request % (b"nothing", b"") + request % (b"readyz", b"Connection: close\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", start_server(housing_bundle).send_raw(sent)) == [b"200", b"404", b"200"]


def test_expect_continue(housing_bundle: Any, start_server: Any) -> None:
    """A client that asks first is told to go on, as curl does with large bodies."""
    body = json.dumps({"instances": [ROW]}).encode()
    head = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    )
    server = start_server(housing_bundle)
    with server.connect() as connection:
        connection.sendall(head)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


class FailingEngine(EngineProxy):
    """An engine that fails."""

    def predict(self, data: bytes, rows: int) -> list[float]:
        raise RuntimeError(f"planted: {data!r}")


def test_internal_failure_is_500_and_logged_without_rows(housing_bundle: Any, start_server: Any) -> None:
    """An unforeseen exception is answered in the one shape.

    What and where is in the log under the same id, no row with it.
    """
    server = start_server(housing_bundle, engine=FailingEngine)
    answer = server.send("POST", "/predict", {"instances": [ROW]})
    assert (answer.status, answer.error["code"]) == (500, "internal")
    assert "planted" not in answer.body.decode()
    assert server.log_events[-1]["request_id"] == answer.error["request_id"]
    assert server.log_events[-1]["error"] == "RuntimeError"
    assert server.log_events[-1]["trace"][-1].endswith(" predict")
    assert "planted" not in str(server.log_events)


def test_draining_fails_readiness_and_closes_connections(housing_bundle: Any, start_server: Any) -> None:
    """While draining, readiness is 503, predictions still come, and every answer closes its connection."""
    server = start_server(housing_bundle, keepalive=72.0)
    server.loop.call_soon_threadsafe(server.service.drain)
    answer = server.send("GET", "/readyz")
    assert (answer.status, answer.error["code"], answer.headers["connection"]) == (503, "unavailable", "close")
    answer = server.send("POST", "/predict", {"instances": [ROW]})
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert server.send("GET", "/livez").status == 200
