"""What the store remembers of one AWS object; the write-ahead journal is its `pending` part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.values import Key, Value, digest


@dataclass(frozen=True)
class Record:
    """One object we made or took over.

    `fields` is what was applied last, `outputs` what it gave, `edges` the nodes it was built on (deletion runs
    against them), `retain` whether it outlives its spec. `pending` is set from before a call is sent until its answer is recorded: the fields under way, or
    `{}` for a deletion. All values are JSON.
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
        """One key can have had several identities (a renamed object, an earlier training job): each is a record."""
        return digest(self.key, self.identity)

    @property
    def should_exist(self) -> bool:
        """Whether the object should be there: it was applied, no call is under way, and it isn't what comes to an end."""
        return self.pending is None and self.outputs.get("finished") is not True

    @property
    def confirmed_fields(self) -> Mapping[str, Value]:
        """The fields it had when it was last found as applied; none while a call is under way."""
        return {} if self.pending is not None else self.fields

    @property
    def managed_fields(self) -> Mapping[str, Value]:
        """Every field we may have set: after a crash in mid-call the old and the new ones."""
        union: Mapping[str, Value] = _merge_fields(self.fields, self.pending or {})
        return union


class RecordIndex(Collection[Record]):
    """Some records, in the order in which they were first put, found by their keys without a walk over all."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._all = tuple(records)
        self._by_key: dict[Key, list[Record]] = {}
        for record in self._all:
            self._by_key.setdefault(record.key, []).append(record)

    def for_key(self, key: Key) -> Sequence[Record]:
        """Those of a key, oldest first."""
        return self._by_key.get(key, ())

    def __iter__(self) -> Iterator[Record]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, record: object) -> bool:
        return record in self._all


def _merge_fields(old: Value, new: Value) -> Value:
    """Both, at every depth: a tag that the call under way was to take off is still ours to take off."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    return {**old, **{name: _merge_fields(old.get(name), value) for name, value in new.items()}}
