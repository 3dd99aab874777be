"""The configuration that the data plane serves. Values only: a change publishes a new `PublishedApi` as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embedded_aws.gateway.route_selection import RouteKey
from embedded_aws.gateway.route_throttle import RateLimit


@dataclass(frozen=True)
class PrivateIntegration:
    """A private integration.

    `service` is the Cloud Map service's id, or "" for a target without a data plane here. `attributes` narrows its
    instances. `link` is the VPC link's id, `method` an HTTP method or ANY, `timeout` in seconds.
    """

    service: str
    attributes: Mapping[str, str]
    link: str
    method: str
    timeout: float
    request_parameters: Mapping[str, str] = field(default_factory=dict)
    response_parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedRoute:
    """A route.

    A route without an `integration` answers 500, as AWS's routes without a target do. A route that is not open answers
    403, because callers can't be authorised here.
    """

    key: RouteKey
    integration: PrivateIntegration | None
    is_open: bool = True


@dataclass(frozen=True)
class ApiSnapshot:
    """A snapshot of an API's configuration. `cors` is botocore's `CorsConfiguration`, or None."""

    id: str
    routes: Mapping[str, PublishedRoute]
    cors: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PublishedStage:
    """A stage, which serves one deployment. `limits` are by route key; `default_limit` holds for the other routes."""

    name: str
    snapshot: ApiSnapshot
    default_limit: RateLimit | None = None
    limits: Mapping[str, RateLimit] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedApi:
    """One HTTP API in one region, with its deployed stages by name."""

    id: str
    region: str
    stages: Mapping[str, PublishedStage]
