"""Whatever bytes come as a body: a protocol gives whole, finite rows that can be predicted, or refuses with a
RequestError.

Run by `make fuzz` under atheris, which follows the branches that an input takes and keeps what finds new ones in
`.fuzz/`. The first byte of an input chooses protocol and media type, the rest is the body.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import atheris

with atheris.instrument_imports(include=["inference_server"]):
    from inference_server import model as models
    from inference_server.errors import RequestError
    from inference_server.http_messages import HttpRequest
    from inference_server.protocols.open_inference import OpenInferenceProtocol
    from inference_server.protocols.predict import PredictProtocol
    from inference_server.protocols.sagemaker import InvocationsProtocol
    from inference_server.protocols.seed import SeedProtocol

BUNDLES = Path(__file__).parents[1] / "unit/inference_server/model_bundles.py"
PROTOCOLS = (PredictProtocol, SeedProtocol, InvocationsProtocol, OpenInferenceProtocol)
MEDIA_TYPES = ("application/json", "text/csv", "application/jsonlines", "text/libsvm", "")
ROW = [8.3, 41.0, 880.0, 3.0, 322.0, 126.0, 37.88, None]
TENSOR = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 8], "data": [1.0] * 8}]}
SEEDS = {
    (0, 0): json.dumps({"instances": [ROW]}),
    (0, 1): "8.3,41,880,3,322,126,37.88,\n",
    (0, 2): json.dumps(ROW),
    (1, 0): json.dumps({"pred_x_csv": "8.3,41,880,3,322,126,37.88,1", "response_content_type": "text/plain"}),
    (2, 3): "1 0:8.3 2:880\n",
    (3, 0): json.dumps(TENSOR),
}


def _model(directory: Path) -> models.Model:
    spec = spec_from_file_location("bundles", BUNDLES)
    assert spec
    assert spec.loader
    bundles = module_from_spec(spec)
    sys.modules["bundles"] = bundles
    spec.loader.exec_module(bundles)
    return models.load(bundles.train(directory, "reg:squarederror", categorical=True).directory)


def _check(model: models.Model, protocols: list[Any], data: bytes) -> None:
    choice, body = data[0], data[1:]
    protocol = protocols[choice % len(PROTOCOLS)]
    headers = {"Content-Type": MEDIA_TYPES[choice // len(PROTOCOLS) % len(MEDIA_TYPES)]}
    if choice >= 128:  # a part of the body stands for raw tensors
        headers["Inference-Header-Content-Length"] = str(len(body) * (choice - 128) // 128)
    try:
        prediction = protocol.read(HttpRequest(body, headers))
    except RequestError as error:
        if error.status < 500:
            return
        raise
    rows = prediction.rows
    values = struct.unpack(f"<{len(rows.data) // 4}f", rows.data)
    assert len(values) == rows.count * model.signature.width > 0
    assert not any(map(math.isinf, values))
    assert prediction.to_response(model.engine.predict(rows.data, rows.count)).body


def main() -> None:
    """Write the seeds, load a model with a categorical feature, and fuzz."""
    corpus = Path(sys.argv[-1])
    for (protocol, media_type), body in SEEDS.items():
        choice = protocol + media_type * len(PROTOCOLS)
        (corpus / f"seed-{choice}").write_bytes(bytes([choice]) + body.encode())
    with TemporaryDirectory() as directory:
        model = _model(Path(directory))
        protocols = [protocol(model) for protocol in PROTOCOLS]
        atheris.Setup(sys.argv, lambda data: _check(model, protocols, data) if data else None)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
