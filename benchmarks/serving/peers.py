"""The peers: the same model behind other servers, each in its own environment and asked in its own form.

Set up in their favour where their documentation says how: one process where that can be had instead of workers to pass
requests on to, no access log, `inplace_predict` instead of a DMatrix. The seed alone is as it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks.serving.served_model import Model
from benchmarks.serving.servers import Server
from benchmarks.serving.virtualenvs import PEERS, peer_interpreter


def seed(model: Model) -> Server:
    """Flask's development server, pandas, a DMatrix per request."""
    body = json.dumps({"response_content_type": "application/json", "pred_x_csv": model.rows[0]}).encode()
    return _peer(
        "seed", model, ["app.py", "PORT"], "/", body=body, read=lambda answer: [float(answer["Predicted value"])]
    )


def fastapi(model: Model) -> Server:
    """FastAPI on uvicorn with uvloop and httptools."""
    command = ["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", "PORT", "--no-access-log"]
    return _peer(
        "fastapi", model, command, "/predict", body=_instances(model), read=lambda answer: answer["predictions"]
    )


def mlserver(model: Model) -> Server:
    """MLServer with a runtime of its own kind, without parallel workers."""
    tensor = {"name": "input", "datatype": "FP32", "shape": [1, 8], "data": f"[{model.rows[0]}]"}
    body = json.dumps({"inputs": [tensor]}).replace('"[', "[").replace(']"', "]").encode()
    path = "/v2/models/housing-model/infer"
    return _peer(
        "mlserver", model, ["serve.py", "PORT"], path, body=body, read=lambda answer: answer["outputs"][0]["data"]
    )


def bentoml(model: Model) -> Server:
    """BentoML with one worker."""
    command = ["-m", "bentoml", "serve", "service:Housing", "--host", "127.0.0.1", "--port", "PORT"]
    return _peer(
        "bentoml", model, command, "/predict", body=_instances(model), read=lambda answer: answer["predictions"]
    )


def litserve(model: Model) -> Server:
    """LitServe with one API server and one worker, which is the least it has."""
    return _peer(
        "litserve",
        model,
        ["app.py", "PORT"],
        "/predict",
        body=_instances(model),
        read=lambda answer: answer["predictions"],
    )


ALL: Final[Sequence[Callable[[Model], Server]]] = (seed, fastapi, mlserver, bentoml, litserve)


def _instances(model: Model) -> bytes:
    return model.json(1, '{"instances":', "}")


def _peer(
    name: str, model: Model, command: Sequence[str], path: str, *, body: bytes, read: Callable[[Any], Sequence[float]]
) -> Server:
    interpreter = peer_interpreter(name)
    return Server(
        name=name,
        command=lambda port: [interpreter, *(str(port) if part == "PORT" else part for part in command)],
        path=path,
        body=body,
        read=lambda answer: read(json.loads(answer)),
        expected=model.expected[:1],
        environment={"MODEL": str(model.file), "PYTHONDONTWRITEBYTECODE": "1"},
        directory=PEERS / name,
    )
