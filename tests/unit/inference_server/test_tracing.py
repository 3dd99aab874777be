"""Traces: which trace a request is part of, and the spans that OpenTelemetry gets of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from inference_server.tracing import trace_id

from .server_process import BODY, ROOT, send

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"00-{TRACE}-{PARENT}-00", TRACE),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be", TRACE),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        (f"00-{TRACE[1:]}-{PARENT}-01", None),
        ("", None),
        ('"}\n{"event":"forged', None),
    ],
)
def test_traceparent_is_parsed_as_w3c_specifies(header: str, trace: str | None) -> None:
    """A decent header names its trace; anything else is as if there were none."""
    assert trace_id({"traceparent": header}) == trace


def test_debug_log_has_request_and_trace_ids(housing_bundle: Any, start_process: Any) -> None:
    """At level debug each answer is one line with the client's request id, or a new one, and its trace."""
    process = start_process(housing_bundle.directory, "--log-level", "debug", DRAIN_DELAY="0")
    port = process.wait_until_started()
    send(port, "/predict", BODY, X_Request_Id="mine", traceparent=f"00-{TRACE}-{PARENT}-01")
    send(port, "/predict", "{", X_Request_Id="not one\t")
    process.process.terminate()
    _, log, _ = process.wait_for_exit()
    first, second = (line for line in log if line["event"] == "request")
    assert (first["request_id"], first["trace_id"], first["route"], first["status"]) == ("mine", TRACE, "predict", 200)
    assert first["milliseconds"] > 0
    assert (second["status"], len(second["request_id"]), "trace_id" in second) == (400, 16, False)


class OtlpCollectorHandler(BaseHTTPRequestHandler):
    """Takes spans as an OpenTelemetry collector does."""

    def do_POST(self) -> None:
        """Keep what comes."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, self.headers.get("content-encoding"), body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def otlp_collector() -> Iterator[Any]:
    """A collector on loopback; `got` are the requests that came."""
    with HTTPServer(("127.0.0.1", 0), OtlpCollectorHandler) as server:
        server.got = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_spans_are_exported(housing_bundle: Any, start_process: Any, otlp_collector: Any) -> None:
    """With OpenTelemetry's variable set, an answered request is a span, child of the caller's, sent at the latest at
    the end.
    """
    endpoint = f"http://127.0.0.1:{otlp_collector.server_port}"
    process = start_process(
        housing_bundle.directory,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_EXPORTER_OTLP_COMPRESSION="none",
        DRAIN_DELAY="0",
    )
    port = process.wait_until_started()
    send(port, "/predict", BODY, traceparent=f"00-{TRACE}-{PARENT}-01")
    send(port, "/predict", "{")
    process.process.terminate()
    code, log, err = process.wait_for_exit()
    assert (code, err, [line["event"] for line in log]) == (0, "", ["draining", "stopped"])
    assert {path for path, _, _ in otlp_collector.got} == {"/v1/traces"}
    resources = [
        each for _, _, body in otlp_collector.got for each in ExportTraceServiceRequest.FromString(body).resource_spans
    ]
    about = {each.key: each.value.string_value for each in resources[0].resource.attributes}
    assert (about["service.name"], about["service.version"]) == ("housing-model", "3")
    child, alone = (span for each in resources for scope in each.scope_spans for span in scope.spans)
    assert (child.name, child.trace_id.hex(), child.parent_span_id.hex()) == ("POST /predict", TRACE, PARENT)
    assert child.end_time_unix_nano > child.start_time_unix_nano
    facts = {each.key: each.value for each in child.attributes}
    assert facts["http.route"].string_value == "/predict"
    assert facts["http.response.status_code"].int_value == 200
    assert (alone.parent_span_id, alone.trace_id.hex() != TRACE) == (b"", True)


def trace_in_subprocess(environment: dict[str, str], before: str = "") -> str:
    """Give whether a process of its own has a part of OpenTelemetry after it was told to trace, and what it logged."""
    code = (
        f"import sys, structlog; {before}\n"
        "import inference_server.__main__\n"
        "from types import SimpleNamespace\n"
        "from inference_server.tracing import create_span_recorder\n"
        f"create_span_recorder({environment!r}, SimpleNamespace(name='m', version=1), structlog.get_logger())\n"
        "print('opentelemetry.sdk' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_opentelemetry_is_loaded_only_when_enabled() -> None:
    """OpenTelemetry is in the process only where its variable is set and it isn't switched off."""
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert trace_in_subprocess({}) == trace_in_subprocess({**endpoint, "OTEL_SDK_DISABLED": "true"}) == "False"
    assert trace_in_subprocess(endpoint) == "True"


def test_missing_opentelemetry_only_logs_a_warning() -> None:
    """Where OpenTelemetry isn't installed the variable only brings a line that says how to install it."""
    output = trace_in_subprocess(
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, "sys.modules['opentelemetry'] = None"
    )
    assert "moorage[otel]" in output
    assert output.endswith("False")
