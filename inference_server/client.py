"""A typed client of the server: `AsyncClient`, and `Client`, which wraps it for code without an event loop.

    with Client("http://127.0.0.1:8080") as client:
        values = client.predict([{"median_income": 8.3, …}]).values

The client retries a request only if the server can't have started on it: the connection failed, or the server answered
503 with a Retry-After, which the client honours. It never resends a request that may have been received, and follows no
redirects. Every failure is a ClientError:

    ClientError
    ├── UnreachableError   the connection failed: nothing was sent
    ├── LostError          the connection broke or timed out before the answer was complete
    ├── RefusedError       the server, or a gateway before it, answered with an error
    └── AnswerError        the client can't parse the answer

The server itself doesn't use this module.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, fields
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from time import monotonic, time
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson

Value = float | list[float]  # of one row; a list if the model has several outputs
Rows = Sequence[Mapping[str, float | None]] | Sequence[Sequence[float | None]]

_T = TypeVar("_T")
_JSON: Final = "application/json"
# Seconds before each retry if the server names none. Their sum stays short enough for interactive use.
_RETRY_DELAYS: Final = (0.1, 0.4, 1.6)


class ClientError(Exception):
    """A request without a usable answer. `url` is the requested URL."""

    def __init__(self, message: str, url: str) -> None:
        super().__init__(message)
        self.url = url


class UnreachableError(ClientError):
    """The connection failed: nothing was sent."""


class LostError(ClientError):
    """The connection broke or timed out before the answer was complete. The server may have processed the request."""


class AnswerError(ClientError):
    """An answer that this client can't parse."""


class RefusedError(ClientError):
    """An error response.

    `status` is the HTTP status. `code`, `field` and `request_id` come from the server; they are empty if a gateway
    answered. `retry_after` is in seconds, None if absent.
    """

    def __init__(self, url: str, status: int, body: bytes, retry_after: float | None) -> None:
        self.status, self.retry_after = status, retry_after
        error = _error(body)
        self.code, self.field = str(error.get("code") or ""), str(error.get("field") or "")
        self.request_id = str(error.get("request_id") or "")
        self.message = str(error.get("message") or "")
        where = f"{self.field}: " if self.field else ""
        super().__init__(f"{status}: {where}{self.message}" if self.message else str(status), url)


@dataclass(frozen=True, slots=True)
class Identity:
    """The model that answered."""

    name: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Predictions:
    """One value per row, in the order of the rows."""

    values: list[Value]
    model: Identity


@dataclass(frozen=True, slots=True)
class Explanation:
    """One row's prediction, its margin (before the objective's final transformation) and the margin's components.

    Bias and contributions sum to the margin.
    """

    prediction: Value
    margin: Value
    bias: Value
    contributions: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Range:
    """One feature and the statistics of its training values, None if unknown.

    `categorical` says that the values are category codes.
    """

    name: str
    min: float | None
    max: float | None
    mean: float | None
    missing: int | None
    categorical: bool


@dataclass(frozen=True, slots=True)
class Served:
    """The served model. `metrics` is dataset → metric → value; `lineage` records the model's origin."""

    name: str
    version: int | None
    sha256: str
    objective: str
    target: str
    features: list[Range]
    metrics: dict[str, dict[str, float]]
    lineage: dict[str, str]


class AsyncClient:
    """A client of one server, for use with `async with` in one event loop.

    `url` is the root of the server's routes: behind an API Gateway stage, it includes the stage's path. `timeout`
    (seconds) covers a whole call with all attempts and waits. `headers` are sent with every request, for authorization.
    Raises ValueError when `url` isn't http or https.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ValueError(f"{url!r} is not an http:// or https:// URL")
        self._url, self._timeout, self._sleep = url.rstrip("/"), timeout, sleep
        self._headers = {"User-Agent": "moorage", **(headers or {})}
        self._proxy = _proxy(url)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def predict(self, rows: Rows) -> Predictions:
        """Predict rows, given by feature name or in the model's order; None and NaN are missing. Raise ClientError."""
        return await self._read("/predict", _predictions, _body(rows))

    async def explain(self, rows: Rows) -> list[Explanation]:
        """Explain the predictions of rows. Raise ClientError."""
        return await self._read("/explain", _explanations, _body(rows))

    async def model(self) -> Served:
        """Describe the served model. Raise ClientError."""
        return await self._read("/model", _served)

    async def ready(self) -> bool:
        """Return whether the server takes traffic. Makes one attempt, because callers need the current state."""
        try:
            await self._attempt("/readyz", None)
        except ClientError:
            return False
        return True

    async def ask(self, path: str, body: bytes | None = None) -> Any:
        """Post a JSON body to `path`, or send a GET if there is none; return the parsed answer. Raise ClientError."""
        try:
            return orjson.loads(await self._send(path, body))
        except orjson.JSONDecodeError:
            raise AnswerError("the answer is not JSON", self._url + path) from None

    async def _read(self, path: str, read: Callable[[Any], _T], body: bytes | None = None) -> _T:
        document = await self.ask(path, body)
        try:
            return read(document)
        except (KeyError, TypeError):
            raise AnswerError(
                "the answer lacks members that the server's contract requires", self._url + path
            ) from None

    async def _send(self, path: str, body: bytes | None) -> bytes:
        """Send the request, with safe retries, within the timeout."""
        end = monotonic() + self._timeout
        for pause in _RETRY_DELAYS:
            try:
                return await self._attempt(path, body, end)
            except (UnreachableError, RefusedError) as error:
                wait = _retry_delay(error, pause)
                if wait is None or monotonic() + wait >= end:
                    raise
            await self._sleep(wait)
        return await self._attempt(path, body, end)

    async def _attempt(self, path: str, body: bytes | None, end: float | None = None) -> bytes:
        if self._session is None:
            raise RuntimeError("the client is not open: use it in a with statement")
        url = self._url + path
        seconds = self._timeout if end is None else max(end - monotonic(), 0.001)
        try:
            async with self._session.request(
                "GET" if body is None else "POST",
                url,
                data=body,
                headers={} if body is None else {"Content-Type": _JSON},
                proxy=self._proxy,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError) as error:
            raise UnreachableError(f"no connection: {error}", url) from error
        except TimeoutError:
            raise LostError(f"no answer within {self._timeout:g} s", url) from None
        except aiohttp.ClientError as error:
            raise LostError(f"the connection broke: {error}", url) from error
        if response.status != 200:
            raise RefusedError(url, response.status, answer, _retry_after(response.headers.get("Retry-After")))
        return answer


