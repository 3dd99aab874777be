"""The queue under a clock of its own: deduplication, dates, pauses, and nobody who starves."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from controller.core.values import Key
from controller.engine.work_queue import LONGEST, SHORTEST, Queue


@dataclass
class Clock:
    """Time that only the test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def key(name: str) -> Key:
    return Key("default", "ModelService", name)


A, B = key("a"), key("b")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue:
    return Queue(clock, lambda: 0.0)


def test_a_key_is_handed_out_once_however_often_it_is_added(queue: Queue) -> None:
    """Ten events for one key are one look at it, and none while it is in flight."""
    for _ in range(10):
        queue.add(A)
    assert [*queue.take()] == [A]
    queue.add(A)
    assert [*queue.take()] == []


def test_event_in_flight_requeues_the_key(queue: Queue) -> None:
    """An event during a pass may have come too late for it: the key is due once more when the pass ends."""
    queue.add(A)
    queue.take()
    queue.add(A)
    queue.finish(A, after=60)
    assert [*queue.take()] == [A]


def test_earlier_due_time_wins(queue: Queue, clock: Clock) -> None:
    """Of two dates the earlier counts, whichever came first; the queue says how long there is nothing to do."""
    queue.add(A, after=5)
    queue.add(A, after=60)
    assert queue.wait() == 5
    clock.now += 5
    assert (queue.wait(), queue.depth, [*queue.take()]) == (0, 1, [A])
    queue.finish(A)
    assert (queue.wait(), queue.unsettled) == (None, set())


def test_backoff_doubles_to_the_maximum_and_resets_on_success(queue: Queue, clock: Clock) -> None:
    """2, 4, 8 … 300 s after failures; one success, and the next failure starts from 2 s again."""
    pauses = []
    queue.add(A)
    for _ in range(12):
        assert [*queue.take()] == [A]
        queue.finish(A, failing=True)
        pauses.append(queue.wait())
        clock.now += queue.wait() or 0
    assert pauses[:4] == [SHORTEST, 4, 8, 16]
    assert pauses[-1] == LONGEST
    queue.take()
    queue.finish(A, after=0)
    queue.take()
    queue.finish(A, failing=True)
    assert queue.wait() == SHORTEST


def test_retry_after_is_respected(queue: Queue) -> None:
    """A failure that says when to come back is not tried before."""
    queue.add(A)
    queue.take()
    queue.finish(A, after=90, failing=True)
    assert queue.wait() == 90


def test_backoff_is_jittered(clock: Clock) -> None:
    """Keys that failed together are not tried again together, and none waits more than a quarter longer."""
    queue, pauses = Queue(clock, random.Random(1).random), set()
    for name in "abcdefgh":
        queue.add(key(name))
    for one in queue.take():
        queue.finish(one, failing=True)
        pauses.add(queue.wait())
    dates = sorted(queue._due.values())
    assert len(set(dates)) == 8
    assert SHORTEST <= dates[0] - clock.now < dates[-1] - clock.now <= SHORTEST * 1.25


def test_new_commit_resets_backoff_and_event_does_not(queue: Queue) -> None:
    """A key in its pause: its own events leave it there, a new declaration makes it due with a clean slate."""
    queue.add(A)
    queue.take()
    queue.finish(A, failing=True)
    queue.hint(A)
    assert [*queue.take()] == []
    queue.supersede(A)
    assert [*queue.take()] == [A]
    queue.finish(A, failing=True)
    assert queue.wait() == SHORTEST


def test_event_wakes_a_waiting_key(queue: Queue) -> None:
    """A key that waits for a rollout is looked at when AWS says that something happened."""
    queue.add(A)
    queue.take()
    queue.finish(A, after=60)
    queue.hint(A)
    assert [*queue.take()] == [A]


def test_removed_key_is_forgotten(queue: Queue) -> None:
    """A forgotten key has no date, and none of its failures."""
    queue.add(A)
    queue.take()
    queue.finish(A, failing=True)
    queue.forget(A)
    assert (queue.unsettled, list(queue.failing)) == (set(), [])


def test_longest_due_comes_first(queue: Queue, clock: Clock) -> None:
    """The order of dates, not of names or of arrival."""
    queue.add(A, after=3)
    queue.add(B, after=2)
    clock.now += 10
    assert [*queue.take()] == [B, A]


def test_in_flight_keys_are_limited(clock: Clock) -> None:
    """Two at most are handed out together, those longest due, each with its date; no more while two are in flight."""
    queue = Queue(clock, lambda: 0.0, most=2)
    for wait, name in enumerate("cab"):
        queue.add(key(name), after=wait)
    clock.now += 10
    assert queue.take() == {key("c"): 1000, key("a"): 1001}
    assert (queue.take(), queue.wait(), queue.depth) == ({}, None, 1)
    queue.finish(key("a"))
    assert queue.wait() == 0
    assert queue.take() == {key("b"): 1002}


def test_large_batches_are_split_evenly(clock: Clock) -> None:
    """Eleven where ten may go are six and five, and not ten and a single one that is looked at alone."""
    queue = Queue(clock, lambda: 0.0, most=10)
    for name in "abcdefghijk":
        queue.add(key(name))
    assert [len(queue.take()), len(queue.take()), len(queue.take())] == [6, 5, 0]


def test_key_requeued_in_flight_is_due_from_its_end(queue: Queue, clock: Clock) -> None:
    """A listing of before the flight's end may lack what the flight did: the key is due from then on, and
    not earlier.
    """
    queue.add(A)
    queue.take()
    queue.hint(A)
    clock.now += 7
    queue.finish(A)
    assert queue.take() == {A: 1007}


def test_a_failing_key_never_delays_a_healthy_one(clock: Clock) -> None:
    """One worker, twenty keys that always fail and take their time over it, one that wants a look every ten seconds for
    a day: it is never later than one round of the others, and the failing ones cost a small part of the worker's day.
    """
    queue, bad, slow = Queue(clock, random.Random(2).random), [key(f"bad-{n}") for n in range(20)], 1.0
    for one in (*bad, A):
        queue.add(one)
    line: list[Key] = []
    looks, late, busy, due = Counter[Key](), 0.0, 0.0, clock.now
    end = clock.now + 86_400
    while clock.now < end:
        line += queue.take()
        if not line:
            clock.now += queue.wait() or 0
            continue
        one = line.pop(0)
        looks[one] += 1
        if one == A:
            late = max(late, clock.now - due)
            queue.finish(A, after=10)
            due = clock.now + 10
        else:
            clock.now += slow
            busy += slow
            queue.finish(one, failing=True)
    assert late <= len(bad) * slow
    assert looks[A] > 8000
    assert busy / 86_400 < 0.1
    assert all(looks[one] > 200 for one in bad)


def test_pace_scales_every_delay(clock: Clock) -> None:
    """The embedded AWS is faster than AWS: a tenth of the pace is a tenth of the pauses."""
    queue = Queue(clock, lambda: 0.0, pace=0.1)
    queue.add(A)
    queue.take()
    queue.finish(A, after=50)
    assert queue.wait() == pytest.approx(5)


def test_a_key_can_be_claimed_unless_it_is_in_flight(queue: Queue) -> None:
    """Whoever looks at a key along with others takes it before its date, once."""
    queue.add(A, after=60)
    assert queue.claim(A)
    assert not queue.claim(A)
    queue.finish(A)
    assert queue.unsettled == set()
