"""A spec's history: a revision for each generation, and for each model or image that it served. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

READY = "Ready"
PROGRESSING = "Progressing"
SUPERSEDED = "Superseded"


@dataclass(frozen=True)
class Revision:
    """What was declared at a time, what served, and the result.

    `time` is when it began (RFC 3339, UTC), `author` the author of the commit. While nothing serves, `version` is 0,
    and `image` and `task_definition` (an ARN) are empty. `result` is Ready, Progressing, Superseded (a newer revision
    was declared before it was done), or the reason why it isn't Ready.
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
    """Return the history, oldest first, with the `current` state in its last revision or as a new one.

    A revision that was ready once stays ready in the history, whatever drifts or breaks later: that is reported by the
    status. The history keeps the last `limit` revisions, and as many ready ones, however many failed since.
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
