"""What every store owes, whatever its home."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from controller.core.record import Record
from controller.core.status import Condition, Event, ResourceState, Status
from controller.core.values import Blob, Key

OWNER = Key("prod", "ModelService", "housing-model")
KEY = Key("prod", "ecs/service", "housing-model")
RECORD = Record(
    key=KEY,
    identity={"cluster": "c", "name": "s"},
    owner=OWNER,
    fields={"count": 1, "ratio": 0.5, "on": True, "none": None, "tags": {"a": "ü"}, "list": [1, {"x": []}]},
    outputs={"arn": "arn:aws:ecs"},
    edges=(Key("prod", "ecs/cluster", "/"), Key("prod", "iam/role", "housing-model/task")),
    pending={"count": 2},
    retain=True,
)
STATUS = Status(
    owner=OWNER,
    observed_generation=3,
    spec_digest="d",
    conditions=(Condition("Ready", "False", "Waiting", "soon", "2026-01-01T00:00:00Z", 3),),
    facts={"endpoint": "https://x", "model": {"version": 1}},
    resources=(ResourceState(KEY, "arn", "Ready"), ResourceState(KEY._replace(name="z"), "", "Waiting", "m")),
)


def event(number: int, owner: Key = OWNER, key: Key | None = KEY) -> Event:
    return Event("2026-01-01T00:00:00Z", owner, "Normal", "Created", str(number), key)


def test_stored_record_is_read_back_equal(store):
    """Every field and every JSON type survives: a tuple of keys, null, True, an empty list, letters beyond ASCII."""
    store.put_record(RECORD)
    assert list(store.list_records("prod")) == [RECORD]
    store.save_status(STATUS)
    assert store.get_status(OWNER) == STATUS
    store.emit(event(1))
    store.emit(event(2, key=None))
    assert list(store.list_events()) == [event(1), event(2, key=None)]


def test_empty_store_returns_nothing(store):
    """And says so without complaint."""
    assert list(store.list_records("prod")) == list(store.list_statuses("prod")) == list(store.list_events()) == []
    assert store.get_status(OWNER) is None
    store.delete_record(RECORD)
    store.delete_status(OWNER)


def test_put_replaces_by_id_and_keeps_the_order(store):
    """The order is that of the first put; key and identity make the id, all else may change."""
    others = [replace(RECORD, identity={"name": str(number)}) for number in range(3)]
    for record in others:
        store.put_record(record)
    store.put_record(replace(others[0], fields={"new": 1}, pending=None))
    assert [record.identity["name"] for record in store.list_records("prod")] == ["0", "1", "2"]
    assert next(iter(store.list_records("prod"))).fields == {"new": 1}
    store.delete_record(others[1])
    assert [record.identity["name"] for record in store.list_records("prod")] == ["0", "2"]


def test_environments_are_isolated(store):
    """What belongs to one is not seen from another."""
    away = Key("test", "ecs/service", "housing-model")
    store.put_record(RECORD)
    store.put_record(replace(RECORD, key=away))
    store.save_status(STATUS)
    store.save_status(replace(STATUS, owner=OWNER._replace(environment="test")))
    assert [record.key for record in store.list_records("test")] == [away]
    assert [status.owner.environment for status in store.list_statuses("prod")] == ["prod"]


def test_statuses_come_by_kind_and_name(store):
    """Whatever the order in which they were saved; the last one saved counts."""
    owners = [Key("prod", kind, name) for kind in ("ModelService", "Environment") for name in ("b", "a")]
    for owner in owners:
        store.save_status(replace(STATUS, owner=owner))
    store.save_status(replace(STATUS, owner=owners[0], spec_digest="newer"))
    assert [status.owner for status in store.list_statuses("prod")] == sorted(owners)
    assert store.get_status(owners[0]).spec_digest == "newer"


def test_a_forgotten_status_leaves_its_events(store):
    """A deleted spec's history can still be read."""
    store.save_status(STATUS)
    store.emit(event(1))
    store.delete_status(OWNER)
    assert store.get_status(OWNER) is None
    assert len(store.list_events(OWNER)) == 1


def test_events_are_the_newest_oldest_first(store):
    """Of one spec or of all, as many as asked for."""
    other = OWNER._replace(name="other")
    for number in range(6):
        store.emit(event(number, OWNER if number % 2 else other))
    assert [found.message for found in store.list_events(limit=3)] == ["3", "4", "5"]
    assert [found.message for found in store.list_events(OWNER, limit=2)] == ["3", "5"]
    assert list(store.list_events(OWNER, limit=0)) == []


def test_event_count_is_limited(store):
    """The oldest go; a store does not grow for ever."""
    for number in range(30):
        store.emit(event(number))
    assert [found.message for found in store.list_events(limit=1000)] == [str(number) for number in range(10, 30)]


def test_stored_values_are_copies(store):
    """Changing a mapping afterwards changes no memory of the store's."""
    fields = {"list": [1]}
    store.put_record(replace(RECORD, fields=fields))
    fields["list"].append(2)
    next(iter(store.list_records("prod"))).fields["list"].append(3)
    assert next(iter(store.list_records("prod"))).fields == {"list": [1]}


def test_contents_are_kept_by_digest_only(store):
    """A blob among the fields is remembered by what identifies it."""
    store.put_record(replace(RECORD, fields={"body": Blob("abc", 3, lambda: b"xyz")}))
    assert next(iter(store.list_records("prod"))).fields == {"body": "abc"}


def test_threads_lose_no_write(store):
    """Eight threads put, drop, save and emit at once: each sees its own, and all is there at the end."""

    def work(thread: int) -> None:
        for number in range(15):
            record = replace(RECORD, identity={"thread": thread, "number": number})
            store.put_record(record)
            assert record in store.list_records("prod")
            store.put_record(replace(record, pending=None))
            store.delete_record(replace(record, identity={"thread": thread, "number": number - 1}))
            store.save_status(replace(STATUS, owner=OWNER._replace(name=str(thread)), observed_generation=number))
            store.emit(event(number))

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, thread) for thread in range(8)]:
            done.result()
    assert sorted(record.identity["thread"] for record in store.list_records("prod")) == list(range(8))
    assert {status.observed_generation for status in store.list_statuses("prod")} == {14}
    assert len(store.list_events(limit=1000)) == 20


def test_records_of_some_specs(store):
    """Only those of the specs that are asked for come, in their order; a single one is found by its id."""
    other = OWNER._replace(name="ünlike-model")
    theirs = replace(RECORD, key=KEY._replace(name="ünlike-model"), owner=other)
    store.put_record(RECORD)
    store.put_record(theirs)
    assert list(store.list_records("prod", {other})) == [theirs]
    assert list(store.list_records("prod", [other, OWNER])) == [RECORD, theirs]
    assert list(store.list_records("prod", ())) == []
    assert store.get_record(theirs.id) == theirs
    assert store.get_record("0" * 64) is None
