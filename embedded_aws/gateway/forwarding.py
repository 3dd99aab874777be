"""Forwarding: send a request to one of the instances of a Cloud Map service.

Source: API Gateway developer guide, "Create private integrations for HTTP APIs". API Gateway calls DiscoverInstances,
needs IP address and port in the instances' attributes, and distributes requests across the healthy ones. AWS documents
no retry. Here a connection that is refused before anything was sent goes to the next instance. That hides the moment
between a task's end and its deregistration.
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

# The quota holds in both directions: "Payload size: 10 MB" (quotas of HTTP APIs).
PAYLOAD_LIMIT = 10 * 1024 * 1024


class NoInstanceError(Exception):
    """No instance accepted the request, or the instance broke off its answer."""


@dataclass(frozen=True)
class DiscoveredInstance:
    """The address and port of a healthy instance."""

    address: str
    port: int


DiscoverInstances = Callable[[str, str, Mapping[str, str]], Sequence[DiscoveredInstance]]


@dataclass(frozen=True)
class OutboundRequest:
    """A request to an instance. `target` is path and query, percent-encoded."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes


@dataclass(frozen=True)
class InstanceResponse:
    """An instance's complete answer."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


class Forwarder:
    """A keep-alive HTTP client that uses the instances of each service in turn. One event loop owns it."""

    def __init__(self) -> None:
        self._round_robin: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
        # Close idle connections before the server would, so that none breaks while a request is being written.
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
        """Send the request to the next instance in turn. `timeout_seconds` limits the whole exchange.

        Raises NoInstanceError when no instance takes the connection or the one that did breaks it off, and TimeoutError
        when the exchange takes too long.
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
