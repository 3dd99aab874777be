"""What goes wrong at a call to AWS: at botocore's own level, so that mapping, repeating and redaction are the real
ones.

A site is a call of a type: who makes it (`iam/role`, `store`, `lease`) and its name. Time is a clock that moves when
the controller waits; nothing here sleeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from controller.aws import AwsClient, RateLimiter
from controller.aws.calls import is_read_only
from controller.aws.errors import BOTOCORE_ERRORS
from controller.errors import MoorageError
from tests.demo import EmbeddedClients

SECRET = "wJalrXUtnFEMI0K7MDENGbPxRfiCYEXAMPLEKEY"
DENIAL_SECONDS = 120.0
# A request that has left is carried out within this time, or never.
COMPLETION_SECONDS = 30.0
_URL = f"https://example.amazonaws.com/?X-Amz-Signature={SECRET}"


class Fault(StrEnum):
    """What happens at a site, the first time that it is come to."""

    UNAVAILABLE = "answered with 503, and not done"
    THROTTLED = "throttled five times in a row"
    ANSWER_LOST = "done, and the answer lost"
    DENIED = "denied for two minutes"
    READ_TIMEOUT = "not answered within the read timeout, and done after that"
    PARTIAL_FAILURE = "answered well, and left undone, as the answer says"


# How often a call in a row is hit. A read that times out has used up the door's patience: none follows it.
HITS_PER_FAULT = {
    Fault.UNAVAILABLE: 1,
    Fault.THROTTLED: 5,
    Fault.ANSWER_LOST: 1,
    Fault.READ_TIMEOUT: 1,
    Fault.PARTIAL_FAILURE: 1,
}
READ_ATTEMPTS = 4
# Calls that take several objects, and tell in a good answer which ones they left.
BATCH_CALLS = {"ecs.delete_task_definitions", "ecr.batch_delete_image"}


class CallSite(NamedTuple):
    """Who calls what."""

    caller: str
    call: str


def is_applicable(fault: Fault, site: CallSite) -> bool:
    """Whether a call can go wrong like this."""
    return fault is not Fault.PARTIAL_FAILURE or site.call in BATCH_CALLS


@dataclass
class SimulatedClock:
    """Seconds that pass when somebody waits."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FaultInjector:
    """Lets one fault happen once at each site that `aims` at. `hit` are the sites it happened at, in order."""

    clock: SimulatedClock
    fault: Fault | None = None
    is_targeted: Callable[[CallSite], bool] = lambda site: True
    hit: dict[CallSite, float] = field(default_factory=dict)
    seen: Counter[CallSite] = field(default_factory=Counter)
    surfaced_errors: list[tuple[CallSite, MoorageError]] = field(default_factory=list)
    _remaining_hits: dict[CallSite, int] = field(default_factory=dict)
    _injected_errors: list[Exception] = field(default_factory=list)
    _delayed_calls: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)

    def call(self, site: CallSite, send: Callable[[], Any]) -> Any:
        """Send a call, or let happen to it what is to happen."""
        self.complete_delayed_calls()
        self.seen[site] += 1
        if not self._should_inject(site):
            return send()
        try:
            return self._inject(site.call.partition(".")[2], send)
        except BOTOCORE_ERRORS as error:
            self._injected_errors.append(error)
            raise

    def _should_inject(self, site: CallSite) -> bool:
        if self.fault is None or not self.is_targeted(site) or not is_applicable(self.fault, site):
            return False
        if site not in self.hit:
            self.hit[site] = self.clock()
            patience = self.fault is Fault.READ_TIMEOUT and is_read_only(site.call.partition(".")[2])
            self._remaining_hits[site] = READ_ATTEMPTS if patience else HITS_PER_FAULT.get(self.fault, 0)
        if self.fault is Fault.DENIED:
            return self.clock() < self.hit[site] + DENIAL_SECONDS
        self._remaining_hits[site] -= 1
        return self._remaining_hits[site] >= 0

    def _inject(self, operation: str, send: Callable[[], Any]) -> Any:
        if self.fault is Fault.UNAVAILABLE:
            raise _client_error("ServiceUnavailable", "Service is unable to handle request.", 503, operation)
        if self.fault is Fault.THROTTLED:
            raise _client_error("ThrottlingException", "Rate exceeded", 400, operation)
        if self.fault is Fault.DENIED:
            said = f"User: arn:aws:sts::123456789012:assumed-role/ci/run is not authorized (secret_access_key={SECRET})"
            raise _client_error("AccessDeniedException", said, 403, operation)
        if self.fault is Fault.PARTIAL_FAILURE:
            return {"failures": [{"arn": "it", "reason": "The specified task definition is still in ACTIVE status."}]}
        if self.fault is Fault.ANSWER_LOST:
            with suppress(ClientError):  # a refusal's way is as long as an answer's
                send()
            raise ConnectionClosedError(endpoint_url=_URL)
        if not is_read_only(operation):
            self._delayed_calls.append((self.clock() + COMPLETION_SECONDS, send))
        raise ReadTimeoutError(endpoint_url=_URL)

    def complete_delayed_calls(self, *, complete_all: bool = False) -> None:
        """Carry out what is under way for long enough. A refusal goes where the answer went: nowhere."""
        due = [send for when, send in self._delayed_calls if complete_all or when <= self.clock()]
        self._delayed_calls = [
            (when, send) for when, send in self._delayed_calls if not complete_all and when > self.clock()
        ]
        for send in due:
            with suppress(ClientError):
                send()

    def is_injected(self, error: MoorageError) -> bool:
        """Whether an error is what became of one of the faults."""
        return any(error.__cause__ is struck for struck in self._injected_errors)

    @property
    def injected_count(self) -> int:
        """How often it has struck."""
        return len(self._injected_errors)

    @property
    def has_delayed_calls(self) -> bool:
        """Whether something that it has held up is still to come."""
        return bool(self._delayed_calls)


