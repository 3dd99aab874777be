"""Many contenders for one lease through hours of simulated time, with lost answers, late writes, pauses and crashes.

Every contender is a thread, but only one runs at a time: whoever waits hands over to whoever's time comes next, so a
seed decides everything.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from controller.errors import AnswerLostError, AwsError, ConflictError, LeaseHeldError, UnavailableError
from controller.store.s3_lease import CALL_MARGIN, S3Lease

HOURS = 2 * 3600.0


class OverError(BaseException):
    """The simulation has ended."""


class Simulation:
    """Time, and who runs next."""

    def __init__(self, seed: int) -> None:
        self.now, self.over, self.chance = 0.0, False, random.Random(seed)
        self.seen: Counter[str] = Counter()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order, self._back = 0, threading.Semaphore(0)
        self._threads: list[tuple[threading.Thread, threading.Semaphore]] = []
        self._current = threading.local()
        self.failure: BaseException | None = None

    def at(self, delay: float, event: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay, self._order, event))

    def spawn(self, life: Callable[[], None]) -> None:
        turn = threading.Semaphore(0)

        def body() -> None:
            self._current.turn = turn
            turn.acquire()
            try:
                if not self.over:
                    life()
            except OverError:
                pass
            except BaseException as error:  # noqa: BLE001  (it is raised again, in the test's own thread)
                self.failure = self.failure or error
            self._back.release()

        thread = threading.Thread(target=body)
        self._threads.append((thread, turn))
        thread.start()
        self.at(self.chance.uniform(0, 5), lambda: self._run_thread(turn))

    def wait(self, seconds: float) -> None:
        turn = self._current.turn
        self.at(seconds, lambda: self._run_thread(turn))
        self._back.release()
        turn.acquire()
        if self.over:
            raise OverError

    def run(self, seconds: float) -> None:
        try:
            while self._queue and self.now < seconds and self.failure is None:
                self.now, _, event = heapq.heappop(self._queue)
                event()
        finally:
            self.over = True
            for thread, turn in self._threads:
                turn.release()
                thread.join()
        if self.failure is not None:
            raise self.failure

    def _run_thread(self, turn_of: threading.Semaphore) -> None:
        turn_of.release()
        self._back.acquire()


class SimulatedBucket:
    """One bucket, as it looks through a network that delays, loses and repeats nothing."""

    where = "s3://bucket"
    body: bytes | None = None

    def __init__(self, simulation: Simulation) -> None:
        self.world = simulation

    def list(self, prefix: str) -> Any:
        raise NotImplementedError

    def get(self, key: str) -> tuple[bytes, str] | None:
        self._travel()
        if self.world.chance.random() < 0.03:
            raise UnavailableError("no connection")
        found = self.body
        self._travel()
        return None if found is None else (found, _etag(found))

    def put(self, key: str, body: bytes, etag: str | None) -> str:
        self._travel()
        fate = self.world.chance.random()
        if fate < 0.08:
            self.world.seen["late"] += 1
            self.world.at(self.world.chance.uniform(0, 90), lambda: self._apply(body, etag))
        elif fate < 0.16:
            self.world.seen["lost"] += self._apply(body, etag)
        if fate < 0.2:
            self.world.wait(14)
            raise AnswerLostError("no answer")
        done = self._apply(body, etag)
        self._travel()
        if not done:
            raise ConflictError("412")
        return _etag(body)

    def _apply(self, body: bytes, etag: str | None) -> bool:
        if (None if self.body is None else _etag(self.body)) != etag:
            return False
        self.body = body
        return True

    def _travel(self) -> None:
        slow = self.world.chance.random() < 0.05
        self.world.wait(self.world.chance.uniform(0, 100 if slow else 0.5))


def _etag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


class Contender:
    """Takes the lease again and again, works under it for a while, then gives it back, or dies and comes back."""

    def __init__(
        self, simulation: Simulation, network: SimulatedBucket, name: str, working: set[str], pace: float = 1.0
    ) -> None:
        self.world, self.network, self.name, self.working, self.pace = simulation, network, name, working, pace

    def live(self) -> None:
        while True:
            lease = S3Lease(
                self.network, "lease", self.name, now=lambda: self.world.now * self.pace, create_bucket=lambda: None
            )
            try:
                self._take(lease)
                self._work(lease)
            except LeaseHeldError:
                self.world.seen["lease lost"] += 1
            if self.world.chance.random() < 0.5:
                lease.release()
            else:
                self.world.seen["crash"] += 1
            self.world.wait(self.world.chance.uniform(0, 120))

    def _take(self, lease: S3Lease) -> None:
        while True:
            try:
                lease.acquire()
            except LeaseHeldError as held:
                self.world.wait(held.retry_after or 5)
            except AwsError:
                self.world.wait(1)
            else:
                self.world.seen["acquired"] += 1
                return

    def _work(self, lease: S3Lease) -> None:
        for _ in range(self.world.chance.randrange(40)):
            lease.renew()
            assert not self.working, f"{self.name} changes something while {self.working} does"
            self.working.add(self.name)
            self.world.wait(self.world.chance.uniform(0, CALL_MARGIN))
            self.working.remove(self.name)
            self.world.seen["calls"] += 1
            pause = self.world.chance.random() < 0.05
            self.world.wait(self.world.chance.uniform(0, 200 if pause else 3))


def simulate(seed: int, paces: tuple[float, ...]) -> Counter[str]:
    world, working = Simulation(seed), set[str]()
    network = SimulatedBucket(world)
    for number, pace in enumerate(paces):
        world.spawn(Contender(world, network, f"contender {number}", working, pace).live)
    world.run(HOURS)
    return world.seen


@pytest.mark.parametrize("seed", range(20))
def test_contenders_never_write_concurrently(seed):
    """Five contenders, two hours: the lease changes hands often, in every way there is, and nobody meets anybody."""
    seen = simulate(seed, (1.0,) * 5)
    assert seen["acquired"] > 10
    assert seen["calls"] > 100
    assert min(seen[what] for what in ("late", "lost", "crash", "lease lost")) > 0


def test_simulation_detects_a_fast_clock():
    """A contender whose clock runs four times too fast takes over too early: it is caught."""

    def all_seeds() -> None:
        for seed in range(20):
            simulate(seed, (1.0, 1.0, 4.0))

    with pytest.raises(AssertionError, match="changes something while"):
        all_seeds()
