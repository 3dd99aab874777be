"""The table of routes: method and path to what answers there. No pattern, no logic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import orjson

from inference_server.errors import MethodError, RequestError
from inference_server.messages import Call, Question, Reply
from inference_server.protocols import seed
from inference_server.protocols.predict import Predict
from inference_server.protocols.seed import Seed
from inference_server.service import Service


def refuse(error: RequestError, request_id: str) -> Reply:
    """Phrase an error in the one shape that all routes but a foreign contract's use."""
    body = {"code": error.code, "message": error.message, "field": error.field or None, "request_id": request_id}
    headers = {"Allow": error.allowed} if isinstance(error, MethodError) else {}
    return Reply(orjson.dumps({"error": body}), status=error.status, headers=headers)


@dataclass(frozen=True, slots=True)
class Route:
    """What answers, under which name it is counted, and how it refuses."""

    name: str
    handle: Callable[[Call], Awaitable[Reply]]
    refuse: Callable[[RequestError, str], Reply] = refuse


Routes = Mapping[str, Mapping[str, Route]]  # path → method → route


def table(service: Service) -> Routes:
    """Give the routes of a service."""

    def asks(name: str, read: Callable[[Call], Question], **options: Callable[[RequestError, str], Reply]) -> Route:
        return Route(name, partial(service.infer, read), **options)

    async def healthy(_: Call) -> Reply:
        return seed.HEALTHY

    return {
        "/predict": {"POST": asks("predict", Predict(service.model).read)},
        "/": {"POST": asks("seed", Seed(service.model).read, refuse=seed.refuse)},
        "/healthcheck": {"GET": Route("healthcheck", healthy)},
        "/livez": {"GET": Route("livez", service.alive)},
        "/readyz": {"GET": Route("readyz", service.ready)},
        "/model": {"GET": Route("model", service.describe)},
        "/metrics": {"GET": Route("metrics", service.measure)},
    }
