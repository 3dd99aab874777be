"""The lease in a bucket, in simulated time: each rule alone, then many contenders with lost answers and pauses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.errors import (
    AnswerLostError,
    ConflictError,
    LeaseHeldError,
    LeaseLostError,
    UnavailableError,
)
from controller.store.s3_lease import CALL_MARGIN, RENEW_INTERVAL, TTL_SECONDS, S3Lease

KEY = "moorage/lease/prod.json"


class Time:
    now = 1000.0


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def contender(bucket, time):
    def make(name: str) -> S3Lease:
        return S3Lease(bucket, KEY, name, now=lambda: time.now, create_bucket=lambda: setattr(bucket, "there", True))

    return make


def claim(bucket) -> Any:
    return json.loads(bucket.objects[KEY])


def test_second_contender_learns_the_holder(bucket, contender, time):
    """At first sight the holder may be dead: ask again. Once it has renewed, it is alive: give up."""
    first, second = contender("first"), contender("second")
    first.acquire()
    assert first.held
    with pytest.raises(LeaseHeldError, match="held by first") as caught:
        second.acquire()
    assert caught.value.retry_after is not None
    time.now += RENEW_INTERVAL
    first.renew()
    with pytest.raises(LeaseHeldError, match="held by first") as caught:
        second.acquire()
    assert (caught.value.retry_after, caught.value.exit_code) == (None, 8)


def test_released_lease_is_free_at_once(bucket, contender):
    """Without any wait; the term grows, and the object stays."""
    first, second = contender("first"), contender("second")
    first.acquire()
    first.release()
    assert not first.held
    second.acquire()
    assert second.held
    assert claim(bucket) | {"nonce": ""} == {"term": 2, "nonce": "", "holder": "second", "ttl": TTL_SECONDS}
    first.release()
    assert claim(bucket)["holder"] == "second"


def test_renewal_is_sent_only_when_due(bucket, contender, time):
    """Every RENEW seconds of asking; in between nobody is asked."""
    lease = contender("one")
    lease.acquire()
    nonces = {claim(bucket)["nonce"]}
    for _ in range(60):
        time.now += 1
        lease.renew()
        nonces.add(claim(bucket)["nonce"])
    assert len(nonces) == 1 + 60 / RENEW_INTERVAL
    assert len(bucket.calls) == 2 + 60 / RENEW_INTERVAL
    assert claim(bucket)["term"] == 1


def test_expired_lease_is_taken_over(bucket, contender, time):
    """Counted by the one who waits, from when it saw the claim first.

    The new term begins after the old one's budget.
    """
    dead, heir = contender("dead"), contender("heir")
    dead.acquire()
    time.now += 1000
    with pytest.raises(LeaseHeldError) as caught:
        heir.acquire()
    waited = 0.0
    while caught.value.retry_after is not None and claim(bucket)["holder"] == "dead":
        time.now += caught.value.retry_after
        waited += caught.value.retry_after
        with pytest.raises(LeaseHeldError) as caught:
            heir.acquire()
    assert waited == TTL_SECONDS
    assert not heir.held
    with pytest.raises(LeaseLostError):
        heir.renew()
    assert caught.value.retry_after == CALL_MARGIN
    time.now += CALL_MARGIN
    heir.acquire()
    assert heir.held
    assert claim(bucket)["term"] == 2
    with pytest.raises(LeaseLostError, match="heir"):
        dead.renew()


def test_lease_is_usable_only_while_time_for_a_call_is_left(contender, time):
    """Counted from before the renewal was sent."""
    lease = contender("one")
    lease.acquire()
    time.now += TTL_SECONDS - CALL_MARGIN - 0.001
    assert lease.held
    time.now += 0.001
    assert not lease.held


def test_the_time_of_a_slow_renewal_counts(bucket, contender, time):
    """A write that took 50 s leaves 10: too little for a call, though the lease is ours."""
    bucket.before_put = lambda: setattr(time, "now", time.now + 50)
    lease = contender("one")
    with pytest.raises(LeaseLostError):
        lease.acquire()
    bucket.before_put = lambda: None
    lease.acquire()
    assert lease.held


def test_a_late_renewal_of_an_unchanged_claim_goes_on(contender, time):
    """A holder that slept for an hour, with nobody else about, still has it; it sends nothing before it knows."""
    lease = contender("one")
    lease.acquire()
    time.now += 3600
    assert not lease.held
    lease.renew()
    assert lease.held


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("error", [AnswerLostError("lost"), ConflictError("409", code="ConditionalRequestConflict")])
@pytest.mark.parametrize("renewing", [True, False])
def test_own_nonce_after_a_failed_write_means_acquired(bucket, contender, time, error, done, renewing):
    """S3 tells losers who have won; the object says the truth. Not done is no loss either: it is tried again."""
    lease = contender("one")
    if renewing:
        lease.acquire()
        time.now += RENEW_INTERVAL
    bucket.faults = [(error, done)]
    if renewing:
        lease.renew()
    elif done:
        lease.acquire()
    else:
        with pytest.raises(LeaseHeldError):
            lease.acquire()
        lease.acquire()
    assert lease.held
    lease.renew()
    assert claim(bucket)["holder"] == "one"


def test_temporary_bucket_outage_keeps_the_lease(bucket, contender, time):
    """Renewals fail until the time has run out; then the reason is told. When it is back, the lease goes on."""
    lease = contender("one")
    lease.acquire()
    time.now += RENEW_INTERVAL
    bucket.faults = [(UnavailableError("the network is gone"), False)] * 2
    lease.renew()
    time.now += TTL_SECONDS - CALL_MARGIN - RENEW_INTERVAL
    with pytest.raises(LeaseLostError, match="network is gone"):
        lease.renew()
    lease.acquire()
    assert lease.held


def test_without_a_bucket_one_is_made_first(bucket, contender, time):
    """Only by who wants the lease, and again when the bucket is lost: then the lease is lost too."""
    bucket.there = False
    lease = contender("one")
    lease.acquire()
    assert bucket.there
    bucket.there, bucket.objects = False, {}
    time.now += TTL_SECONDS
    with pytest.raises(LeaseLostError):
        lease.renew()
    assert not bucket.there


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"term": null}'])
def test_corrupt_claim_expires(bucket, contender, time, body):
    """Somebody edited it, or a newer release wrote it: it is replaced after a TTL like a dead holder's."""
    bucket.objects[KEY] = body
    lease = contender("one")
    for _ in range(100):
        try:
            lease.acquire()
        except LeaseHeldError as held:
            time.now += held.retry_after
        else:
            break
    assert lease.held
    assert time.now >= 1000 + TTL_SECONDS + CALL_MARGIN


def test_deleted_claim_is_free(bucket, contender, time):
    """Who deletes the object takes the lease from its holder, who finds out at the next renewal."""
    lease = contender("one")
    lease.acquire()
    bucket.objects.clear()
    time.now += RENEW_INTERVAL
    with pytest.raises(LeaseLostError):
        lease.renew()
