"""What the store remembers of an object, and what of it counts after a crash."""

from __future__ import annotations

from controller.core.diff import diff
from controller.core.field_policy import FieldPolicy
from controller.core.record import Record
from controller.core.values import Key

KEY = Key("default", "ecs/service", "m")
OWNER = Key("default", "ModelService", "m")


def test_fields_dropped_by_an_interrupted_call_stay_managed() -> None:
    """The call was to take a tag and a limit away; whether it did is unknown, so both can still be taken away."""
    before = {"tags": {"team": "a", "moorage:owner": "m"}, "limits": {"rate": 5, "burst": 9}, "count": 1}
    wanted = {"tags": {"moorage:owner": "m"}, "limits": {"burst": 9}, "count": 2}
    record = Record(KEY, {}, OWNER, fields=before, pending=wanted)
    changes = diff(record.managed_fields, before, wanted, FieldPolicy())
    assert [change.path for change in changes] == ["count", "limits.rate", "tags.team"]


def test_a_finished_call_narrows_to_what_it_sent() -> None:
    """Nothing is pending: what was applied last is what we manage."""
    record = Record(KEY, {}, OWNER, fields={"tags": {"a": "1"}})
    assert record.managed_fields == {"tags": {"a": "1"}}
