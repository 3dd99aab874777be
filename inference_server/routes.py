"""The table of routes: method and path to what answers there. No pattern, no logic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import orjson

from inference_server import page
from inference_server.errors import RequestError
from inference_server.messages import Call, Question, Reply
from inference_server.protocols import open_inference, sagemaker, seed
from inference_server.protocols.open_inference import OpenInference
from inference_server.protocols.predict import Predict
from inference_server.protocols.sagemaker import Invocations
from inference_server.protocols.seed import Seed
from inference_server.service import Service


def refuse(error: RequestError, request_id: str) -> Reply:
    """Phrase an error in the one shape that all routes but a foreign contract's use."""
    body = {"code": error.code, "message": error.message, "field": error.field or None, "request_id": request_id}
    return Reply(orjson.dumps({"error": body}), status=error.status)


Ask = Callable[[Call, Callable[[Reply | Exception], None]], None]


@dataclass(frozen=True, slots=True)
class Route:
    """What answers, under which name it is counted, and how it refuses. `ask` answers small bodies without a task."""

    name: str
    handle: Callable[[Call], Awaitable[Reply]]
    refuse: Callable[[RequestError, str], Reply] = refuse
    ask: Ask | None = None


def refusal(path: str) -> Callable[[RequestError, str], Reply]:
    """Give the phrasing of refusals where no route is: clients of a foreign contract read only its own."""
    return open_inference.refuse if path.startswith("/v2") else refuse


Routes = Mapping[str, Mapping[str, Route]]  # path → method → route


def table(service: Service) -> Routes:
    """Give the routes of a service."""
    predict, files = Predict(service.model).read, page.files()
    return {
        "/predict": {"POST": _infers(service, "predict", predict)},
        "/explain": {"POST": Route("explain", partial(service.explain, predict))},
        "/invocations": {"POST": _infers(service, "invocations", Invocations(service.model).read)},
        "/ping": {"GET": Route("ping", partial(service.ready, sagemaker.PONG))},
        "/": {
            "GET": Route("page", partial(service.alive, files["/"])),
            "POST": _infers(service, "seed", Seed(service.model).read, seed.refuse),
        },
        **{path: {"GET": Route("page", partial(service.alive, files[path]))} for path in files if path != "/"},
        "/healthcheck": {"GET": Route("healthcheck", partial(service.alive, seed.HEALTHY))},
        "/livez": {"GET": Route("livez", partial(service.alive, Reply(b'{"status":"alive"}')))},
        "/readyz": {"GET": Route("readyz", partial(service.ready, Reply(b'{"status":"ready"}')))},
        "/model": {"GET": Route("model", service.describe)},
        "/drift": {"GET": Route("drift", service.drifted)},
        "/openapi.json": {"GET": Route("openapi", service.document)},
        "/metrics": {"GET": Route("metrics", service.measure)},
        **_open_inference(service),
    }


def _infers(
    service: Service,
    name: str,
    read: Callable[[Call], Question],
    refuse: Callable[[RequestError, str], Reply] = refuse,
) -> Route:
    return Route(name, partial(service.infer, read), refuse, partial(service.ask, read))


def _open_inference(service: Service) -> Routes:
    """Give the `/v2` routes: the one model's name and version are plain parts of their paths."""
    model = OpenInference(service.model)

    def page(name: str, answer: Callable[[Call], Awaitable[Reply]]) -> Mapping[str, Route]:
        return {"GET": Route(name, answer, open_inference.refuse)}

    ready = page("v2 ready", partial(service.ready, open_inference.READY))
    routes = {
        "/v2": page("v2", partial(service.alive, open_inference.SERVER)),
        "/v2/health/live": page("v2 live", partial(service.alive, open_inference.LIVE)),
        "/v2/health/ready": ready,
    }
    base = f"/v2/models/{model.name}"
    for path in (base, f"{base}/versions/{model.version}") if model.version else (base,):
        routes[path] = page("v2 model", partial(service.alive, model.described()))
        routes[f"{path}/ready"] = ready
        routes[f"{path}/infer"] = {"POST": _infers(service, "v2 infer", model.read, open_inference.refuse)}
    return routes