class Client:
    """A synchronous client with its own event loop, for use with `with` in one thread. Parameters as in AsyncClient."""

    def __init__(self, url: str, *, timeout: float = 30.0, headers: Mapping[str, str] | None = None) -> None:
        self._client = AsyncClient(url, timeout=timeout, headers=headers)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._run(self._client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._client.__aexit__(kind, error, trace))
        self._runner.close()

    def predict(self, rows: Rows) -> Predictions:
        """Predict rows, given by feature name or in the model's order; None and NaN are missing. Raise ClientError."""
        return self._run(self._client.predict(rows))

    def explain(self, rows: Rows) -> list[Explanation]:
        """Explain the predictions of rows. Raise ClientError."""
        return self._run(self._client.explain(rows))

    def model(self) -> Served:
        """Describe the served model. Raise ClientError."""
        return self._run(self._client.model())

    def ready(self) -> bool:
        """Return whether the server takes traffic."""
        return self._run(self._client.ready())

    def ask(self, path: str, body: bytes | None = None) -> Any:
        """Post a JSON body to `path`, or send a GET if there is none; return the parsed answer. Raise ClientError."""
        return self._run(self._client.ask(path, body))

    def _run(self, call: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(call)


# --- requests ---


def _body(rows: Rows) -> bytes:
    """Serialize rows as JSON. NaN becomes null, the form of a missing value; numpy arrays are accepted."""
    return orjson.dumps({"instances": rows}, option=orjson.OPT_SERIALIZE_NUMPY)


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment sets for `url`; None for loopback."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


# --- retries ---


def _retry_delay(error: UnreachableError | RefusedError, pause: float) -> float | None:
    """Return the seconds to wait before a safe retry, None if a retry isn't safe."""
    if isinstance(error, UnreachableError):
        # An unknown host name and an untrusted certificate won't change between retries.
        is_transient = isinstance(error.__cause__, aiohttp.ClientConnectorError) and not isinstance(
            error.__cause__, aiohttp.ClientConnectorDNSError | aiohttp.ClientConnectorSSLError
        )
        return pause if is_transient else None
    if error.status == 503 and error.retry_after is not None:
        return max(error.retry_after, pause)
    return None


def _retry_after(text: str | None) -> float | None:
    """Parse the header: seconds or a date (RFC 9110, 10.2.3). Return None if it is absent or invalid."""
    if text is None:
        return None
    try:
        return float(text) if text.isdecimal() else max(parsedate_to_datetime(text).timestamp() - time(), 0.0)
    except ValueError:
        return None


# --- answers ---


def _error(body: bytes) -> Mapping[str, Any]:
    """Return the error's members from this server's shape, another contract's, API Gateway's, or plain text."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": body[:500].decode(errors="replace").strip()}
    if not isinstance(document, dict):
        return {}
    error = document.get("error", document.get("Error", document))
    return error if isinstance(error, dict) else {**document, "message": error}


def _predictions(document: Any) -> Predictions:
    return Predictions(
        list(map(_value, document["predictions"])), Identity(**_known_members(document["model"], Identity))
    )


def _explanations(document: Any) -> list[Explanation]:
    return [
        Explanation(
            _value(each["prediction"]),
            _value(each["margin"]),
            _value(each["bias"]),
            {name: _value(share) for name, share in each["contributions"].items()},
        )
        for each in document["explanations"]
    ]


def _served(document: Any) -> Served:
    return Served(
        features=[Range(**_known_members(feature, Range)) for feature in document["features"]],
        **{name: document[name] for name in ("name", "version", "sha256", "objective", "target", "metrics", "lineage")},
    )


def _known_members(document: Any, kind: type[Identity | Range]) -> dict[str, Any]:
    """Select the members of a class; a newer server may send more."""
    return {field.name: document[field.name] for field in fields(kind)}


def _value(value: Any) -> Value:
    """Convert a number or a list of numbers; null is JSON's form of NaN."""
    if isinstance(value, list):
        return [math.nan if each is None else float(each) for each in value]
    return math.nan if value is None else float(value)
