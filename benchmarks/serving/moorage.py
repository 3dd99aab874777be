"""Moorage's server with its defaults, asked in three forms; and the floor under any server on aiohttp.

Both run with the packages that are in the server's image. `--drain-delay 0` only shortens the stop.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.serving import virtualenvs
from benchmarks.serving.served_model import Model
from benchmarks.serving.servers import Server

_FLOOR = Path(__file__).with_name("floor.py")


def as_json(model: Model, rows: int = 1) -> Server:
    """Asked at `/predict` with JSON."""
    return Server(
        name="ours",
        command=_command(model),
        path="/predict",
        body=model.json(rows, '{"instances":', "}"),
        read=lambda answer: json.loads(answer)["predictions"],
        expected=model.expected[:rows],
    )


def as_csv(model: Model, rows: int = 1) -> Server:
    """Asked at `/predict` with CSV. It answers in JSON."""
    return Server(
        name="ours, CSV",
        command=_command(model),
        path="/predict",
        body=model.csv(rows),
        read=lambda answer: json.loads(answer)["predictions"],
        expected=model.expected[:rows],
        headers={"Content-Type": "text/csv"},
    )


def as_binary(model: Model, rows: int = 1) -> Server:
    """Asked in the Open Inference Protocol's binary form. It answers in it, too."""
    data = model.floats(rows)
    tensor = {"name": "input", "datatype": "FP32", "shape": [rows, len(data) // 4 // rows]}
    inputs = [{**tensor, "parameters": {"binary_data_size": len(data)}}]
    outputs = [{"name": "predict", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
    return Server(
        name="ours, binary",
        command=_command(model),
        path="/v2/models/housing-model/infer",
        body=head + data,
        read=_floats,
        expected=model.expected[:rows],
        headers={"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))},
    )


def floor(model: Model) -> Server:
    """No model: the same request is parsed as JSON, and a constant answered, which is the first row's prediction."""
    interpreter = virtualenvs.server_interpreter()
    answer = {"predictions": model.expected[:1], "model": {"name": "housing-model", "version": 1}}
    text = json.dumps(answer, separators=(",", ":"))
    return Server(
        name="floor",
        command=lambda port: [interpreter, str(_FLOOR), str(port), text],
        path="/predict",
        body=model.json(1, '{"instances":', "}"),
        read=lambda answer: json.loads(answer)["predictions"],
        expected=model.expected[:1],
    )


def _command(model: Model) -> Callable[[int], Sequence[str]]:
    program = [virtualenvs.server_interpreter(), "-m", "inference_server", "--model-dir", str(model.directory)]
    return lambda port: [*program, "--port", str(port), "--drain-delay", "0"]


def _floats(answer: bytes) -> Sequence[float]:
    _, end = json.JSONDecoder().raw_decode(answer.decode("latin-1"))
    return struct.unpack(f"<{(len(answer) - end) // 4}f", answer[end:])
