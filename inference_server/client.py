"""A typed client of the server: `AsyncClient`, and `Client` around it for code without an event loop.

    with Client("http://127.0.0.1:8080") as client:
        values = client.predict([{"median_income": 8.3, …}]).values

A request is sent again only where the server can't have begun on it: no connection came about, or it answered 503 with
a Retry-After, which is waited for. What may have been received is never sent twice, and no redirect is followed.
Everything that can go wrong is a ClientError:

    ClientError
    ├── UnreachableError   no connection came about: nothing was sent
    ├── LostError          the connection broke, or time ran out, before the whole answer was there
    ├── RefusedError       the server, or what stands before it, answered with an error
    └── AnswerError        it answered with something that this client doesn't understand

Nothing here is used by the server itself.
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

Value = float | list[float]  # of one row; a list where the model has several outputs
Rows = Sequence[Mapping[str, float | None]] | Sequence[Sequence[float | None]]

_T = TypeVar("_T")
_JSON: Final = "application/json"
# Seconds before another attempt where the server names none. Together less than a person waits gladly.
_RETRY_DELAYS: Final = (0.1, 0.4, 1.6)


class ClientError(Exception):
    """No answer that can be used. `url` is what was asked."""

    def __init__(self, message: str, url: str) -> None:
        super().__init__(message)
        self.url = url


class UnreachableError(ClientError):
    """No connection came about: nothing was sent."""


class LostError(ClientError):
    """The connection broke, or time ran out, before the whole answer was there. The server may have worked on it."""


class AnswerError(ClientError):
    """The answer is not what this client understands."""


class RefusedError(ClientError):
    """An error was answered.

    `status` is HTTP's; `code`, `field` and `request_id` are the server's own and empty where something before it
    answered; `retry_after` is in seconds, None unless it was given.
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
    """Which model answered."""

    name: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Predictions:
    """One value per row, in the order of the rows."""

    values: list[Value]
    model: Identity


@dataclass(frozen=True, slots=True)
class Explanation:
    """One row's prediction, its margin (before the objective's last transformation), and what the margin is made of.

    Bias and contributions sum to the margin.
    """

    prediction: Value
    margin: Value
    bias: Value
    contributions: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Range:
    """One feature: what its values were in the training rows, None where unknown. `categorical`: they are codes."""

    name: str
    min: float | None
    max: float | None
    mean: float | None
    missing: int | None
    categorical: bool


@dataclass(frozen=True, slots=True)
class Served:
    """What is served. `metrics` is dataset → metric → value; `lineage` says where it came from."""

    name: str
    version: int | None
    sha256: str
    objective: str
    target: str
    features: list[Range]
    metrics: dict[str, dict[str, float]]
    lineage: dict[str, str]


class AsyncClient:
    """Asks one server. To be used with `async with`, in one event loop.

    `url` is where the server's routes begin: behind an API Gateway stage, with the stage's path. `timeout` (seconds)
    is for a whole call, with all its attempts and waits. `headers` go with every request, for authorization.
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
            raise ValueError(f"{url!r} is no http:// or https:// URL")
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
        """Tell what is served. Raise ClientError."""
        return await self._read("/model", _served)

    async def ready(self) -> bool:
        """Tell whether the server takes traffic. One attempt: whoever asks wants to know of now."""
        try:
            await self._attempt("/readyz", None)
        except ClientError:
            return False
        return True

    async def ask(self, path: str, body: bytes | None = None) -> Any:
        """Post a JSON body to `path`, or get it without one, and give the JSON that is answered. Raise ClientError."""
        try:
            return orjson.loads(await self._send(path, body))
        except orjson.JSONDecodeError:
            raise AnswerError("the answer is not JSON", self._url + path) from None

    async def _read(self, path: str, read: Callable[[Any], _T], body: bytes | None = None) -> _T:
        document = await self.ask(path, body)
        try:
            return read(document)
        except (KeyError, TypeError):
            raise AnswerError("the answer lacks what the server's contract says", self._url + path) from None

    async def _send(self, path: str, body: bytes | None) -> bytes:
        """Send it as often as is safe, within the time."""
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
    """The same for code without an event loop: runs its own. To be used with `with`, in one thread.

    Takes what AsyncClient takes.
    """

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
        """Tell what is served. Raise ClientError."""
        return self._run(self._client.model())

    def ready(self) -> bool:
        """Tell whether the server takes traffic."""
        return self._run(self._client.ready())

    def ask(self, path: str, body: bytes | None = None) -> Any:
        """Post a JSON body to `path`, or get it without one, and give the JSON that is answered. Raise ClientError."""
        return self._run(self._client.ask(path, body))

    def _run(self, call: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(call)


# --- what is sent ---


def _body(rows: Rows) -> bytes:
    """Write rows as JSON; NaN becomes null, which is how a missing value is written. Arrays of numpy's are fine too."""
    return orjson.dumps({"instances": rows}, option=orjson.OPT_SERIALIZE_NUMPY)


def _proxy(url: str) -> str | None:
    """Give the proxy that the environment names for `url`; loopback never has one."""
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


# --- when it is sent again ---


def _retry_delay(error: UnreachableError | RefusedError, pause: float) -> float | None:
    """Give how long to wait before another attempt is safe, None where it isn't."""
    if isinstance(error, UnreachableError):
        # A name that nobody knows and a certificate that isn't trusted stay so.
        passing = isinstance(error.__cause__, aiohttp.ClientConnectorError) and not isinstance(
            error.__cause__, aiohttp.ClientConnectorDNSError | aiohttp.ClientConnectorSSLError
        )
        return pause if passing else None
    if error.status == 503 and error.retry_after is not None:
        return max(error.retry_after, pause)
    return None


def _retry_after(text: str | None) -> float | None:
    """Read the header: seconds or a date (RFC 9110, 10.2.3). None if there is none that can be read."""
    if text is None:
        return None
    try:
        return float(text) if text.isdecimal() else max(parsedate_to_datetime(text).timestamp() - time(), 0.0)
    except ValueError:
        return None


# --- what is answered ---


def _error(body: bytes) -> Mapping[str, Any]:
    """Give the error's members, from this server's shape, a foreign contract's, API Gateway's, or plain text."""
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
    """Take a class' members; a newer server may send more."""
    return {field.name: document[field.name] for field in fields(kind)}


def _value(value: Any) -> Value:
    """Take a number, or a list of numbers; null is what JSON has for NaN."""
    if isinstance(value, list):
        return [math.nan if each is None else float(each) for each in value]
    return math.nan if value is None else float(value)
