"""What a spec went through: a revision for each generation, and for each model or image that it served. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

READY = "Ready"
PROGRESSING = "Progressing"
SUPERSEDED = "Superseded"


@dataclass(frozen=True)
class Revision:
    """What was declared, what it served, and what came of it.

    `time` is when it began (RFC 3339, UTC); `author` whose commit it was; `version` is 0, `image` and `task_definition`
    (an ARN) are empty as long as nothing serves. `result` is Ready, Progressing, Superseded (something newer was declared
    before it was done), or the reason why it is not Ready.
    """

    generation: int
    time: str
    commit: str = ""
    author: str = ""
    version: int = 0
    image: str = ""
    task_definition: str = ""
    result: str = PROGRESSING
    message: str = ""


def update_history(history: Sequence[Revision], current: Revision, limit: int) -> tuple[Revision, ...]:
    """The history, oldest first, with how things stand `now`: in its last revision, or as a new one.

    What was ready once stays so in the history, whatever drifts or breaks later: that is the status's business. Kept are
    the last `limit` revisions, and as many ready ones, however many failed since.
    """
    last = history[-1] if history else None
    if last is None:
        return (current,)
    served = (last.version, last.image) == (current.version, current.image)
    if last.generation == current.generation and (last.result != READY or served):
        began = replace(current, time=last.time, commit=last.commit, author=last.author)
        return tuple(history) if last.result == READY else _trim_history((*history[:-1], began), limit)
    ended = replace(last, result=SUPERSEDED, message="") if last.result == PROGRESSING else last
    return _trim_history((*history[:-1], ended, current), limit)


def _trim_history(history: Sequence[Revision], limit: int) -> tuple[Revision, ...]:
    ready = [number for number, revision in enumerate(history) if revision.result == READY]
    kept = {*range(len(history))[-limit:], *ready[-limit:]}
    return tuple(revision for number, revision in enumerate(history) if number in kept)
