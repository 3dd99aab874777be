"""What only a bucket can go through: no bucket yet, other writers, lost answers, objects that people edited
or deleted.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from controller.core.record import Record
from controller.core.status import Event, Status
from controller.core.values import Key
from controller.errors import AnswerLostError, ConflictError, StoreError, ThrottledError, UnavailableError
from controller.store.s3 import S3Store

OWNER = Key("prod", "ModelService", "housing-model")
OTHER = OWNER._replace(name="wine-model")
RECORD = Record(Key("prod", "ecs/service", "housing-model"), {"name": "s"}, OWNER, {"count": 1})
THEIRS = Record(Key("prod", "ecs/service", "wine-model"), {"name": "w"}, OTHER)
NAME = "moorage/state/prod/ModelService/housing-model.json"


def event(message: str, owner: Key = OWNER) -> Event:
    return Event("2026-01-01T00:00:00Z", owner, "Normal", "Created", message)


def puts(bucket) -> int:
    return sum(call.startswith("put") for call in bucket.calls)


def test_a_fresh_machine_knows_what_was_applied(bucket):
    """Records, status and events, in the order in which they came, over several specs.

    One listing and one read each.
    """
    first = S3Store(bucket)
    first.put_record(RECORD)
    first.put_record(THEIRS)
    first.put_record(replace(RECORD, pending={"count": 2}))
    first.emit(event("1", OTHER))
    first.emit(event("2"))
    first.save_status(Status(OWNER, 3, "digest"))
    first.close()
    bucket.calls.clear()
    second = S3Store(bucket)
    assert list(second.list_records("prod")) == [replace(RECORD, pending={"count": 2}), THEIRS]
    assert second.get_status(OWNER) == Status(OWNER, 3, "digest")
    assert [found.message for found in second.list_events()] == ["1", "2"]
    assert sorted(bucket.calls) == sorted(["list", f"get {NAME}", f"get {NAME.replace('housing', 'wine')}"])


def test_a_refresh_reads_only_what_is_new(bucket):
    """A quiet pass costs one listing; a change elsewhere one read; a deletion none."""
    mine, theirs = S3Store(bucket), S3Store(bucket)
    mine.put_record(RECORD)
    mine.put_record(THEIRS)
    bucket.calls.clear()
    mine.refresh()
    assert bucket.calls == ["list"]
    theirs.put_record(replace(RECORD, fields={"count": 2}))
    bucket.calls.clear()
    mine.refresh()
    assert bucket.calls == ["list", f"get {NAME}"]
    assert next(iter(mine.list_records("prod"))).fields == {"count": 2}
    del bucket.objects[NAME]
    mine.refresh()
    assert list(mine.list_records("prod")) == [THEIRS]


def test_nothing_is_written_that_changes_nothing(bucket):
    """Dropping and forgetting what isn't there, and an event alone, which goes with the next change or at the end."""
    store = S3Store(bucket)
    store.delete_record(RECORD)
    store.delete_status(OWNER)
    store.emit(event("waits"))
    assert puts(bucket) == 0
    assert [found.message for found in store.list_events()] == ["waits"]
    store.close()
    assert [found.message for found in S3Store(bucket).list_events()] == ["waits"]
    store.put_record(RECORD)
    assert puts(bucket) == 2


def test_many_waiting_events_are_written_before_they_are_too_many(bucket):
    """A spec that fails for a week without a change of status leaves its warnings for others to read."""
    store = S3Store(bucket)
    for number in range(60):
        store.emit(event(str(number)))
    assert len(S3Store(bucket).list_events()) >= 50


def test_another_writers_change_is_kept_beside_ours(bucket):
    """Two stores that read the same object each add a record: both are there, whoever comes second."""
    mine, theirs = S3Store(bucket), S3Store(bucket)
    assert list(mine.list_records("prod")) == list(theirs.list_records("prod")) == []
    theirs.put_record(replace(RECORD, identity={"name": "theirs"}))
    mine.put_record(RECORD)
    assert {record.identity["name"] for record in S3Store(bucket).list_records("prod")} == {"theirs", "s"}
    assert len(mine.list_records("prod")) == 2
    theirs.delete_record(RECORD)
    theirs.refresh()
    theirs.delete_record(RECORD)
    mine.save_status(Status(OWNER, 1, "d"))
    assert [record.identity["name"] for record in mine.list_records("prod")] == ["theirs"]


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("error", [AnswerLostError("lost"), ConflictError("409", code="ConditionalRequestConflict")])
def test_a_write_without_an_answer_is_settled_by_reading(bucket, error, done):
    """Done or not done: the record is there once, and no event is there twice."""
    store = S3Store(bucket)
    store.emit(event("once"))
    bucket.faults = [(error, done)]
    store.put_record(RECORD)
    assert puts(bucket) == (1 if done else 2)
    fresh = S3Store(bucket)
    assert list(fresh.list_records("prod")) == [RECORD]
    assert [found.message for found in fresh.list_events()] == ["once"]
    store.put_record(replace(RECORD, fields={}))
    assert [found.fields for found in S3Store(bucket).list_records("prod")] == [{}]


