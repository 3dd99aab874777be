"""One spec's life on the embedded AWS, its store and its lease in the bucket, with a saboteur at every call.

Each life of the controller is as the loop has it: pass after pass until nothing is under way. Then two minutes go by, as
until the next look at everything, for as long as faults have struck. Every other pass looks at each object as at one of many,
by listings. What is said meanwhile is held against what went wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle

from controller.aws import Budgets
from controller.aws.objects import BucketObjects
from controller.core.status import Event
from controller.core.values import Key
from controller.core.wanted import Wanted
from controller.errors import LeaseHeldError, MoorageError
from controller.reconcile import Pass, Reconciler
from controller.runtime.home import make_bucket
from controller.runtime.leased import UnderLease
from controller.runtime.once import exit_code, is_ready
from controller.store.s3 import S3Store
from controller.store.s3_lease import S3Lease
from controller.store.sheet import PREFIX
from tests.conformance.scene import Scene
from tests.demo import Demo, UnsettledError
from tests.reliability.saboteur import DENIED_FOR, SECRET, Clock, Fault, Sabotaged, Saboteur, Watched
from tests.reliability.story import MODEL
from tests.reliability.world import World, world

LIVES = 400
PATIENCE = 300.0  # seconds of real time for what AWS is at work on
BREATH = 5.0  # seconds on the clock between two passes, at least


@dataclass
class Living:
    """A spec, an AWS, and whoever keeps the one as the other says. `untruths` is what was said wrongly, or not at all."""

    demo: Demo
    scene: Scene
    clock: Clock = field(default_factory=Clock)
    untruths: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    key: Key = MODEL.key

    def __post_init__(self) -> None:
        self.saboteur = Saboteur(self.clock)
        self.door = self._door(lambda: self.scene.who or "door")
        bucket, key = self._home.bucket, "moorage/lease/default.json"
        self.store = self.demo.store = S3Store(BucketObjects(self._door(lambda: "store"), bucket))
        objects = BucketObjects(self._door(lambda: "lease"), bucket)
        self.lease = S3Lease(objects, key, "this test", now=self.clock, make_bucket=self._make_bucket)

    def _door(self, who: Callable[[], str]) -> Watched:
        budgets = Budgets(clock=self.clock, sleep=self.clock.advance)
        return Watched(Sabotaged(self.demo.clients, self.saboteur, who), budgets)

    def settle(self, *, gone: bool = False) -> Pass:
        """Life after life, until one comes to its end in which nothing went wrong. Gives its last pass."""
        for _ in range(LIVES):
            before = self.saboteur.strikes
            done = self._live(gone=gone)
            quiet = self.saboteur.strikes == before and not self.saboteur.busy
            if done is not None and quiet:
                return done
            self.clock.advance(DENIED_FOR + 1)
        raise UnsettledError(f"after {LIVES} lives: {[str(event) for event in self.events[-3:]]}")

    def world(self) -> World:
        """The account, without what the controller remembers, which is numbered and dated."""
        found = world(self.demo.door())
        found["objects"] = [item for item in found["objects"] if not item[0].startswith("moorage/")]
        return found

    def remembered(self) -> str:
        """All that the controller has written down."""
        s3, bucket = self.demo.clients.client("s3"), self._home.bucket
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=PREFIX).get("Contents", ())
        return "\n".join(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode() for item in listed)

    @property
    def _home(self) -> Wanted:
        return self.demo.wants()[0]

    def _live(self, *, gone: bool) -> Pass | None:
        """One look at everything and what follows from it; None when an error ended it."""
        self.saboteur.surfaced.clear()
        aws = self.door.watched(UnderLease(self.lease))
        # What is one of many in one pass is alone in the next: by turns it is listed and asked for.
        turns = (self.scene.crowd, self.scene.registry)
        ways = cycle([Reconciler(types, aws, self.store, self._tick, self.events.append) for types in turns])
        try:
            self.lease.acquire()
            return self._passes(ways, gone=gone)
        except MoorageError as error:
            self._told_by(error)
            return None

    def _make_bucket(self) -> None:
        self.events += make_bucket(self.door, self._home, self.scene.registry)

    def _tick(self) -> str:
        return f"t{next(self.demo.ticks)}"

    def _passes(self, ways: Iterator[Reconciler], *, gone: bool) -> Pass:
        wants, deadline = self.demo.wants(), time.monotonic() + PATIENCE
        removed = [self.key] if gone else []
        while True:
            self.saboteur.surfaced.clear()
            told = len(self.events)
            done = next(ways).reconcile(wants, gone=removed)
            self.untruths += self._judge(done, self.events[told:])
            if done.after is None:
                return done
            if time.monotonic() > deadline:
                raise UnsettledError([[c.message for c in status.conditions] for status in done.statuses])
            self.clock.advance(max(done.after, BREATH))
            time.sleep(min(done.after, 1) * 0.02)

    def _judge(self, done: Pass, events: list[Event]) -> Iterator[str]:
        """What a pass should have said of the errors that came up in it, and hasn't."""
        texts = [f"{event.reason} {event.message}" for event in events if event.type == "Warning"]
        states = [f"{c.reason} {c.message}" for status in done.statuses for c in status.conditions]
        states += [f"{r.state} {r.message}" for status in done.statuses for r in status.resources]
        yield from (f"told a secret: {text}" for text in texts + states if SECRET in text)
        for site, error in self.saboteur.surfaced:
            if site.who in ("store", "lease") and self.saboteur.fault is not Fault.DENIED:
                continue  # they have ways of their own to go on
            ready = all(map(is_ready, done.statuses))
            if not any(site.call in text for text in (*texts, *states)):
                yield f"{site}: nobody is told of {error}"
            elif ready and done.after is None:
                yield f"{site}: all is said to be Ready, in spite of {error}"
            elif not ready and (code := exit_code(done.statuses)) != self._code():
                yield f"{site}: the exit code is {code}, after {error}"

    def _code(self) -> int:
        """What the shell is told: that it failed where only a person can help, that it is under way elsewhere."""
        return 4 if self.saboteur.fault is Fault.DENIED else 9

    def _told_by(self, error: MoorageError) -> None:
        """An error that ends a run must say which call it was; one of a single type must end none."""
        if SECRET in str(error):
            self.untruths.append(f"told a secret: {error}")
        calls = {site.call for site, _ in self.saboteur.surfaced}
        whole = ("store", "lease", "door", "s3/bucket")
        self.untruths += [
            f"{site} ends the run" for site, told in self.saboteur.surfaced if told is error and site.who not in whole
        ]
        if not isinstance(error, LeaseHeldError) and not any(call in str(error) for call in calls):
            self.untruths.append(f"ended by {error!r}, which names none of {sorted(calls)}")
