"""`GET /openapi.json`: OpenAPI 3.1, generated from the model's signature: feature names, ranges and an example row.

Describes the input and output of every route, and serves none. A test compares it with the table of routes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from inference_server.http_messages import CSV, JSON, TEXT
from inference_server.manifest import Feature
from inference_server.model import Model
from inference_server.signature import LARGEST_CODE, TOO_LARGE

_LINES: Final = "application/jsonlines"
_NUMBER: Final = r"-?\d{1,9}(\.\d{1,9})?"
_CODE: Final = r"\d{1,6}"
_ERROR_DESCRIPTIONS: Final = {
    400: "The body can't be parsed.",
    404: "The output does not exist.",
    406: "No supported media type matches the Accept header.",
    408: "The body took too long to arrive.",
    413: "The body exceeds the limit.",
    415: "The route doesn't support the body's media type.",
    422: "The body does not fit the model's signature; `field` names the position.",
    500: "The server failed.",
    503: "Too many requests are waiting, or the server is shutting down.",
    504: "The answer took too long.",
}
_READ_ERRORS: Final = (400, 408, 413, 422, 500, 503, 504)
_REQUEST_ID: Final = {"X-Request-Id": {"schema": {"type": "string"}}}

Json = dict[str, Any]


def build_document(model: Model) -> Json:
    """Describe the whole server."""
    manifest = model.manifest
    return {
        "openapi": "3.1.0",
        "info": {
            "title": manifest.name,
            "version": str(manifest.version or "unregistered"),
            "description": f"Predicts {manifest.target.name} ({manifest.objective}).",
        },
        "paths": _predictions(model) | _seed(model) | _status_routes() | _open_inference(model),
        "components": {"schemas": _schemas(model)},
    }


def _schemas(model: Model) -> Json:
    names = model.manifest.feature_names
    features = list(map(_feature, model.manifest.features, _are_codes(model)))
    width = len(names)
    row = {"type": "array", "prefixItems": features, "items": False, "minItems": width, "maxItems": width}
    named = _object(dict(zip(names, features, strict=True)))
    outputs = model.engine.outputs
    number = {"type": ["number", "null"]}
    value = number if outputs == 1 else {"type": "array", "items": number, "minItems": outputs, "maxItems": outputs}
    either = {"anyOf": [number, {"type": "array", "items": number}]}
    shares = _object(dict.fromkeys(names, either))
    identity = _object({"name": {"type": "string"}, "version": {"type": ["integer", "null"]}})
    explanation = _object({"prediction": value, "margin": either, "bias": either, "contributions": shares})
    failure = {"code": _STRING, "message": _STRING, "field": {"type": ["string", "null"]}, "request_id": _STRING}
    return {
        "Row": row | {"description": "Values in the model's order, null for missing.", "examples": [_example(model)]},
        "NamedRow": named | {"examples": [dict(zip(names, _example(model), strict=True))]},
        "Rows": {"anyOf": [_rows("Row"), _rows("NamedRow")]},
        "Prediction": value,
        "Model": identity,
        "Predictions": _object({"predictions": {"type": "array", "items": _ref("Prediction")}, "model": _ref("Model")}),
        "Explanations": _object({"explanations": {"type": "array", "items": explanation}, "model": _ref("Model")}),
        "Error": _object({"error": _object(failure)}),
    }


_STRING: Final = {"type": "string"}


def _feature(feature: Feature, is_code: bool) -> Json:
    schema: Json = {"title": feature.name, "type": ["number", "null"]}
    if is_code:
        schema |= {"type": ["integer", "null"], "minimum": 0, "maximum": LARGEST_CODE}
    else:
        schema |= {"exclusiveMinimum": -TOO_LARGE, "exclusiveMaximum": TOO_LARGE}
    if feature.min is not None and feature.max is not None:
        schema["description"] = f"In training rows {feature.min:g} to {feature.max:g}."
        schema["x-training-range"] = [feature.min, feature.max]
    return schema


def _example(model: Model) -> list[float]:
    means = [feature.mean or 0.0 for feature in model.manifest.features]
    return [
        float(round(mean)) if is_code else float(f"{mean:.6g}")
        for mean, is_code in zip(means, _are_codes(model), strict=True)
    ]


def _are_codes(model: Model) -> list[bool]:
    """Return for each feature whether its values are category codes."""
    types = model.engine.feature_types or ("q",) * model.signature.width
    return [kind == "c" for kind in types]


def _predictions(model: Model) -> Json:
    rows = {
        JSON: {"schema": {"anyOf": [_object({"instances": _ref("Rows")}), _ref("Rows")]}},
        CSV: {"schema": _csv(model)},
        _LINES: {"schema": {"type": "string", "description": "One row per line."}},
    }
    scores = _object({"predictions": {"type": "array", "items": _object({"score": _ref("Prediction")})}})
    errors = _errors((*_READ_ERRORS, 415))
    sparse = {"schema": _libsvm(model)}
    invocation_rows = rows | {"text/libsvm": sparse, "text/x-libsvm": sparse}
    responses = {CSV: {"schema": _STRING}, JSON: {"schema": scores}, _LINES: {"schema": _STRING}}
    return {
        "/predict": _post("Predict rows.", rows, {JSON: {"schema": _ref("Predictions")}}, errors),
        "/explain": _post(
            "Explain predictions: contributions and bias sum to the margin.",
            rows,
            {JSON: {"schema": _ref("Explanations")}},
            errors,
        ),
        "/invocations": _post("SageMaker's container contract.", invocation_rows, responses, errors | _errors((406,))),
    }


def _seed(model: Model) -> Json:
    """Describe the seed's contract, which has its own error shape."""
    wanted = {"description": f"{TEXT} for plain text; anything else for JSON.", "examples": [JSON, TEXT]}
    request_schema = {
        "type": "object",
        "properties": {"response_content_type": wanted, "pred_x_csv": _csv(model, lines=False)},
        "required": ["pred_x_csv"],
    }
    error_content = {JSON: {"schema": _object({"Error": _STRING})}, TEXT: {"schema": _STRING}}
    done = {JSON: {"schema": _object({"Predicted value": _STRING})}, TEXT: {"schema": _STRING}}
    errors = {
        str(code): {"description": _ERROR_DESCRIPTIONS[code], "content": error_content, "headers": _REQUEST_ID}
        for code in (400, 408, 413, 500, 503, 504)
    }
    return {
        "/": _get("The HTML page.", {"text/html": {"schema": _STRING}})
        | _post(
            "Predict one row, by the contract of the Flask server.", {JSON: {"schema": request_schema}}, done, errors
        ),
        "/healthcheck": _get("Answers OK.", {TEXT: {"schema": {"const": "OK"}}}),
    }


