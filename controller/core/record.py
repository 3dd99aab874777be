"""What the store remembers of one AWS object; `pending` is its part of the write-ahead journal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.values import Key, Value, digest


@dataclass(frozen=True)
class Record:
    """One object that Moorage created or adopted.

    `fields` was applied last, `outputs` was returned, `edges` are the nodes that it depends on (deletion runs against
    them), and `retain` says whether it outlives its spec. `pending` is set from before a call is sent until its
    response is recorded: the fields being applied, or `{}` for a deletion. All values are JSON.
    """

    key: Key
    identity: Mapping[str, Value]
    owner: Key
    fields: Mapping[str, Value] = field(default_factory=dict)
    outputs: Mapping[str, Value] = field(default_factory=dict)
    edges: tuple[Key, ...] = ()
    pending: Mapping[str, Value] | None = None
    retain: bool = False

    @property
    def id(self) -> str:
        """The id of the record.

        One key can have several identities over time (a renamed object, an earlier training job), each with its own
        record.
        """
        return digest(self.key, self.identity)

    @property
    def should_exist(self) -> bool:
        """Whether the object should exist: it was applied, no call is in progress, and it isn't a job that ends."""
        return self.pending is None and self.outputs.get("finished") is not True

    @property
    def confirmed_fields(self) -> Mapping[str, Value]:
        """The fields of the object when it was last found as applied; none while a call is in progress."""
        return {} if self.pending is not None else self.fields

    @property
    def managed_fields(self) -> Mapping[str, Value]:
        """Every field that Moorage may have set: after a crash during a call, the old and the new ones."""
        union: Mapping[str, Value] = _merge_fields(self.fields, self.pending or {})
        return union


class RecordIndex(Collection[Record]):
    """Records in the order in which they were first stored, indexed by key."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._all = tuple(records)
        self._by_key: dict[Key, list[Record]] = {}
        for record in self._all:
            self._by_key.setdefault(record.key, []).append(record)

    def for_key(self, key: Key) -> Sequence[Record]:
        """Return the records of a key, oldest first."""
        return self._by_key.get(key, ())

    def __iter__(self) -> Iterator[Record]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, record: object) -> bool:
        return record in self._all


def _merge_fields(old: Value, new: Value) -> Value:
    """Merge two values at every depth: a tag that an interrupted call was to remove may still have to be removed."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    return {**old, **{name: _merge_fields(old.get(name), value) for name, value in new.items()}}