def _client_error(code: str, message: str, status: int, operation: str) -> ClientError:
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, operation)


@dataclass
class FaultInjectingClients:
    """Clients whose calls go past a saboteur."""

    clients: EmbeddedClients
    fault_injector: FaultInjector
    caller: Callable[[], str]

    def __post_init__(self) -> None:
        self.region, self.partition = self.clients.region, self.clients.partition

    def client(self, service: str) -> Any:
        return _FaultInjectingClient(self.clients.client(service), service, self)

    def paginator(self, service: str, operation: str) -> Any:
        return self.clients.paginator(service, operation)


@dataclass
class _FaultInjectingClient:
    _client: Any
    _service: str
    _owner: FaultInjectingClients

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        send = getattr(self._client, operation)
        # Whoever asks first: which account it is, is the door's question.
        who = "door" if self._service == "sts" else self._owner.caller()
        site = CallSite(who, f"{self._service}.{operation}")
        return lambda **params: self._owner.fault_injector.call(site, lambda: send(**params))


class ErrorObservingClient(AwsClient):
    """A door that tells the saboteur which errors came out of it, repeats and all."""

    def __init__(self, clients: FaultInjectingClients, rate_limiter: RateLimiter) -> None:
        super().__init__(clients, rate_limiter=rate_limiter)
        self._saboteur, self._who = clients.fault_injector, clients.caller

    def read(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        return self._observe_errors(super().read, service, operation, params)

    def write(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        return self._observe_errors(super().write, service, operation, params)

    def _observe_errors(self, send: Callable[..., Any], service: str, operation: str, params: Mapping[str, Any]) -> Any:
        try:
            return send(service, operation, **params)
        except MoorageError as error:
            if self._saboteur.is_injected(error):
                self._saboteur.surfaced_errors.append((CallSite(self._who(), f"{service}.{operation}"), error))
            raise
