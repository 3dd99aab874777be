"""The handlers of the server: protocols and pages for one model, as functions from `HttpRequest` to `HttpResponse`.

This module knows no transport: `routes.py` assigns paths to handlers, `transport.py` calls them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from inference_server.admission import Admission
from inference_server.batcher import Batcher
from inference_server.capture import Capture
from inference_server.drift import DriftMonitor
from inference_server.errors import AnswerTimeoutError, TooManyRowsError, UnavailableError
from inference_server.http_messages import HttpRequest, HttpResponse, PredictionRequest
from inference_server.manifest import Feature
from inference_server.metrics import Metrics, SharedCounters
from inference_server.model import Model
from inference_server.openapi import build_document
from inference_server.options import Options
from inference_server.protocols.explain import explain
from inference_server.signature import Rows

_T = TypeVar("_T")
# Larger bodies are parsed and predicted in a separate thread, so that small ones and health checks stay quick.
LARGE_BODY: Final = 64 * 1024


class Service:
    """One model in one event loop. `draining` is set while the server shuts down.

    Raises StartupError if capture can't start.
    """

    def __init__(self, model: Model, options: Options, counters: SharedCounters) -> None:
        self.model, self.metrics = model, Metrics(model.manifest, counters)
        self.drift = DriftMonitor(model.manifest, counters, options.drift_window)
        self.metrics.add_source(self.drift)
        self._capture: Capture | None = None
        if options.capture:
            self._capture = Capture(Path(options.capture), options.capture_share, model, counters)
            self.metrics.add_source(self._capture)
        self.draining = False
        self._options, self._admission = options, Admission(options.max_pending)
        self._loop = asyncio.get_running_loop()
        self._batcher = Batcher(model.engine, self._loop, self._record_batch)
        self._large_body_thread = ThreadPoolExecutor(1, "large")
        self._description = HttpResponse(orjson.dumps(_model_description(model)))
        self._document: HttpResponse | None = None
        self.metrics.set_ready(True)

    def drain(self) -> None:
        """Report from now on that traffic should go elsewhere."""
        self.draining = True
        self.metrics.set_ready(False)

    def close(self) -> None:
        """Stop the threads after their current work."""
        if self._capture is not None:
            self._capture.close()
        self._large_body_thread.shutdown(cancel_futures=True)

    async def infer(self, read: Callable[[HttpRequest], PredictionRequest], request: HttpRequest) -> HttpResponse:
        """Parse rows with a protocol's `read`, predict them, and format the answer in the protocol's form."""
        self._admit()
        try:
            if len(request.body) > LARGE_BODY:
                rows, values, response = await self._run_in_thread(self._infer_large, read, request)
                self._record_batch(rows.data, values, rows.count)
                return response
            prediction = self._check_row_count(read(request))
            return prediction.to_response(await self._batcher.predict(prediction.rows))
        finally:
            self._release()

    def infer_on_fast_path(
        self,
        read: Callable[[HttpRequest], PredictionRequest],
        request: HttpRequest,
        on_response: Callable[[HttpResponse | Exception], None],
    ) -> None:
        """Predict a small body without a task; call `on_response` with the response or exception after the batch.

        Raise the same errors as `infer` for a request that never enters a batch.
        """
        self._admit(request.delayed)
        try:
            prediction = self._check_row_count(read(request))
        except BaseException:
            self._release()
            raise
        self._batcher.submit(prediction.rows, partial(self._complete, prediction, on_response))

    def _complete(
        self,
        prediction: PredictionRequest,
        on_response: Callable[[HttpResponse | Exception], None],
        outcome: list[float] | Exception,
    ) -> None:
        self._release()
        if isinstance(outcome, Exception):
            on_response(outcome)
            return
        try:
            response = prediction.to_response(outcome)
        except Exception as error:  # noqa: BLE001 - passed on to the request
            on_response(error)
        else:
            on_response(response)

    async def explain(self, read: Callable[[HttpRequest], PredictionRequest], request: HttpRequest) -> HttpResponse:
        """Parse rows with a protocol's `read` and explain their predictions."""
        self._admit()
        try:
            count, response = await self._run_in_thread(self._explain_large, read, request)
            self.metrics.count_prediction(count)
            return response
        finally:
            self._release()

    async def respond_alive(self, response: HttpResponse, _: HttpRequest) -> HttpResponse:
        """Answer while the event loop runs."""
        return response

    async def respond_if_ready(self, response: HttpResponse, _: HttpRequest) -> HttpResponse:
        """Answer while the server takes traffic. Raise UnavailableError while draining."""
        if self.draining:
            raise UnavailableError("the server is shutting down; send traffic elsewhere")
        return response

    async def describe_model(self, _: HttpRequest) -> HttpResponse:
        """Describe the served model."""
        return self._description

    async def openapi_document(self, _: HttpRequest) -> HttpResponse:
        """Return the OpenAPI document, built at the first request."""
        if self._document is None:
            self._document = HttpResponse(orjson.dumps(build_document(self.model)))
        return self._document

    async def prometheus_metrics(self, _: HttpRequest) -> HttpResponse:
        """Return the metrics."""
        from inference_server import exposition  # at first use: it would take a tenth of the start

        return HttpResponse(exposition.render(self.metrics.collect_all()), exposition.MEDIA_TYPE)

    async def drift_report(self, _: HttpRequest) -> HttpResponse:
        """Return the distance of recent rows from the training rows."""
        return HttpResponse(self.drift.report())

    def _record_batch(self, data: bytes, values: list[float], rows: int) -> None:
        self.metrics.count_prediction(rows)
        self.drift.record(data, values, rows)
        if self._capture is not None:
            self._capture.record(data, values, rows)

    def _admit(self, delayed: bool = False) -> None:
        """Admit one more request. Raise OverloadedError if too many wait."""
        self._admission.enter(delayed)
        self.metrics.add_pending(1)

    def _release(self) -> None:
        self._admission.leave()
        self.metrics.add_pending(-1)

    async def _run_in_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run in the thread for large bodies. Raise AnswerTimeoutError when the request's time limit is reached."""
        try:
            async with asyncio.timeout(self._options.request_timeout):
                return await self._loop.run_in_executor(self._large_body_thread, function, *arguments)
        except TimeoutError:
            raise AnswerTimeoutError(f"no answer within {self._options.request_timeout:g} s; send fewer rows") from None

    def _infer_large(
        self, read: Callable[[HttpRequest], PredictionRequest], request: HttpRequest
    ) -> tuple[Rows, list[float], HttpResponse]:
        prediction = self._check_row_count(read(request))
        values = self.model.engine.predict(prediction.rows.data, prediction.rows.count)
        return prediction.rows, values, prediction.to_response(values)

    def _explain_large(
        self, read: Callable[[HttpRequest], PredictionRequest], request: HttpRequest
    ) -> tuple[int, HttpResponse]:
        rows = self._check_row_count(read(request)).rows
        if rows.count > self._options.max_explained:
            raise TooManyRowsError(
                f"has {rows.count} rows; the limit for explanations is {self._options.max_explained}"
            )
        return rows.count, explain(self.model, rows)

    def _check_row_count(self, prediction: PredictionRequest) -> PredictionRequest:
        if prediction.rows.count > self._options.max_rows:
            raise TooManyRowsError(
                f"has {prediction.rows.count} rows; the limit per request is {self._options.max_rows}"
            )
        return prediction


def _model_description(model: Model) -> dict[str, Any]:
    manifest = model.manifest
    kinds = model.engine.feature_types or ("q",) * model.signature.width
    return {
        "name": manifest.name,
        "version": manifest.version,
        "sha256": manifest.model.sha256,
        "objective": manifest.objective,
        "num_class": manifest.num_class,
        "features": list(map(_feature_description, manifest.features, kinds)),
        "target": manifest.target.name,
        "metrics": manifest.metrics,
        "lineage": manifest.lineage,
        "xgboost_version": manifest.xgboost_version,
    }


def _feature_description(feature: Feature, kind: str) -> dict[str, Any]:
    known = {name: getattr(feature, name) for name in ("name", "min", "max", "mean", "missing")}
    return known | {"categorical": kind == "c"}
