"""The status of specs: verdicts on nodes, conditions on specs, events. Terms and rules are Kubernetes'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from controller.core.history import PROGRESSING, READY, Revision
from controller.core.values import Key, Value
from controller.errors import MoorageError, Remedy

ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Ready:
    """The node is as it should be; its dependents may proceed."""

    reason: str = "Ready"
    message: str = ""


@dataclass(frozen=True)
class Waiting:
    """The node is in progress; look again after so many seconds.

    `failing` marks an error that may pass, retried with growing pauses.
    """

    reason: str
    message: str = ""
    requeue_after: float = 5.0
    failing: bool = False


@dataclass(frozen=True)
class Failed:
    """The node failed, and stays so until the spec changes or a person acts."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Held:
    """A gate, an approval or a policy holds the node; what serves keeps serving."""

    reason: str
    message: str = ""


Verdict = Ready | Waiting | Failed | Held


def verdict_for_error(error: MoorageError) -> Verdict:
    """Return what an error means for the node that it concerns: Waiting if waiting helps, else Held or Failed."""
    if error.remedy in (Remedy.SOON, Remedy.DEPENDENCY):
        return Waiting(reason_for_error(error), str(error), getattr(error, "retry_after", None) or 2.0, failing=True)
    return (Held if error.exit_code == 5 else Failed)(reason_for_error(error), str(error))


def reason_for_error(error: MoorageError) -> str:
    """Return an error's class as the reason of a condition, such as `AnswerLost` or `Denied`."""
    return type(error).__name__.removesuffix("Error")


@dataclass(frozen=True)
class Condition:
    """One aspect of a spec's status, as in Kubernetes. Times are RFC 3339, UTC."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0


@dataclass(frozen=True)
class ResourceState:
    """One line of the resource table: `id` is the name or ARN in AWS."""

    key: Key
    id: str
    state: str
    message: str = ""


@dataclass(frozen=True)
class Status:
    """A spec's status. `facts` holds endpoint, model and image, once known; `history` is oldest first."""

    owner: Key
    observed_generation: int
    spec_digest: str
    conditions: tuple[Condition, ...] = ()
    facts: Mapping[str, Value] = field(default_factory=dict)
    resources: tuple[ResourceState, ...] = ()
    history: tuple[Revision, ...] = ()

    def find_condition(self, condition_type: str) -> Condition | None:
        """Return the condition of that type; None if there is none."""
        return next((condition for condition in self.conditions if condition.type == condition_type), None)


@dataclass(frozen=True)
class Event:
    """Something that happened to a spec. `time` is RFC 3339, UTC; `key` is the resource, if it concerns one."""

    time: str
    owner: Key
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    key: Key | None = None


class EventSink(Protocol):
    """Receives events as they happen, from several threads at once."""

    def emit(self, event: Event) -> None:
        """Take one event; must return quickly and not raise."""


class DiscardedEvents:
    """An EventSink that drops every event."""

    def emit(self, event: Event) -> None:
        """Drop the event."""


def derive_conditions(
    aspects: Mapping[str, Sequence[Verdict]], previous: Status | None, now: str, generation: int, source_error: str = ""
) -> tuple[Condition, ...]:
    """Return a spec's conditions from the verdicts on its nodes.

    `aspects` maps a condition (`Trained`, `Approved`, `Deployed`, `Exposed`) to its nodes' verdicts; `""` has those of
    all other nodes. `Ready`, `Progressing`, `Degraded` and `Stalled` follow from all of them. `source_error` says why
    newer specs can't be read: the declared spec may be Ready, and is Degraded as well.
    """
    everything = [verdict for verdicts in aspects.values() for verdict in verdicts]
    reported = [_aspect_condition(name, verdicts) for name, verdicts in aspects.items() if name]
    return tuple(
        _keep_transition_time(condition, previous, now, generation)
        for condition in (*_summary_conditions(everything, source_error), *reported)
    )


def build_revision(status: Status, now: str) -> Revision:
    """Return the revision that a status describes; a status without conditions counts as ready."""
    model = status.facts.get("model") or {}
    result, message = _revision_result(status)
    return Revision(
        generation=status.observed_generation,
        time=now,
        commit=str(status.facts.get("commit") or ""),
        author=str(status.facts.get("author") or ""),
        version=model.get("version") or 0,
        image=str(status.facts.get("image") or ""),
        task_definition=str(status.facts.get("taskDefinition") or ""),
        result=result,
        message=message,
    )


def _revision_result(status: Status) -> tuple[str, str]:
    ready, degraded, progressing = (status.find_condition(kind) for kind in ("Ready", "Degraded", "Progressing"))
    if ready is None or ready.status == "True":
        return READY, ""
    if progressing is not None and progressing.status == "True" and (degraded is None or degraded.status != "True"):
        return PROGRESSING, ""
    return ready.reason, ready.message


def _aspect_condition(name: str, verdicts: Sequence[Verdict]) -> Condition:
    worst = _most_severe(verdicts)
    if isinstance(worst, Ready):
        return Condition(name, "True", worst.reason if worst.reason != "Ready" else name, worst.message)
    return Condition(name, "False", worst.reason, worst.message)


def _summary_conditions(verdicts: Sequence[Verdict], source_error: str) -> list[Condition]:
    worst = _most_severe(verdicts)
    waiting = next((verdict for verdict in verdicts if isinstance(verdict, Waiting)), None)
    failed = next((verdict for verdict in verdicts if isinstance(verdict, Failed)), None)
    return [
        Condition("Ready", "True", "Reconciled")
        if isinstance(worst, Ready)
        else Condition("Ready", "False", worst.reason, worst.message),
        Condition("Progressing", "True", waiting.reason, waiting.message)
        if waiting
        else Condition("Progressing", "False", "Idle"),
        _degraded_condition(failed, source_error),
        Condition("Stalled", "True", failed.reason, failed.message)
        if failed and not waiting
        else Condition("Stalled", "False", "NotStalled"),
    ]


def _degraded_condition(failed: Failed | None, source_error: str) -> Condition:
    if failed is not None:
        return Condition("Degraded", "True", failed.reason, failed.message)
    if source_error:
        return Condition("Degraded", "True", "SourceFailed", source_error)
    return Condition("Degraded", "False", "AsDeclared")


def _most_severe(verdicts: Sequence[Verdict]) -> Verdict:
    for grade in (Failed, Held, Waiting):
        for verdict in verdicts:
            if isinstance(verdict, grade):
                return verdict
    return next((verdict for verdict in verdicts if verdict.reason != "Ready"), Ready())


def _keep_transition_time(condition: Condition, previous: Status | None, now: str, generation: int) -> Condition:
    earlier = previous.find_condition(condition.type) if previous else None
    unchanged = earlier is not None and earlier.status == condition.status
    time = earlier.last_transition_time if earlier is not None and unchanged else now
    return Condition(condition.type, condition.status, condition.reason, condition.message, time, generation)
