"""Sending a request to one of the instances of a Cloud Map service.

Source: API Gateway developer guide, "Create private integrations for HTTP APIs": API Gateway asks DiscoverInstances,
the instances' attributes must hold IP address and port, and requests are distributed across the healthy ones. AWS
documents no retry; a connection that is refused before anything was sent goes to the next instance, which hides the
moment between a task's end and its deregistration.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

# The quota of both directions: "Payload size: 10 MB" (quotas of HTTP APIs).
PAYLOAD_LIMIT = 10 * 1024 * 1024


class NoInstanceError(Exception):
    """No instance took the request."""


@dataclass(frozen=True)
class DiscoveredInstance:
    """A healthy instance: where it listens."""

    address: str
    port: int


DiscoverInstances = Callable[[str, str, Mapping[str, str]], Sequence[DiscoveredInstance]]


@dataclass(frozen=True)
class OutboundRequest:
    """A request for an instance: `target` is path and query, percent-encoded."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes


@dataclass(frozen=True)
class InstanceResponse:
    """An instance's whole answer."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


class Forwarder:
    """A keep-alive HTTP client over the instances of each service, in turn. It belongs to one event loop."""

    def __init__(self) -> None:
        self._round_robin: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
        # Idle connections end sooner than the server would end them, so that none breaks as a request is written to it.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers={"Accept", "Accept-Encoding", "Content-Type", "User-Agent"},
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(
        self, service: str, instances: Sequence[DiscoveredInstance], outbound: OutboundRequest, timeout_seconds: float
    ) -> InstanceResponse:
        """Send to the next instance in turn; `patience` is in seconds, for the whole exchange.

        Raises NoInstanceError when none takes it or the one that did breaks off, TimeoutError when it takes too long.
        """
        start = next(self._round_robin[service])
        async with asyncio.timeout(timeout_seconds):
            for offset in range(len(instances)):
                instance = instances[(start + offset) % len(instances)]
                url = URL(f"http://{instance.address}:{instance.port}{outbound.target}", encoded=True)
                try:
                    return await self._send_to(url, outbound)
                except aiohttp.ClientConnectorError:
                    continue
                except aiohttp.ClientError as error:
                    raise NoInstanceError(str(error)) from error
        raise NoInstanceError(f"none of {len(instances)} instances takes connections")

    async def _send_to(self, url: URL, outbound: OutboundRequest) -> InstanceResponse:
        request = self._session.request(
            outbound.method, url, headers=outbound.headers, data=outbound.body or None, allow_redirects=False
        )
        async with request as response:
            return InstanceResponse(response.status, CIMultiDict(response.headers), await response.read())
