"""What goes wrong at a call to AWS: at botocore's own level, so that mapping, repeating and redaction are the real ones.

A site is a call of a type: who makes it (`iam/role`, `store`, `lease`) and its name. Time is a clock that moves
when the controller waits; nothing here sleeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from controller.aws import Aws, Budgets
from controller.aws.calls import changes_nothing
from controller.aws.errors import BOTOCORE_ERRORS
from controller.errors import MoorageError
from tests.demo import Clients

SECRET = "wJalrXUtnFEMI0K7MDENGbPxRfiCYEXAMPLEKEY"
DENIED_FOR = 120.0
# A request that has left is carried out within this time, or never.
UNDER_WAY_FOR = 30.0
_URL = f"https://example.amazonaws.com/?X-Amz-Signature={SECRET}"


class Fault(StrEnum):
    """What happens at a site, the first time that it is come to."""

    BROKEN = "answered with 503, and not done"
    THROTTLED = "throttled five times in a row"
    LOST = "done, and the answer lost"
    DENIED = "denied for two minutes"
    SLOW = "not answered within the read timeout, and done after that"
    LEFT = "answered well, and left undone, as the answer says"


# How often a call in a row is hit. A read that times out has used up the door's patience: none follows it.
TIMES = {Fault.BROKEN: 1, Fault.THROTTLED: 5, Fault.LOST: 1, Fault.SLOW: 1, Fault.LEFT: 1}
PATIENCE = 4
# Calls that take several objects, and tell in a good answer which ones they left.
OF_SEVERAL = {"ecs.delete_task_definitions", "ecr.batch_delete_image"}


class Site(NamedTuple):
    """Who calls what."""

    who: str
    call: str


def can_happen(fault: Fault, site: Site) -> bool:
    """Whether a call can go wrong like this."""
    return fault is not Fault.LEFT or site.call in OF_SEVERAL


@dataclass
class Clock:
    """Seconds that pass when somebody waits."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Saboteur:
    """Lets one fault happen once at each site that `aims` at. `hit` are the sites it happened at, in order."""

    clock: Clock
    fault: Fault | None = None
    aims: Callable[[Site], bool] = lambda site: True
    hit: dict[Site, float] = field(default_factory=dict)
    seen: Counter[Site] = field(default_factory=Counter)
    surfaced: list[tuple[Site, MoorageError]] = field(default_factory=list)
    _left: dict[Site, int] = field(default_factory=dict)
    _struck: list[Exception] = field(default_factory=list)
    _under_way: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)

    def call(self, site: Site, send: Callable[[], Any]) -> Any:
        """Send a call, or let happen to it what is to happen."""
        self.settle()
        self.seen[site] += 1
        if not self._strikes(site):
            return send()
        try:
            return self._strike(site.call.partition(".")[2], send)
        except BOTOCORE_ERRORS as error:
            self._struck.append(error)
            raise

    def _strikes(self, site: Site) -> bool:
        if self.fault is None or not self.aims(site) or not can_happen(self.fault, site):
            return False
        if site not in self.hit:
            self.hit[site] = self.clock()
            patience = self.fault is Fault.SLOW and changes_nothing(site.call.partition(".")[2])
            self._left[site] = PATIENCE if patience else TIMES.get(self.fault, 0)
        if self.fault is Fault.DENIED:
            return self.clock() < self.hit[site] + DENIED_FOR
        self._left[site] -= 1
        return self._left[site] >= 0

    def _strike(self, operation: str, send: Callable[[], Any]) -> Any:
        if self.fault is Fault.BROKEN:
            raise _answer("ServiceUnavailable", "Service is unable to handle request.", 503, operation)
        if self.fault is Fault.THROTTLED:
            raise _answer("ThrottlingException", "Rate exceeded", 400, operation)
        if self.fault is Fault.DENIED:
            said = f"User: arn:aws:sts::123456789012:assumed-role/ci/run is not authorized (secret_access_key={SECRET})"
            raise _answer("AccessDeniedException", said, 403, operation)
        if self.fault is Fault.LEFT:
            return {"failures": [{"arn": "it", "reason": "The specified task definition is still in ACTIVE status."}]}
        if self.fault is Fault.LOST:
            with suppress(ClientError):  # a refusal's way is as long as an answer's
                send()
            raise ConnectionClosedError(endpoint_url=_URL)
        if not changes_nothing(operation):
            self._under_way.append((self.clock() + UNDER_WAY_FOR, send))
        raise ReadTimeoutError(endpoint_url=_URL)

    def settle(self, *, all_of_it: bool = False) -> None:
        """Carry out what is under way for long enough. A refusal goes where the answer went: nowhere."""
        due = [send for when, send in self._under_way if all_of_it or when <= self.clock()]
        self._under_way = [(when, send) for when, send in self._under_way if not all_of_it and when > self.clock()]
        for send in due:
            with suppress(ClientError):
                send()

    def struck(self, error: MoorageError) -> bool:
        """Whether an error is what became of one of the faults."""
        return any(error.__cause__ is struck for struck in self._struck)

    @property
    def strikes(self) -> int:
        """How often it has struck."""
        return len(self._struck)

    @property
    def busy(self) -> bool:
        """Whether something that it has held up is still to come."""
        return bool(self._under_way)


def _answer(code: str, message: str, status: int, operation: str) -> ClientError:
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, operation)


@dataclass
class Sabotaged:
    """Clients whose calls go past a saboteur."""

    clients: Clients
    saboteur: Saboteur
    who: Callable[[], str]

    def __post_init__(self) -> None:
        self.region, self.partition = self.clients.region, self.clients.partition

    def client(self, service: str) -> Any:
        return _Sabotaged(self.clients.client(service), service, self)

    def paginator(self, service: str, operation: str) -> Any:
        return self.clients.paginator(service, operation)


@dataclass
class _Sabotaged:
    _client: Any
    _service: str
    _of: Sabotaged

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        send = getattr(self._client, operation)
        # Whoever asks first: which account it is, is the door's question.
        who = "door" if self._service == "sts" else self._of.who()
        site = Site(who, f"{self._service}.{operation}")
        return lambda **params: self._of.saboteur.call(site, lambda: send(**params))


class Watched(Aws):
    """A door that tells the saboteur which errors came out of it, repeats and all."""

    def __init__(self, clients: Sabotaged, budgets: Budgets) -> None:
        super().__init__(clients, budgets=budgets)
        self._saboteur, self._who = clients.saboteur, clients.who

    def read(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        return self._telling(super().read, service, operation, params)

    def write(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        return self._telling(super().write, service, operation, params)

    def _telling(self, send: Callable[..., Any], service: str, operation: str, params: Mapping[str, Any]) -> Any:
        try:
            return send(service, operation, **params)
        except MoorageError as error:
            if self._saboteur.struck(error):
                self._saboteur.surfaced.append((Site(self._who(), f"{service}.{operation}"), error))
            raise