def test_a_lost_answer_and_another_writer_at_once(bucket):
    """Our write was done, the answer lost, and another changed the object before we looked: nothing is lost
    or doubled.
    """
    mine, theirs = S3Store(bucket), S3Store(bucket)
    mine.emit(event("mine"))
    bucket.faults = [(AnswerLostError("lost"), True)]
    get = bucket.get

    def meanwhile(key):
        bucket.get = get
        theirs.put_record(replace(RECORD, identity={"name": "theirs"}))
        return get(key)

    bucket.get = meanwhile
    mine.put_record(RECORD)
    fresh = S3Store(bucket)
    assert sorted(record.identity["name"] for record in fresh.list_records("prod")) == ["s", "theirs"]
    assert [found.message for found in fresh.list_events()] == ["mine"]


def test_permanent_bucket_failure_is_reported(bucket):
    """Nothing goes on as if it had been can't be saved; when the bucket is back, the next write brings all of it."""
    store = S3Store(bucket)
    bucket.faults = [(UnavailableError("down"), False)] * 8
    with pytest.raises(StoreError, match="can't be saved"):
        store.put_record(RECORD)
    bucket.faults = [(ThrottledError("slowly"), False)]
    with pytest.raises(ThrottledError):
        store.put_record(RECORD)
    store.save_status(Status(OWNER, 1, "d"))
    assert list(S3Store(bucket).list_records("prod")) == [RECORD]


def test_before_there_is_a_bucket_everything_waits(bucket):
    """The first run's records are kept, answered from memory, and written with the first write after the bucket is
    made.
    """
    bucket.there = False
    store = S3Store(bucket)
    store.put_record(RECORD)
    store.put_record(THEIRS)
    store.save_status(Status(OWNER, 1, "d"))
    store.refresh()
    assert list(store.list_records("prod")) == [RECORD, THEIRS]
    bucket.there = True
    store.put_record(replace(RECORD, fields={"count": 2}))
    fresh = S3Store(bucket)
    assert list(fresh.list_records("prod")) == [replace(RECORD, fields={"count": 2}), THEIRS]
    assert fresh.get_status(OWNER) == Status(OWNER, 1, "d")


def test_a_deleted_object_is_made_again(bucket):
    """Somebody cleans the bucket up between our read and our write."""
    store = S3Store(bucket)
    store.put_record(RECORD)
    bucket.objects.clear()
    store.put_record(replace(RECORD, fields={"count": 2}))
    assert [record.fields for record in S3Store(bucket).list_records("prod")] == [{"count": 2}]


def test_concurrent_writers_lose_nothing(bucket):
    """Six stores write 20 records each of the same spec, without any lease between them: all 120 are there."""

    def work(who: int) -> None:
        store = S3Store(bucket)
        for number in range(20):
            store.put_record(replace(RECORD, identity={"who": who, "number": number}))

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, who) for who in range(6)]:
            done.result()
    assert len(S3Store(bucket).list_records("prod")) == 120


def test_objects_are_json_for_people(bucket):
    """One object for each spec, and what is in it can be read."""
    S3Store(bucket).put_record(RECORD)
    [(name, body)] = bucket.objects.items()
    assert name == NAME
    assert json.loads(body)["records"][0]["record"]["fields"] == {"count": 1}


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"version": 1}', b'{"version": 1, "records": 3}'])
def test_corrupt_object_is_reported(bucket, body):
    """Its place is named, with a way out, and it is left as it is."""
    bucket.objects[NAME] = body
    with pytest.raises(StoreError, match="history is lost") as caught:
        S3Store(bucket).list_records("prod")
    assert f"s3://bucket/{NAME}" in str(caught.value)
    assert bucket.objects[NAME] == body


def test_a_newer_object_is_refused(bucket):
    """Its version and ours are named."""
    bucket.objects[NAME] = b'{"version": 99}'
    with pytest.raises(StoreError, match="99"):
        S3Store(bucket).list_records("prod")


def test_foreign_objects_are_ignored(bucket):
    """What isn't named as ours is somebody else's."""
    bucket.objects["moorage/state/README.txt"] = b"hello"
    bucket.objects["moorage/lease/prod.json"] = b"{}"
    assert list(S3Store(bucket).list_records("prod")) == []
