"""Tracing: the trace id of a request (W3C `traceparent`) and, if the extra is installed, OpenTelemetry spans.

Spans are exported if OTEL_EXPORTER_OTLP_ENDPOINT (or its variant for traces) is set; OpenTelemetry's own variables
configure them. Otherwise OpenTelemetry isn't imported, because it would take most of the server's memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import time_ns
from typing import TYPE_CHECKING, Final

from structlog.typing import FilteringBoundLogger

from inference_server.manifest import Manifest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def trace_id(headers: Mapping[str, str]) -> str | None:
    """Return the trace id from the request's `traceparent`; None if the header is absent or invalid."""
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return match[1] if match else None


class SpanRecorder:
    """Records one span per answered request, as a child of the caller's span. `close` exports the pending spans."""

    def __init__(self, manifest: Manifest, name: str, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource_attributes = {SERVICE_NAME: name, SERVICE_VERSION: str(manifest.version or "")}
        self._provider: TracerProvider = TracerProvider(
            resource=Resource.create(resource_attributes), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("inference_server")

    def record(self, method: str, path: str, headers: Mapping[str, str], status: int, seconds: float) -> None:
        """Record the span of a request that has just been answered; `path` is one of the table of routes."""
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        end = time_ns()
        context = TraceContextTextMapPropagator().extract({name.lower(): value for name, value in headers.items()})
        span = self._tracer.start_span(
            f"{method} {path}",
            context,
            SpanKind.SERVER,
            start_time=end - int(seconds * 1e9),
            attributes={"http.request.method": method, "http.route": path, "http.response.status_code": status},
        )
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def close(self) -> None:
        """Export the pending spans; blocks until they are exported or dropped."""
        self._provider.shutdown()


def create_span_recorder(
    environment: Mapping[str, str], manifest: Manifest, log: FilteringBoundLogger
) -> SpanRecorder | None:
    """Return a span recorder if the environment enables tracing, else None.

    If the extra is missing, log a warning and return None.
    """
    if not any(environment.get(name) for name in _ENDPOINTS) or environment.get("OTEL_SDK_DISABLED") == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        log.warning(
            "can't trace", reason="OpenTelemetry isn't installed; install moorage[otel], or unset its variables"
        )
        return None
    return SpanRecorder(manifest, environment.get("OTEL_SERVICE_NAME") or manifest.name, OTLPSpanExporter())