def _status_routes() -> Json:
    status = {JSON: {"schema": _object({"status": _STRING})}}
    return {
        "/livez": _get("Whether the process is alive.", status),
        "/readyz": _get("Whether the server takes traffic.", status, _errors((503,))),
        "/ping": _get("SageMaker's health check; its body is empty.", {TEXT: {"schema": _STRING}}, _errors((503,))),
        "/model": _get(
            "The served model: identity, signature, metrics, lineage.", {JSON: {"schema": {"type": "object"}}}
        ),
        "/drift": _get(
            "The distance of recent rows from the training rows: per feature, and for the prediction.",
            {JSON: {"schema": {"type": "object"}}},
        ),
        "/page.css": _get("The page's styles.", {"text/css": {"schema": _STRING}}),
        "/page.js": _get("The page's script.", {"text/javascript": {"schema": _STRING}}),
        "/icon.svg": _get("The page's icon.", {"image/svg+xml": {"schema": _STRING}}),
        "/metrics": _get("Prometheus metrics.", {TEXT: {"schema": _STRING}}),
        "/openapi.json": _get("This document.", {JSON: {"schema": {"type": "object"}}}),
    }


def _open_inference(model: Model) -> Json:
    width = model.signature.width
    error_content = {JSON: {"schema": {"type": "object", "required": ["error"], "properties": {"error": _STRING}}}}
    anything = {JSON: {"schema": {"type": "object"}}}
    unready = {"503": {"description": _ERROR_DESCRIPTIONS[503], "content": error_content, "headers": _REQUEST_ID}}
    errors = {
        str(code): {"description": _ERROR_DESCRIPTIONS[code], "content": error_content, "headers": _REQUEST_ID}
        for code in (*_READ_ERRORS, 404)
    }
    row = {"allOf": [_ref("Row")]}
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": _STRING,
            "datatype": {"enum": ["FP32", "FP64"]},
            "shape": {"type": "array", "prefixItems": [{"const": 1}, {"const": width}], "minItems": 2, "maxItems": 2},
            "data": {"type": "array", "prefixItems": [row], "items": False, "minItems": 1, "maxItems": 1},
        },
    }
    request_schema = {
        "type": "object",
        "required": ["inputs"],
        "description": "One tensor [rows, features], here of one row, or one tensor per feature; or raw bytes after "
        "the JSON, with its length in Inference-Header-Content-Length.",
        "properties": {"id": _STRING, "inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 1}},
    }
    base = f"/v2/models/{model.manifest.name}"
    version = model.manifest.version
    paths = {
        "/v2": _get("The server's metadata.", anything),
        "/v2/health/live": _get("Whether the process is alive.", anything),
        "/v2/health/ready": _get("Whether the server takes traffic.", anything, unready),
    }
    for path in (base,) if version is None else (base, f"{base}/versions/{version}"):
        paths[path] = _get("The model's metadata.", anything)
        paths[f"{path}/ready"] = _get("Whether the server takes traffic.", anything, unready)
        paths[f"{path}/infer"] = _post("Predict tensors.", {JSON: {"schema": request_schema}}, anything, errors)
    return paths


def _csv(model: Model, lines: bool = True) -> Json:
    row = ",".join(_CODE if is_code else _NUMBER for is_code in _are_codes(model))
    text = (
        "Comma-separated values in the model's order; an empty cell is missing. A header with all names may come first."
    )
    return {"type": "string", "pattern": f"^{row}(\\n{row})*$" if lines else f"^{row}$", "description": text}


def _libsvm(model: Model) -> Json:
    text = f"Rows of column:value; columns 0 to {model.signature.width - 1}; an omitted column is missing."
    row = f"0:{_CODE if _are_codes(model)[0] else _NUMBER}"
    return {"type": "string", "pattern": f"^{row}(\\n{row})*$", "description": text}


def _rows(name: str) -> Json:
    return {"type": "array", "items": _ref(name), "minItems": 1}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Mapping[str, Any]) -> Json:
    """Describe an object with exactly these members, all required."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _errors(codes: Iterable[int]) -> Json:
    content = {JSON: {"schema": _ref("Error")}}
    return {
        str(code): {"description": _ERROR_DESCRIPTIONS[code], "content": content, "headers": _REQUEST_ID}
        for code in codes
    }


def _post(summary: str, bodies: Json, responses: Json, errors: Json) -> Json:
    body = {"required": True, "content": bodies}
    return {"post": {"summary": summary, "requestBody": body, "responses": {"200": _success(responses), **errors}}}


def _get(summary: str, responses: Json, errors: Json | None = None) -> Json:
    return {"get": {"summary": summary, "responses": {"200": _success(responses), **(errors or {})}}}


def _success(content: Json) -> Json:
    return {"description": "Done.", "content": content}
