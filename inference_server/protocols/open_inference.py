"""`/v2`: the Open Inference Protocol over HTTP, with the binary tensor data extension.

Input is one tensor of shape [rows, features], or one tensor per feature, by name. Values are JSON, or raw little-endian
bytes after the JSON. Output is one tensor of 32-bit floats, as JSON or, on request, as raw bytes.
Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md; Triton's extension
`binary_tensor_data`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

import orjson

from inference_server.errors import InvalidInputError, MalformedError, NotFoundError, RequestError
from inference_server.http_messages import HttpRequest, HttpResponse, PredictionRequest
from inference_server.model import Model
from inference_server.protocols.predict import parse_json
from inference_server.signature import Rows

_HEADER: Final = "Inference-Header-Content-Length"
# Datatype → struct's format letter; BOOL and BYTES aren't numeric.
_DATATYPES: Final = "FP16 FP32 FP64 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64"
_LETTERS: Final = dict(zip(_DATATYPES.split(), "efdbhiqBHIQ", strict=True))
_OUTPUT: Final = "predict"
LIVE: Final = HttpResponse(b'{"live":true}')
READY: Final = HttpResponse(b'{"ready":true}')
SERVER: Final = HttpResponse(orjson.dumps({"name": "moorage", "version": "2", "extensions": ["binary_tensor_data"]}))


class OpenInferenceProtocol:
    """Parses `/v2` inference requests for one model, and provides its metadata."""

    def __init__(self, model: Model) -> None:
        self._signature = model.signature
        self._outputs = model.engine.outputs
        self.name = model.manifest.name
        self.version = None if model.manifest.version is None else str(model.manifest.version)

    def model_metadata(self) -> HttpResponse:
        """Return the model's metadata."""
        inputs = [{"name": "input", "datatype": "FP32", "shape": [-1, self._signature.width]}]
        shape = [-1] if self._outputs == 1 else [-1, self._outputs]
        outputs = [{"name": _OUTPUT, "datatype": "FP32", "shape": shape}]
        versions = [self.version] if self.version else []
        return _json(name=self.name, versions=versions, platform="xgboost", inputs=inputs, outputs=outputs)

    def read(self, request: HttpRequest) -> PredictionRequest:
        """Parse tensors. Raise a RequestError that names the tensor."""
        head, raw_bytes = _split_body(request)
        document = parse_json(head)
        if not isinstance(document, dict) or not isinstance(document.get("inputs"), list) or not document["inputs"]:
            raise InvalidInputError("the body needs a list of tensors 'inputs'", "inputs")
        name, raw = document.get("id", ""), _requests_raw_output(document)
        if not isinstance(name, str):
            raise InvalidInputError("must be a string", "id")
        return PredictionRequest(
            self._rows(document["inputs"], raw_bytes), lambda values: self._response(values, name, raw)
        )

    def _rows(self, inputs: Sequence[Any], raw_bytes: memoryview) -> Rows:
        tensors: dict[str, _Tensor] = {}
        for index, each in enumerate(inputs):
            tensor = _Tensor(each, f"inputs[{index}]", raw_bytes)
            raw_bytes = raw_bytes[tensor.raw_size :]
            if tensor.name in tensors:
                raise InvalidInputError(f"{tensor.name[:80]!r} is duplicated", f"inputs[{index}].name")
            tensors[tensor.name] = tensor
        if raw_bytes:
            raise MalformedError(f"{len(raw_bytes)} bytes follow the last tensor")
        if tensors.keys() == set(self._signature.names):
            return self._columns([tensors[name] for name in self._signature.names])
        if len(tensors) > 1:
            raise InvalidInputError(
                f"must be one tensor of shape [rows, {self._signature.width}] or one tensor per feature: "
                f"{', '.join(self._signature.names)}",
                "inputs",
            )
        return self._matrix(next(iter(tensors.values())))

    def _matrix(self, tensor: _Tensor) -> Rows:
        width = self._signature.width
        if len(tensor.shape) != 2 or tensor.shape[1] != width or not tensor.shape[0]:
            names = ", ".join(self._signature.names)
            raise InvalidInputError(
                f"must be [rows, {width}] (order: {names}), is {tensor.shape}", f"{tensor.where}.shape"
            )
        if tensor.datatype == "FP32" and tensor.raw is not None:
            return self._signature.accept_packed(bytes(tensor.raw), tensor.where)
        return self._signature.pack_values(tensor.values(), tensor.where)

    def _columns(self, tensors: Sequence[_Tensor]) -> Rows:
        count = tensors[0].shape[0] if tensors[0].shape else 0
        for tensor in tensors:
            if tensor.shape not in ([count], [count, 1]) or not count:
                raise InvalidInputError(
                    f"must be [rows] or [rows, 1], equal for all tensors, is {tensor.shape}", f"{tensor.where}.shape"
                )
        return self._signature.pack_values(
            list(chain.from_iterable(zip(*(tensor.values() for tensor in tensors), strict=True))), "inputs"
        )

    def _response(self, values: Sequence[float], name: str, raw: bool) -> HttpResponse:
        count = len(values) // self._outputs
        output: dict[str, Any] = {
            "name": _OUTPUT,
            "datatype": "FP32",
            "shape": [count] if self._outputs == 1 else [count, self._outputs],
        }
        document = {"model_name": self.name, "outputs": [output]}
        if self.version:
            document["model_version"] = self.version
        if name:
            document["id"] = name
        if not raw:
            output["data"] = values
            return HttpResponse(orjson.dumps(document))
        data = struct.pack(f"<{len(values)}f", *values)
        output["parameters"] = {"binary_data_size": len(data)}
        head = orjson.dumps(document)
        return HttpResponse(head + data, "application/octet-stream", headers={_HEADER: str(len(head))})


