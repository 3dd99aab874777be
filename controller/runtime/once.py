"""`reconcile --once`: pass after pass until everything is as it should be, failed, or waits for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from controller.core.status import Status
from controller.errors import DeadlineError, FailedError
from controller.reconcile import Pass

# A step that is planned and done again and again changes nothing: AWS stores something other than what was sent.
_REPEATS = 5


@dataclass(frozen=True)
class Clock:
    """Time, as the passes between need it. `now` is monotonic, in seconds."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


@dataclass
class Run:
    """What a run came to: the last status of each spec, and the steps done by action."""

    statuses: tuple[Status, ...] = ()
    steps: dict[str, int] = field(default_factory=dict)

    def add(self, done: Pass) -> None:
        """Count a pass in."""
        self.statuses = done.statuses
        for step in done.done:
            self.steps[step.action.value] = self.steps.get(step.action.value, 0) + 1

    def summary(self, calls: Mapping[str, int]) -> dict[str, object]:
        """The last line of `--events` and of `-o json`."""
        ready = sum(is_ready(status) for status in self.statuses)
        return {
            "specs": len(self.statuses),
            "ready": ready,
            "steps": dict(sorted(self.steps.items())),
            "calls": dict(calls),
        }


def run_once(
    reconcile: Callable[[], Pass],
    clock: Clock,
    *,
    timeout: float,
    wait: bool = True,
    pace: float = 1.0,
    watch: Callable[[Pass], None] = lambda _: None,
) -> Run:
    """Reconcile until nothing is under way any more; with `wait` false, one pass.

    `pace` scales the pauses (the embedded AWS is faster than AWS); `watch` sees every pass. Raises DeadlineError after
    `timeout` seconds, and FailedError when the same steps are done over and over.
    """
    deadline = clock.now() + timeout
    run, repeated, last = Run(), 0, ""
    while True:
        done = reconcile()
        run.add(done)
        watch(done)
        if done.after is None or not wait:
            return run
        repeated = repeated + 1 if done.done and done.plan.digest == last else 0
        last = done.plan.digest
        if repeated >= _REPEATS:
            raise FailedError("the same steps are needed again after they were done", why=_fields(done))
        if clock.now() + done.after * pace > deadline:
            raise DeadlineError(f"not done after {timeout:g} s", why=_waiting(run.statuses), hint="run again to go on")
        clock.sleep(done.after * pace)


def is_ready(status: Status) -> bool:
    """Whether the spec's Ready condition is true."""
    ready = status.condition("Ready")
    return ready is not None and ready.status == "True"


def exit_code(statuses: Iterable[Status]) -> int:
    """0 when all are ready; 4 when one failed; 5 when a gate, an approval or a policy holds one back; 9 when one is under way."""
    codes = {_code(status) for status in statuses}
    return next((code for code in (4, 5, 9) if code in codes), 0)


def _code(status: Status) -> int:
    if is_ready(status):
        return 0
    for condition, code in (("Degraded", 4), ("Progressing", 9)):
        found = status.condition(condition)
        if found is not None and found.status == "True":
            return code
    return 5


def _fields(done: Pass) -> str:
    return "; ".join(
        f"{step.action} {step.node.key}: {', '.join(change.path for change in step.changes)}" for step in done.done
    )


def _waiting(statuses: Iterable[Status]) -> str:
    found = [(status.owner.name, status.condition("Ready")) for status in statuses]
    return "; ".join(
        f"{name}: {ready.message or ready.reason}" for name, ready in found if ready and ready.status != "True"
    )
