"""The result of a run, and its exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.status import Status
from controller.core.values import Key
from controller.reconcile import PassResult


@dataclass
class RunResult:
    """The last status of each spec, what removed specs wait for, and the number of completed steps by action."""

    latest: dict[Key, Status] = field(default_factory=dict)
    pending_deletions: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    @property
    def statuses(self) -> Sequence[Status]:
        """The statuses by environment, each Environment before its ModelServices."""
        return [self.latest[owner] for owner in sorted(self.latest)]

    def add(self, key: Key, result: PassResult) -> None:
        """Add the result of one spec's pass."""
        self.pending_deletions[key] = () if result.statuses else result.waiting_for
        self.latest |= {status.owner: status for status in result.statuses}
        for owner in result.deleted_specs:
            self.latest.pop(owner, None)
        for step in result.completed_steps:
            self.steps[step.action.value] = self.steps.get(step.action.value, 0) + 1

    @property
    def waiting_message(self) -> str:
        """What the specs that aren't ready, and the removed ones that still have objects, wait for, in one line."""
        deletions = (f"{key.name}: {wait}" for key, waits in sorted(self.pending_deletions.items()) for wait in waits)
        return "; ".join([*filter(None, [describe_waiting(self.statuses)]), *deletions])

    def summary(self, calls: Mapping[str, int]) -> dict[str, object]:
        """Return the last line of `--events` and of `-o json`."""
        ready = sum(is_ready(status) for status in self.statuses)
        return {
            "specs": len(self.statuses),
            "ready": ready,
            "steps": dict(sorted(self.steps.items())),
            "calls": dict(calls),
        }


def is_ready(status: Status) -> bool:
    """Return whether the spec's Ready condition is true."""
    ready = status.find_condition("Ready")
    return ready is not None and ready.status == "True"


def exit_code(statuses: Iterable[Status]) -> int:
    """Return the exit code of a run.

    0 if all specs are ready, 4 if one failed, 5 if a gate, an approval or a policy holds one, 9 if one is in progress.
    """
    codes = {_exit_code_of(status) for status in statuses}
    return next((code for code in (4, 5, 9) if code in codes), 0)


def _exit_code_of(status: Status) -> int:
    if is_ready(status):
        return 0
    for condition, code in (("Degraded", 4), ("Progressing", 9)):
        found = status.find_condition(condition)
        if found is not None and found.status == "True":
            return code
    return 5


def describe_waiting(statuses: Iterable[Status]) -> str:
    """Return in one line what the specs that aren't ready wait for."""
    found = [(status.owner.name, status.find_condition("Ready")) for status in statuses]
    return "; ".join(
        f"{name}: {ready.message or ready.reason}" for name, ready in found if ready and ready.status != "True"
    )
