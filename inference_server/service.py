"""What the server answers: protocols and pages tied to one model, as functions from `Call` to `Reply`.

Knows no transport: `routes.py` says under which path a function stands, `transport.py` carries it.
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
from inference_server.batching import Batcher
from inference_server.capture import Capture
from inference_server.drift import Drift
from inference_server.errors import SlowAnswerError, TooManyRowsError, UnavailableError
from inference_server.manifest import Feature
from inference_server.messages import Call, Question, Reply
from inference_server.metrics import Board, Metrics
from inference_server.model import Model
from inference_server.openapi import document
from inference_server.options import Options
from inference_server.protocols.explain import explain
from inference_server.signature import Rows

_T = TypeVar("_T")
# Bodies above this are parsed and predicted in a thread of their own, so that small ones and health checks stay quick.
LARGE: Final = 64 * 1024


class Service:
    """One model in one event loop. `draining` is set when the server is about to stop. Raise StartError if it can't be."""

    def __init__(self, model: Model, options: Options, board: Board) -> None:
        self.model, self.metrics = model, Metrics(model.manifest, board)
        self.drift = Drift(model.manifest, board, options.drift_window)
        self.metrics.include(self.drift)
        self._capture: Capture | None = None
        if options.capture:
            self._capture = Capture(Path(options.capture), options.capture_share, model, board)
            self.metrics.include(self._capture)
        self.draining = False
        self._options, self._admission = options, Admission(options.max_pending)
        self._loop = asyncio.get_running_loop()
        self._batcher = Batcher(model.engine, self._loop, self._predicted)
        self._large = ThreadPoolExecutor(1, "large")
        self._description = Reply(orjson.dumps(_described(model)))
        self._document: Reply | None = None
        self.metrics.ready(True)

    def drain(self) -> None:
        """Say from now on that traffic should go elsewhere."""
        self.draining = True
        self.metrics.ready(False)

    def close(self) -> None:
        """Let the threads end, after what they are at."""
        if self._capture is not None:
            self._capture.close()
        self._large.shutdown(cancel_futures=True)

    async def infer(self, read: Callable[[Call], Question], call: Call) -> Reply:
        """Read rows with a protocol's `read`, predict them, and answer in the protocol's words."""
        self._admit()
        try:
            if len(call.body) > LARGE:
                rows, values, reply = await self._aside(self._infer_alone, read, call)
                self._predicted(rows.data, values, rows.count)
                return reply
            question = self._accepted(read(call))
            return question.answer(await self._batcher.predict(question.rows))
        finally:
            self._release()

    def ask(self, read: Callable[[Call], Question], call: Call, tell: Callable[[Reply | Exception], None]) -> None:
        """Do the same for a small body, without a task: tell the reply, or what went wrong, when the batch is done.

        Raise what `infer` would raise for a request that never gets into a batch.
        """
        self._admit(call.late)
        try:
            question = self._accepted(read(call))
        except BaseException:
            self._release()
            raise
        self._batcher.ask(question.rows, partial(self._answer, question, tell))

    def _answer(
        self, question: Question, tell: Callable[[Reply | Exception], None], outcome: list[float] | Exception
    ) -> None:
        self._release()
        if isinstance(outcome, Exception):
            tell(outcome)
            return
        try:
            reply = question.answer(outcome)
        except Exception as error:  # noqa: BLE001 - it belongs to the one who asked
            tell(error)
        else:
            tell(reply)

    async def explain(self, read: Callable[[Call], Question], call: Call) -> Reply:
        """Read rows with a protocol's `read` and explain their predictions."""
        self._admit()
        try:
            count, reply = await self._aside(self._explain_alone, read, call)
            self.metrics.predicted(count)
            return reply
        finally:
            self._release()

    async def alive(self, reply: Reply, _: Call) -> Reply:
        """Answer as long as the event loop turns."""
        return reply

    async def ready(self, reply: Reply, _: Call) -> Reply:
        """Answer while traffic may come. Raise UnavailableError while draining."""
        if self.draining:
            raise UnavailableError("the server is about to stop; send traffic elsewhere")
        return reply

    async def describe(self, _: Call) -> Reply:
        """Say what is served."""
        return self._description

    async def document(self, _: Call) -> Reply:
        """Give the OpenAPI document, made when somebody first asks."""
        if self._document is None:
            self._document = Reply(orjson.dumps(document(self.model)))
        return self._document

    async def measure(self, _: Call) -> Reply:
        """Give the metrics."""
        from inference_server import exposition  # only now: it would be a tenth of the start

        return Reply(exposition.render(self.metrics.all()), exposition.MEDIA_TYPE)

    async def drifted(self, _: Call) -> Reply:
        """Tell how far the rows of late are from the training rows."""
        return Reply(self.drift.report())

    def _predicted(self, data: bytes, values: list[float], rows: int) -> None:
        self.metrics.predicted(rows)
        self.drift.see(data, values, rows)
        if self._capture is not None:
            self._capture.see(data, values, rows)

    def _admit(self, late: bool = False) -> None:
        """Count one more who waits. Raise OverloadedError if there are too many."""
        self._admission.enter(late)
        self.metrics.waiting(1)

    def _release(self) -> None:
        self._admission.leave()
        self.metrics.waiting(-1)

    async def _aside(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Work in the thread for what is large. Raise SlowAnswerError when the request's time is over."""
        try:
            async with asyncio.timeout(self._options.request_timeout):
                return await self._loop.run_in_executor(self._large, work, *arguments)
        except TimeoutError:
            raise SlowAnswerError(f"no answer within {self._options.request_timeout:g} s; send fewer rows") from None

    def _infer_alone(self, read: Callable[[Call], Question], call: Call) -> tuple[Rows, list[float], Reply]:
        question = self._accepted(read(call))
        values = self.model.engine.predict(question.rows.data, question.rows.count)
        return question.rows, values, question.answer(values)

    def _explain_alone(self, read: Callable[[Call], Question], call: Call) -> tuple[int, Reply]:
        rows = self._accepted(read(call)).rows
        if rows.count > self._options.max_explained:
            raise TooManyRowsError(
                f"has {rows.count} rows; one request may have {self._options.max_explained} explained"
            )
        return rows.count, explain(self.model, rows)

    def _accepted(self, question: Question) -> Question:
        if question.rows.count > self._options.max_rows:
            raise TooManyRowsError(f"has {question.rows.count} rows; one request may have {self._options.max_rows}")
        return question


def _described(model: Model) -> dict[str, Any]:
    manifest = model.manifest
    kinds = model.engine.feature_types or ("q",) * model.signature.width
    return {
        "name": manifest.name,
        "version": manifest.version,
        "sha256": manifest.model.sha256,
        "objective": manifest.objective,
        "num_class": manifest.num_class,
        "features": list(map(_ranges, manifest.features, kinds)),
        "target": manifest.target.name,
        "metrics": manifest.metrics,
        "lineage": manifest.lineage,
        "xgboost_version": manifest.xgboost_version,
    }


def _ranges(feature: Feature, kind: str) -> dict[str, Any]:
    known = {name: getattr(feature, name) for name in ("name", "min", "max", "mean", "missing")}
    return known | {"categorical": kind == "c"}
