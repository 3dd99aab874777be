"""One spec's life on the embedded AWS, its store and its lease in the bucket, with a saboteur at every call.

Each life of the controller is as the loop has it: pass after pass until nothing is under way. Then two minutes go by,
as until the next look at everything, for as long as faults have struck. Every other pass looks at each object as at one
of many, by listings. What is said meanwhile is held against what went wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle

from controller.aws import RateLimiter
from controller.aws.s3_object_storage import S3ObjectStorage
from controller.core.spec_context import SpecContext
from controller.core.status import Event
from controller.core.values import Key
from controller.engine.run_result import exit_code, is_ready
from controller.environments.backend import create_bucket
from controller.environments.lease_guard import LeaseGuard
from controller.errors import LeaseHeldError, MoorageError
from controller.reconcile import PassResult, Reconciler
from controller.store.cached_object import PREFIX
from controller.store.s3 import S3Store
from controller.store.s3_lease import S3Lease
from tests.conformance.call_attribution import CallAttribution
from tests.demo import Demo, UnsettledError
from tests.event_recorder import EventRecorder
from tests.reliability.account_state import AccountState, normalized_state
from tests.reliability.fault_injection import (
    DENIAL_SECONDS,
    SECRET,
    ErrorObservingClient,
    Fault,
    FaultInjectingClients,
    FaultInjector,
    SimulatedClock,
)
from tests.reliability.scenario import MODEL

MAX_RUNS = 400
SETTLE_TIMEOUT = 300.0  # seconds of real time for what AWS is at work on
MIN_PASS_INTERVAL = 5.0  # seconds on the clock between two passes, at least


@dataclass
class Lifecycle:
    """A spec, an AWS, and whoever keeps the one as the other says.

    `untruths` is what was said wrongly, or not at all.
    """

    demo: Demo
    scene: CallAttribution
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    reporting_errors: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    key: Key = MODEL.key

    def __post_init__(self) -> None:
        self.fault_injector = FaultInjector(self.clock)
        self.aws_client = self._create_client(lambda: self.scene.caller or "door")
        bucket, key = self._environment.bucket_name, "moorage/lease/default.json"
        self.store = self.demo.store = S3Store(S3ObjectStorage(self._create_client(lambda: "store"), bucket))
        objects = S3ObjectStorage(self._create_client(lambda: "lease"), bucket)
        self.lease = S3Lease(objects, key, "this test", now=self.clock, create_bucket=self._make_bucket)

    def _create_client(self, caller: Callable[[], str]) -> ErrorObservingClient:
        rate_limiter = RateLimiter(clock=self.clock, sleep=self.clock.advance)
        return ErrorObservingClient(FaultInjectingClients(self.demo.clients, self.fault_injector, caller), rate_limiter)

    def settle(self, *, is_removed: bool = False) -> PassResult:
        """Life after life, until one comes to its end in which nothing went wrong. Gives its last pass."""
        for _ in range(MAX_RUNS):
            before = self.fault_injector.injected_count
            done = self._run_controller(is_removed=is_removed)
            quiet = self.fault_injector.injected_count == before and not self.fault_injector.has_delayed_calls
            if done is not None and quiet:
                return done
            self.clock.advance(DENIAL_SECONDS + 1)
        raise UnsettledError(f"after {MAX_RUNS} lives: {[str(event) for event in self.events[-3:]]}")

    def account_state(self) -> AccountState:
        """The account, without what the controller remembers, which is numbered and dated."""
        found = normalized_state(self.demo.aws_client())
        found["objects"] = [item for item in found["objects"] if not item[0].startswith("moorage/")]
        return found

    def stored_state(self) -> str:
        """All that the controller has written down."""
        s3, bucket = self.demo.clients.client("s3"), self._environment.bucket_name
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=PREFIX).get("Contents", ())
        return "\n".join(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode() for item in listed)

    @property
    def _environment(self) -> SpecContext:
        return self.demo.spec_contexts()[0]

    def _run_controller(self, *, is_removed: bool) -> PassResult | None:
        """One look at everything and what follows from it; None when an error ended it."""
        self.fault_injector.surfaced_errors.clear()
        aws = self.aws_client.with_hooks(LeaseGuard(self.lease))
        # What is one of many in one pass is alone in the next: by turns it is listed and asked for.
        turns = (self.scene.listing_registry, self.scene.registry)
        ways = cycle([Reconciler(types, aws, self.store, self._tick, EventRecorder(self.events)) for types in turns])
        try:
            self.lease.acquire()
            return self._run_passes(ways, is_removed=is_removed)
        except MoorageError as error:
            self._check_final_error(error)
            return None

    def _make_bucket(self) -> None:
        self.events += create_bucket(self.aws_client, self._environment, self.scene.registry)

    def _tick(self) -> str:
        return f"t{next(self.demo.ticks)}"

    def _run_passes(self, reconcilers: Iterator[Reconciler], *, is_removed: bool) -> PassResult:
        contexts, deadline = self.demo.spec_contexts(), time.monotonic() + SETTLE_TIMEOUT
        removed = [self.key] if is_removed else []
        while True:
            self.fault_injector.surfaced_errors.clear()
            reported = len(self.events)
            done = next(reconcilers).reconcile(contexts, removed_specs=removed)
            self.reporting_errors += self._check_reports(done, self.events[reported:])
            if done.requeue_after is None:
                return done
            if time.monotonic() > deadline:
                raise UnsettledError([[c.message for c in status.conditions] for status in done.statuses])
            self.clock.advance(max(done.requeue_after, MIN_PASS_INTERVAL))
            time.sleep(min(done.requeue_after, 1) * 0.02)

    def _check_reports(self, done: PassResult, events: list[Event]) -> Iterator[str]:
        """What a pass should have said of the errors that came up in it, and hasn't."""
        texts = [f"{event.reason} {event.message}" for event in events if event.type == "Warning"]
        states = [f"{c.reason} {c.message}" for status in done.statuses for c in status.conditions]
        states += [f"{r.state} {r.message}" for status in done.statuses for r in status.resources]
        yield from (f"told a secret: {text}" for text in texts + states if SECRET in text)
        for site, error in self.fault_injector.surfaced_errors:
            if site.caller in ("store", "lease") and self.fault_injector.fault is not Fault.DENIED:
                continue  # they have ways of their own to go on
            ready = all(map(is_ready, done.statuses))
            if not any(site.call in text for text in (*texts, *states)):
                yield f"{site}: nobody is told of {error}"
            elif ready and done.requeue_after is None:
                yield f"{site}: all is said to be Ready, in spite of {error}"
            elif not ready and (code := exit_code(done.statuses)) != self._expected_exit_code():
                yield f"{site}: the exit code is {code}, after {error}"

    def _expected_exit_code(self) -> int:
        """What the shell is told: that it failed where only a person can help, that it is under way elsewhere."""
        return 4 if self.fault_injector.fault is Fault.DENIED else 9

    def _check_final_error(self, error: MoorageError) -> None:
        """An error that ends a run must say which call it was; one of a single type must end none."""
        if SECRET in str(error):
            self.reporting_errors.append(f"told a secret: {error}")
        calls = {site.call for site, _ in self.fault_injector.surfaced_errors}
        whole = ("store", "lease", "door", "s3/bucket")
        self.reporting_errors += [
            f"{site} ends the run"
            for site, reported in self.fault_injector.surfaced_errors
            if reported is error and site.caller not in whole
        ]
        if not isinstance(error, LeaseHeldError) and not any(call in str(error) for call in calls):
            self.reporting_errors.append(f"ended by {error!r}, which names none of {sorted(calls)}")
