"""What is still of use: all that can be reached from what serves, from what served lately, and from pins. Pure.

One record leads to another where a name of the other's object (its ARN, its URL, its digest) stands in what the first
one was made of: a task definition names an image, the image a bundle, the bundle its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from controller.core.history import READY, Revision, update_history
from controller.core.record import Record
from controller.core.values import iter_strings


@dataclass(frozen=True)
class RetainedHistory:
    """What a spec's policy keeps beyond what is wanted now.

    `revisions` are those of its history that a rollback may go back to; of the categories `retained` (`artifacts`,
    `registry`, …) nothing is ever collected.
    """

    revisions: Sequence[Revision] = ()
    retained_categories: frozenset[str] = frozenset()

    @property
    def served_names(self) -> frozenset[str]:
        """What served in these revisions, as AWS calls it."""
        found = (name for revision in self.revisions for name in (revision.image, revision.task_definition))
        return frozenset(filter(None, found))


def retain_history(
    history: Sequence[Revision], current: Revision, limit: int, retained_categories: Collection[str]
) -> RetainedHistory | None:
    """What is kept once things stand as `now` says: the last `limit` revisions that were ready.

    None where nothing was ready `before`: whoever lost the store doesn't know what served, and must not collect.
    """
    if not any(revision.result == READY for revision in history):
        return None
    ready = [revision for revision in update_history(history, current, limit) if revision.result == READY]
    return RetainedHistory(ready[-limit:], frozenset(retained_categories))


def find_reachable(
    roots: Iterable[str], records: Collection[Record], handles: Mapping[str, Collection[str]]
) -> set[str]:
    """The ids of the records that some names lead to. `handles` says, by kind, which outputs name an object."""
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
    """What others call a record's object."""
    return iter_strings([record.outputs.get(handle) for handle in handles])