class _Tensor:
    """One input: its name, datatype, shape, and values from JSON or from the raw bytes."""

    def __init__(self, document: Any, where: str, raw_bytes: memoryview) -> None:
        if not isinstance(document, dict):
            raise InvalidInputError("must be a tensor", where)
        self.where = where
        self.name, self.datatype = (_text(document, key, where) for key in ("name", "datatype"))
        if self.datatype not in _LETTERS:
            raise InvalidInputError(f"{self.datatype[:20]!r} is not a numeric datatype", f"{where}.datatype")
        self.shape: list[int] = document.get("shape", [])
        if not isinstance(self.shape, list) or any(type(length) is not int or length < 0 for length in self.shape):
            raise InvalidInputError("must be a list of lengths", f"{where}.shape")
        self.size = 1
        for length in self.shape:
            self.size *= length
        parameters = document.get("parameters")
        announced_size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        self.raw = None if announced_size is None else self._raw(announced_size, raw_bytes)
        self.raw_size = 0 if self.raw is None else len(self.raw)
        self._data = document.get("data")

    def values(self) -> Sequence[Any]:
        """Return the values in row-major order."""
        if self.raw is not None:
            return struct.unpack(f"<{self.size}{_LETTERS[self.datatype]}", self.raw)
        data = self._data
        while isinstance(data, list) and data and all(isinstance(part, list) for part in data):
            data = list(chain.from_iterable(data))
        if not isinstance(data, list) or len(data) != self.size:
            raise InvalidInputError(
                f"must be a list of {self.size} values, as the shape requires", f"{self.where}.data"
            )
        return data

    def _raw(self, announced_size: Any, raw_bytes: memoryview) -> memoryview:
        expected = self.size * struct.calcsize("<" + _LETTERS[self.datatype])
        if announced_size != expected or type(announced_size) is not int:
            raise InvalidInputError(
                f"is {str(announced_size)[:20]}, but datatype and shape require {expected}",
                f"{self.where}.parameters.binary_data_size",
            )
        if len(raw_bytes) < expected:
            raise MalformedError(f"the body ends before the {expected} bytes of the tensor", f"{self.where}.data")
        return raw_bytes[:expected]


def format_error(error: RequestError, request_id: str) -> HttpResponse:
    """Format an error as the protocol does: a string under `error`. Code, field and request id are added beside it."""
    text = f"{error.field}: {error.message}" if error.field else error.message
    return HttpResponse(
        orjson.dumps({"error": text, "code": error.code, "field": error.field or None, "request_id": request_id}),
        status=error.status,
    )


def _split_body(request: HttpRequest) -> tuple[bytes, memoryview]:
    announced_size = request.headers.get(_HEADER)
    if announced_size is None:
        return request.body, memoryview(b"")
    if not announced_size.isdecimal() or int(announced_size) > len(request.body):
        raise MalformedError("is not the length of a JSON document within the body", _HEADER)
    size = int(announced_size)
    return request.body[:size], memoryview(request.body)[size:]


def _requests_raw_output(document: Mapping[str, Any]) -> bool:
    parameters, outputs = document.get("parameters", {}), document.get("outputs", [])
    if not isinstance(parameters, dict) or not isinstance(outputs, list):
        raise InvalidInputError("'parameters' must be an object and 'outputs' a list", "outputs")
    raw = parameters.get("binary_data_output") is True
    for index, output in enumerate(outputs):
        if not isinstance(output, dict) or output.get("name") != _OUTPUT:
            raise NotFoundError(f"the only output is {_OUTPUT!r}", f"outputs[{index}].name")
        own = output.get("parameters")
        if isinstance(own, dict) and "binary_data" in own:
            raw = own["binary_data"] is True
    return raw


def _text(document: Mapping[str, Any], key: str, where: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise InvalidInputError("must be a string", f"{where}.{key}")
    return value


def _json(**document: Any) -> HttpResponse:
    return HttpResponse(orjson.dumps(document))
