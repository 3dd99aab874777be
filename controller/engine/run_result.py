"""What a run came to, and what the shell is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.status import Status
from controller.core.values import Key
from controller.reconcile import PassResult


@dataclass
class RunResult:
    """What a run came to: the last status of each spec, what specs that are gone wait for, and the steps done by action."""

    latest: dict[Key, Status] = field(default_factory=dict)
    pending_deletions: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    @property
    def statuses(self) -> Sequence[Status]:
        """By environment, each Environment before its ModelServices."""
        return [self.latest[owner] for owner in sorted(self.latest)]

    def add(self, key: Key, result: PassResult) -> None:
        """Count a spec's pass in."""
        self.pending_deletions[key] = () if result.statuses else result.waiting_for
        self.latest |= {status.owner: status for status in result.statuses}
        for owner in result.deleted_specs:
            self.latest.pop(owner, None)
        for step in result.completed_steps:
            self.steps[step.action.value] = self.steps.get(step.action.value, 0) + 1

    @property
    def waiting_message(self) -> str:
        """What the specs that aren't ready, and those that aren't gone yet, wait for, in one line."""
        leaving = (f"{key.name}: {told}" for key, waits in sorted(self.pending_deletions.items()) for told in waits)
        return "; ".join([*filter(None, [describe_waiting(self.statuses)]), *leaving])

    def summary(self, calls: Mapping[str, int]) -> dict[str, object]:
        """The last line of `--events` and of `-o json`."""
        ready = sum(is_ready(status) for status in self.statuses)
        return {
            "specs": len(self.statuses),
            "ready": ready,
            "steps": dict(sorted(self.steps.items())),
            "calls": dict(calls),
        }


def is_ready(status: Status) -> bool:
    """Whether the spec's Ready condition is true."""
    ready = status.find_condition("Ready")
    return ready is not None and ready.status == "True"


def exit_code(statuses: Iterable[Status]) -> int:
    """0 when all are ready; 4 when one failed; 5 when a gate, an approval or a policy holds one back; 9 when one is under way."""
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
    """What the specs that aren't ready wait for, in one line."""
    found = [(status.owner.name, status.find_condition("Ready")) for status in statuses]
    return "; ".join(
        f"{name}: {ready.message or ready.reason}" for name, ready in found if ready and ready.status != "True"
    )
