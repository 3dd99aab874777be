"""Find what is still needed: everything reachable from what serves, what served lately, and pins. Pure.

One record leads to another if the other object's name (its ARN, URL or digest) occurs in the fields of the first: a
task definition names an image, the image a bundle, the bundle its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.core.history import READY, Revision, update_history
from controller.core.record import Record
from controller.core.values import iter_strings


@dataclass(frozen=True)
class RetainedHistory:
    """What a spec's policy keeps beyond the desired objects.

    `revisions` are those of its history that a rollback may return to. Nothing of the `retained_categories`
    (`artifacts`, `registry`, …) is ever collected.
    """

    revisions: Sequence[Revision] = ()
    retained_categories: frozenset[str] = frozenset()

    @property
    def served_names(self) -> frozenset[str]:
        """The names in AWS of what served in these revisions."""
        found = (name for revision in self.revisions for name in (revision.image, revision.task_definition))
        return frozenset(filter(None, found))


def retain_history(
    history: Sequence[Revision], current: Revision, limit: int, retained_categories: Collection[str]
) -> RetainedHistory | None:
    """Return what is kept in the `current` state: the last `limit` revisions that were ready.

    Returns None if no revision was ready before: with a lost store it is unknown what served, and nothing may be
    collected.
    """
    if not any(revision.result == READY for revision in history):
        return None
    ready = [revision for revision in update_history(history, current, limit) if revision.result == READY]
    return RetainedHistory(ready[-limit:], frozenset(retained_categories))


def find_reachable(
    roots: Iterable[str], records: Collection[Record], handles: Mapping[str, Collection[str]]
) -> set[str]:
    """Return the ids of the records that some names lead to.

    `handles` lists the outputs that name an object, by kind.
    """
    named: dict[str, list[Record]] = {}
    for record in records:
        for name in iter_names(record, handles.get(record.key.kind, ())):
            named.setdefault(name, []).append(record)
    found: set[str] = set()
    todo = set(roots)
    while todo:
        for record in named.pop(todo.pop(), ()):
            found.add(record.id)
            todo.update(iter_strings([record.identity, record.managed_fields]))
    return found


def iter_names(record: Record, handles: Collection[str]) -> Iterator[str]:
    """Yield the names by which others refer to a record's object."""
    return iter_strings([record.outputs.get(handle) for handle in handles])
