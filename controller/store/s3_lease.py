"""A lease in the artifact bucket: conditional writes and monotonic clocks, without a service that knows who is alive.

The object says who holds the lease, in which term, and how long a silence lasts before others take over; its nonce is
new with each renewal. It contains no time of day: the clocks of two machines are never compared.

- A holder renews every RENEW seconds, and may send a call while more than BUDGET of the TTL is left, counted from
  before the renewal was sent.
- Others take over when the object stayed unchanged for a whole TTL on their own clock. The next term begins with a
  wait of BUDGET: a call that the former holder sent in its last moment has ended by then.
- A write that failed may have been executed all the same, and may still be executed later. So the object is read
  again: if it has a nonce of ours, we hold the lease.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import uuid4

from controller.errors import AnswerLostError, AwsError, ConflictError, LeaseHeldError, LeaseLostError, MissingError
from controller.store.object_storage import ObjectStorage

TTL_SECONDS = 60.0
RENEW_INTERVAL = 15.0
# Longer than the longest single call takes, connecting and reading included.
CALL_MARGIN = 15.0
# The interval at which a silent holder is checked.
_POLL_INTERVAL = 5.0


@dataclass(frozen=True)
class LeaseClaim:
    """The content of the object. `holder` is empty after a release; terms only grow."""

    term: int
    nonce: str
    holder: str
    ttl: float = TTL_SECONDS


@dataclass(frozen=True)
class _SentClaim:
    """A claim that was sent at `at`, and when its term's first call may be sent."""

    claim: LeaseClaim
    sent_at: float
    effective_at: float


@dataclass(frozen=True)
class _HeldClaim:
    """Our own claim, as the object with this `etag`."""

    sent: _SentClaim
    etag: str


@dataclass(frozen=True)
class _ForeignClaim:
    """Another holder's claim, first seen at `since`; `alive` if it replaced one that was seen before."""

    claim: LeaseClaim
    etag: str
    first_seen_at: float
    is_renewing: bool

    def is_expired(self, now: float) -> bool:
        """Return whether the claim stayed unchanged for so long that it may be replaced."""
        return now - self.first_seen_at >= max(TTL_SECONDS, self.claim.ttl)


