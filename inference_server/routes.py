"""The table of routes: method and path to handler. No patterns, no logic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import orjson

from inference_server import page
from inference_server.errors import RequestError
from inference_server.http_messages import HttpRequest, HttpResponse, PredictionRequest
from inference_server.protocols import open_inference, sagemaker, seed
from inference_server.protocols.open_inference import OpenInferenceProtocol
from inference_server.protocols.predict import PredictProtocol
from inference_server.protocols.sagemaker import InvocationsProtocol
from inference_server.protocols.seed import SeedProtocol
from inference_server.service import Service


def format_error(error: RequestError, request_id: str) -> HttpResponse:
    """Format an error in the common shape, used by all routes without a contract of their own."""
    body = {"code": error.code, "message": error.message, "field": error.field or None, "request_id": request_id}
    return HttpResponse(orjson.dumps({"error": body}), status=error.status)


FastHandler = Callable[[HttpRequest, Callable[[HttpResponse | Exception], None]], None]


@dataclass(frozen=True, slots=True)
class Route:
    """A handler, the name for its metrics, and its error format. `handle_fast` answers small bodies without a task."""

    name: str
    handle: Callable[[HttpRequest], Awaitable[HttpResponse]]
    format_error: Callable[[RequestError, str], HttpResponse] = format_error
    handle_fast: FastHandler | None = None


def error_formatter_for(path: str) -> Callable[[RequestError, str], HttpResponse]:
    """Return the error format of a path without a route: clients of another contract parse only its own errors."""
    return open_inference.format_error if path.startswith("/v2") else format_error


Routes = Mapping[str, Mapping[str, Route]]  # path → method → route


def build_routes(service: Service) -> Routes:
    """Return the routes of a service."""
    predict, files = PredictProtocol(service.model).read, page.load_files()
    return {
        "/predict": {"POST": _inference_route(service, "predict", predict)},
        "/explain": {"POST": Route("explain", partial(service.explain, predict))},
        "/invocations": {"POST": _inference_route(service, "invocations", InvocationsProtocol(service.model).read)},
        "/ping": {"GET": Route("ping", partial(service.respond_if_ready, sagemaker.PONG))},
        "/": {
            "GET": Route("page", partial(service.respond_alive, files["/"])),
            "POST": _inference_route(service, "seed", SeedProtocol(service.model).read, seed.format_error),
        },
        **{path: {"GET": Route("page", partial(service.respond_alive, files[path]))} for path in files if path != "/"},
        "/healthcheck": {"GET": Route("healthcheck", partial(service.respond_alive, seed.HEALTHY))},
        "/livez": {"GET": Route("livez", partial(service.respond_alive, HttpResponse(b'{"status":"alive"}')))},
        "/readyz": {"GET": Route("readyz", partial(service.respond_if_ready, HttpResponse(b'{"status":"ready"}')))},
        "/model": {"GET": Route("model", service.describe_model)},
        "/drift": {"GET": Route("drift", service.drift_report)},
        "/openapi.json": {"GET": Route("openapi", service.openapi_document)},
        "/metrics": {"GET": Route("metrics", service.prometheus_metrics)},
        **_open_inference(service),
    }


def _inference_route(
    service: Service,
    name: str,
    read: Callable[[HttpRequest], PredictionRequest],
    format_error: Callable[[RequestError, str], HttpResponse] = format_error,
) -> Route:
    return Route(name, partial(service.infer, read), format_error, partial(service.infer_on_fast_path, read))


def _open_inference(service: Service) -> Routes:
    """Return the `/v2` routes; their paths contain the one model's name and version literally."""
    model = OpenInferenceProtocol(service.model)

    def get(name: str, handler: Callable[[HttpRequest], Awaitable[HttpResponse]]) -> Mapping[str, Route]:
        return {"GET": Route(name, handler, open_inference.format_error)}

    ready = get("v2 ready", partial(service.respond_if_ready, open_inference.READY))
    routes = {
        "/v2": get("v2", partial(service.respond_alive, open_inference.SERVER)),
        "/v2/health/live": get("v2 live", partial(service.respond_alive, open_inference.LIVE)),
        "/v2/health/ready": ready,
    }
    base = f"/v2/models/{model.name}"
    for path in (base, f"{base}/versions/{model.version}") if model.version else (base,):
        routes[path] = get("v2 model", partial(service.respond_alive, model.model_metadata()))
        routes[f"{path}/ready"] = ready
        routes[f"{path}/infer"] = {
            "POST": _inference_route(service, "v2 infer", model.read, open_inference.format_error)
        }
    return routes
