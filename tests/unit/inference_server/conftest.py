"""Bundles of small models, trained once per session by the xgboost package; servers in a thread or in a process."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
import xgboost as xgb

from inference_server import manifest as manifests
from inference_server import model as models
from inference_server.manifest import Canary, Feature, Manifest, ModelFile, Target
from inference_server.options import Options
from inference_server.routes import table
from inference_server.service import Service
from inference_server.transport import Transport

NAMES = (
    "median_income",
    "housing_median_age",
    "total_rooms",
    "total_bedrooms",
    "population",
    "households",
    "latitude",
    "longitude",
)


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk, with the booster and rows that made it. `predict` is the xgboost package's own answer."""

    directory: Path
    booster: xgb.Booster
    rows: np.ndarray
    manifest: Manifest

    def predict(self, rows: np.ndarray, **options: Any) -> np.ndarray:
        """Predict as the xgboost package does."""
        types = self.booster.feature_types
        matrix = xgb.DMatrix(rows, feature_names=list(NAMES), feature_types=types, enable_categorical=bool(types))
        return self.booster.predict(matrix, **options)

    def write(self, directory: Path, manifest: Manifest | None = None, model: bytes | None = None) -> Path:
        """Write a variant of the bundle."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.ubj").write_bytes(model or bytes(self.booster.save_raw("ubj")))
        (directory / "manifest.json").write_bytes(manifests.dumps(manifest or self.manifest))
        return directory


def train(directory: Path, objective: str, categorical: bool = False, **parameters: Any) -> Bundle:
    """Train a small model on random rows, a tenth of the values missing, and bundle it with two canary rows."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(600, len(NAMES))).astype(np.float32)
    label = rows[:, 0] * 3 + rows[:, 1] * rows[:, 2] + random.normal(scale=0.1, size=600)
    rows[random.random(rows.shape) < 0.1] = np.nan
    types = None
    if categorical:
        rows[:, 2] = random.integers(0, 9, 600)
        rows[::11, 2] = np.nan
        types = ["q", "q", "c", *["q"] * 5]
    if objective == "reg:logistic":
        label = (label > 0) * 0.8
    elif objective.startswith(("binary", "multi")):
        label = (label > 0).astype(int) + (label > 2) * (objective.startswith("multi"))
    elif objective.startswith(("count", "reg:gamma", "reg:tweedie")):
        label = np.abs(label).round() + 1
    if classes := 3 if objective.startswith("multi") else 0:
        parameters |= {"num_class": classes}
    matrix = xgb.DMatrix(rows, label, feature_names=list(NAMES), feature_types=types, enable_categorical=categorical)
    trained = xgb.train({"objective": objective, "nthread": 1, "seed": 1, "max_depth": 4} | parameters, matrix, 12)
    raw = bytes(trained.save_raw("ubj"))
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(raw))
    expected = booster.predict(matrix, strict_shape=True)
    manifest = Manifest(
        name="housing-model",
        version=3,
        model=ModelFile(hashlib.sha256(raw).hexdigest(), len(raw)),
        features=tuple(Feature(name, -5, 5, 0, 1) for name in NAMES),
        target=Target("median_house_value"),
        objective=objective,
        num_class=classes,
        xgboost_version=xgb.__version__,
        metrics={"test": {"rmse": 1.5}},
        lineage={"commit": "abc"},
        canaries=tuple(
            Canary(tuple(None if np.isnan(v) else float(v) for v in rows[i]), tuple(map(float, expected[i])))
            for i in (0, 1)
        ),
    )
    bundle = Bundle(directory, booster, rows, manifest)
    bundle.write(directory, model=raw)
    return bundle


Trainer = Callable[..., Bundle]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Give bundles by objective and parameters, each trained once."""
    known: dict[str, Bundle] = {}

    def bundle(objective: str = "reg:squarederror", **options: Any) -> Bundle:
        key = repr((objective, sorted(options.items())))
        if key not in known:
            known[key] = train(tmp_path_factory.mktemp("bundle"), objective, **options)
        return known[key]

    return bundle


@pytest.fixture(scope="session")
def housing(trained: Trainer) -> Bundle:
    """The plain regression bundle."""
    return trained()


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error's own object, in the shape that all errors have."""
        error = self.json["error"]
        assert set(error) == {"code", "message", "field", "request_id"}
        assert error["request_id"] == self.headers["x-request-id"]
        return error


class Running:
    """A server in a thread of the test process, with its own event loop, asked through a real socket."""

    def __init__(self, bundle: Bundle, **options: Any) -> None:
        self._options = Options(model_dir=bundle.directory, **options)
        self.logged: list[dict[str, Any]] = []
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self.port = self._started.result(10)

    async def _run(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        log = structlog.wrap_logger(None, processors=[self._keep])
        self.service = Service(models.load(self._options.model_dir), self._options)
        transport = Transport(self.service, table(self.service), self._options, log)
        server = await self.loop.create_server(transport.protocol, "127.0.0.1", 0)
        self._started.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        await transport.server.shutdown(0.1)
        self.service.close()

    def _keep(self, _logger: object, _method: str, event: dict[str, Any]) -> Any:
        self.logged.append(event)
        raise structlog.DropEvent

    def stop(self) -> None:
        """End the server and its thread."""
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request; a body that is no text or bytes goes as JSON. Headers are given with underscores."""
        sent = body if isinstance(body, bytes | str | None) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def raw(self, data: bytes) -> bytes:
        """Send bytes as they are and read until the server closes."""
        with self.connect() as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Running]]:
    """Start servers that end with the module; the same bundle and options share one."""
    running: dict[str, Running] = {}

    def start(bundle: Bundle, **options: Any) -> Running:
        key = repr((bundle.directory, sorted(options.items())))
        if key not in running:
            running[key] = Running(bundle, **options)
        return running[key]

    yield start
    for server in running.values():
        server.stop()