class S3Lease:
    """The lease in the object `key` of `storage`. `holder` describes this process to others.

    `create_bucket` is called if the bucket doesn't exist; any number of processes may do so at once. `now` is this
    machine's monotonic clock, in seconds; it must continue while the machine is suspended.
    """

    def __init__(
        self,
        storage: ObjectStorage,
        key: str,
        holder: str,
        *,
        now: Callable[[], float],
        create_bucket: Callable[[], None],
    ) -> None:
        self.where = f"{storage.where}/{key}"
        self._storage, self._key, self._holder, self._now = storage, key, holder, now
        self._create_bucket = create_bucket
        self._lock = threading.RLock()
        self._held_claim: _HeldClaim | None = None
        self._foreign_claim: _ForeignClaim | None = None
        # The claims that were sent since one was last seen to be ours, by nonce: each may have been written.
        self._sent_claims: dict[str, _SentClaim] = {}
        self._last_error = ""

    def acquire(self) -> None:
        """Take the lease, or keep it.

        Raises LeaseHeldError, an AwsError, and whatever `create_bucket` raises.
        """
        with self._lock:
            self._renew_if_due()
            if self._held_claim is None:
                try:
                    self._take_over()
                except MissingError:
                    self._create_bucket()
                    self._take_over()
            if self._held_claim is not None and (wait := self._held_claim.sent.effective_at - self._now()) > 0:
                raise self._held_error("a call that the former holder sent may still be in progress", wait)
            self.renew()

    def renew(self) -> None:
        """Renew the lease if that is due. Raises LeaseLostError."""
        with self._lock:
            self._renew_if_due()
            if not self.held:
                why = self._last_error or (self._foreign_claim and self._foreign_claim.claim.holder) or "nobody took it"
                raise LeaseLostError("the lease is not ours", where=self.where, why=why)

    @property
    def held(self) -> bool:
        """Whether a call may be sent: our term hasn't expired, and the former holder's has."""
        with self._lock:
            return self._held_claim is not None and (
                self._held_claim.sent.effective_at
                <= self._now()
                < self._held_claim.sent.sent_at + TTL_SECONDS - CALL_MARGIN
            )

    def release(self) -> None:
        """Release the lease. Errors here are harmless: a silent claim expires by itself."""
        with self._lock, suppress(AwsError):
            mine, self._held_claim, self._sent_claims = self._held_claim, None, {}
            if mine is not None:
                claim = replace(mine.sent.claim, holder="", nonce=uuid4().hex)
                self._storage.put(self._key, _serialize_claim(claim), mine.etag)

    def _renew_if_due(self) -> None:
        """Write the claim again when it is due, whatever happened meanwhile: an unchanged object is still ours."""
        if self._held_claim is None or self._now() - self._held_claim.sent.sent_at < RENEW_INTERVAL:
            return
        try:
            self._write_claim(self._held_claim.sent.claim, self._held_claim.etag, self._held_claim.sent.effective_at)
            self._last_error = ""
        except AwsError as error:
            self._last_error = str(error)

    def _take_over(self) -> None:
        asked = self._now()
        self._read_claim()
        other = self._foreign_claim
        if self._held_claim is not None:
            return
        if other is not None and other.claim.holder and not other.is_expired(asked):
            alive, left = other.is_renewing, other.first_seen_at + max(TTL_SECONDS, other.claim.ttl) - asked
            raise self._held_error(f"it is held by {other.claim.holder}", None if alive else min(_POLL_INTERVAL, left))
        former = other.claim.holder if other else ""
        claim = LeaseClaim((other.claim.term if other else 0) + 1, "", self._holder)
        self._write_claim(claim, other.etag if other else None, asked + CALL_MARGIN if former else 0.0)
        if self._held_claim is None:
            raise self._held_error("another was faster", _POLL_INTERVAL)

    def _write_claim(self, claim: LeaseClaim, etag: str | None, begins: float) -> None:
        """Write a claim with a new nonce; afterwards `_held_claim` says whether the lease is ours."""
        claim = replace(claim, nonce=uuid4().hex)
        sent = self._sent_claims[claim.nonce] = _SentClaim(claim, self._now(), begins)
        try:
            self._accept(sent, self._storage.put(self._key, _serialize_claim(claim), etag))
        except (AnswerLostError, ConflictError):
            self._read_claim()

    def _read_claim(self) -> None:
        """Read the object: it is a claim of ours, the same as before, or another holder's."""
        found = self._storage.get(self._key)
        if found is None:
            self._held_claim = self._foreign_claim = None
            return
        claim, etag = _parse_claim(found[0]), found[1]
        if claim.nonce in self._sent_claims:
            self._accept(self._sent_claims[claim.nonce], etag)
        elif self._held_claim is None or self._held_claim.etag != etag:
            self._held_claim = None
            if self._foreign_claim is None or self._foreign_claim.etag != etag:
                self._foreign_claim = _ForeignClaim(
                    claim, etag, self._now(), is_renewing=self._foreign_claim is not None
                )

    def _accept(self, sent: _SentClaim, etag: str) -> None:
        # The other claims were to replace an object that no longer exists: they can't be written any more.
        self._held_claim, self._foreign_claim, self._sent_claims = (
            _HeldClaim(sent, etag),
            None,
            {sent.claim.nonce: sent},
        )

    def _held_error(self, why: str, retry_after: float | None) -> LeaseHeldError:
        return LeaseHeldError(
            "another controller is working here",
            where=self.where,
            why=why,
            hint="wait until it has finished, or stop it",
            retry_after=retry_after,
        )


def _serialize_claim(claim: LeaseClaim) -> bytes:
    return json.dumps(vars(claim)).encode()


def _parse_claim(body: bytes) -> LeaseClaim:
    """Return the claim in the object. Unreadable content counts as a claim, too, and expires like any other."""
    try:
        said = json.loads(body)
        return LeaseClaim(int(said["term"]), str(said["nonce"]), str(said["holder"]), float(said["ttl"]))
    except (ValueError, TypeError, KeyError):
        return LeaseClaim(0, "", "a holder whose claim this release can't read")
