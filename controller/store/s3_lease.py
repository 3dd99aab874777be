"""A lease in the artifact bucket: conditional writes, monotonic clocks, and nobody to ask who is alive.

The object says who holds the lease, in which term, and how long a silence is to be borne; its nonce is new with each
renewal. Nothing in it is a time of day: two machines' clocks are never compared.

- A holder renews every RENEW seconds, and may send a call while more than BUDGET of the TTL is left, counted from
  before the renewal was sent.
- Others take over when the object stayed as it is for a whole TTL on their own clock. The next term begins with a
  wait of BUDGET: a call that the former holder sent in its last moment has ended by then.
- A write that failed may have been done all the same, and may still be done later. So the object is read again: with
  a nonce of ours in it, we won.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import uuid4

from controller.errors import AnswerLostError, AwsError, ConflictError, LeaseHeldError, LeaseLostError, MissingError
from controller.store.objects import Objects

TTL = 60.0
RENEW = 15.0
# Longer than the longest single call takes, connecting and reading included.
BUDGET = 15.0
# How often a silent holder is looked at.
_LOOK = 5.0


@dataclass(frozen=True)
class Claim:
    """What the object says. `holder` is empty once the lease was given back; terms only grow."""

    term: int
    nonce: str
    holder: str
    ttl: float = TTL


@dataclass(frozen=True)
class _Sent:
    """A claim that was sent at `at`, and when its term's first call may be sent."""

    claim: Claim
    at: float
    begins: float


@dataclass(frozen=True)
class _Mine:
    """The claim that is ours, as the object `etag`."""

    sent: _Sent
    etag: str


@dataclass(frozen=True)
class _Other:
    """Another's claim, first seen at `since`; `alive` when it took the place of one that was seen before."""

    claim: Claim
    etag: str
    since: float
    alive: bool

    def silent(self, now: float) -> bool:
        """Whether nothing was heard of it for so long that it may be replaced."""
        return now - self.since >= max(TTL, self.claim.ttl)


class S3Lease:
    """The lease `key` among `objects`. `holder` says who asks, for others to read.

    `make_bucket` is called when there is none: any number of processes may do so at once. `now` is this machine's monotonic clock, in seconds; it must go on while the machine is suspended.
    """

    def __init__(
        self, objects: Objects, key: str, holder: str, *, now: Callable[[], float], make_bucket: Callable[[], None]
    ) -> None:
        self.where = f"{objects.where}/{key}"
        self._objects, self._key, self._holder, self._now = objects, key, holder, now
        self._make_bucket = make_bucket
        self._lock = threading.RLock()
        self._mine: _Mine | None = None
        self._other: _Other | None = None
        # Whatever was sent since a claim was last seen to be ours, by nonce: any of it may have been done.
        self._sent: dict[str, _Sent] = {}
        self._trouble = ""

    def acquire(self) -> None:
        """Take the lease, or go on with it.

        Raises LeaseHeldError, an AwsError, and whatever `make_bucket` raises.
        """
        with self._lock:
            self._renew()
            if self._mine is None:
                try:
                    self._take()
                except MissingError:
                    self._make_bucket()
                    self._take()
            if self._mine is not None and (wait := self._mine.sent.begins - self._now()) > 0:
                raise self._refusal("a call that the former holder sent may still be under way", wait)
            self.keep()

    def keep(self) -> None:
        """Renew it if that is due. Raises LeaseLostError."""
        with self._lock:
            self._renew()
            if not self.held:
                why = self._trouble or (self._other and self._other.claim.holder) or "nobody took it"
                raise LeaseLostError("the lease is not ours", where=self.where, why=why)

    @property
    def held(self) -> bool:
        """Whether a call may be sent: our time hasn't run out, and the former holder's has."""
        with self._lock:
            return self._mine is not None and (
                self._mine.sent.begins <= self._now() < self._mine.sent.at + TTL - BUDGET
            )

    def release(self) -> None:
        """Give it back. What goes wrong here is left to time: a silent claim ends by itself."""
        with self._lock, suppress(AwsError):
            mine, self._mine, self._sent = self._mine, None, {}
            if mine is not None:
                claim = replace(mine.sent.claim, holder="", nonce=uuid4().hex)
                self._objects.put(self._key, _body(claim), mine.etag)

    def _renew(self) -> None:
        """Write the claim anew when it is time, whatever happened meanwhile: who finds it unchanged still has it."""
        if self._mine is None or self._now() - self._mine.sent.at < RENEW:
            return
        try:
            self._write(self._mine.sent.claim, self._mine.etag, self._mine.sent.begins)
            self._trouble = ""
        except AwsError as error:
            self._trouble = str(error)

    def _take(self) -> None:
        asked = self._now()
        self._look()
        other = self._other
        if self._mine is not None:
            return
        if other is not None and other.claim.holder and not other.silent(asked):
            alive, left = other.alive, other.since + max(TTL, other.claim.ttl) - asked
            raise self._refusal(f"it is held by {other.claim.holder}", None if alive else min(_LOOK, left))
        former = other.claim.holder if other else ""
        claim = Claim((other.claim.term if other else 0) + 1, "", self._holder)
        self._write(claim, other.etag if other else None, asked + BUDGET if former else 0.0)
        if self._mine is None:
            raise self._refusal("another was faster", _LOOK)

    def _write(self, claim: Claim, etag: str | None, begins: float) -> None:
        """Write a claim with a nonce of its own; afterwards `_mine` says whether the lease is ours."""
        claim = replace(claim, nonce=uuid4().hex)
        sent = self._sent[claim.nonce] = _Sent(claim, self._now(), begins)
        try:
            self._own(sent, self._objects.put(self._key, _body(claim), etag))
        except (AnswerLostError, ConflictError):
            self._look()

    def _look(self) -> None:
        """Read the object: it is a claim of ours, the same as before, or another's."""
        found = self._objects.get(self._key)
        if found is None:
            self._mine = self._other = None
            return
        claim, etag = _claim(found[0]), found[1]
        if claim.nonce in self._sent:
            self._own(self._sent[claim.nonce], etag)
        elif self._mine is None or self._mine.etag != etag:
            self._mine = None
            if self._other is None or self._other.etag != etag:
                self._other = _Other(claim, etag, self._now(), alive=self._other is not None)

    def _own(self, sent: _Sent, etag: str) -> None:
        # What else was sent was to replace an object that is no more: it can't be done any longer.
        self._mine, self._other, self._sent = _Mine(sent, etag), None, {sent.claim.nonce: sent}

    def _refusal(self, why: str, retry_after: float | None) -> LeaseHeldError:
        return LeaseHeldError(
            "another controller is at work here",
            where=self.where,
            why=why,
            hint="wait until it has finished, or stop it",
            retry_after=retry_after,
        )


def _body(claim: Claim) -> bytes:
    return json.dumps(vars(claim)).encode()


def _claim(body: bytes) -> Claim:
    """What the object says; what can't be understood is a claim like any other, and is borne for as long."""
    try:
        said = json.loads(body)
        return Claim(int(said["term"]), str(said["nonce"]), str(said["holder"]), float(said["ttl"]))
    except (ValueError, TypeError, KeyError):
        return Claim(0, "", "somebody who writes what this release can't read")
