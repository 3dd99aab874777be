"""A read right after a write: what was there before it isn't taken for the truth, and anything else is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller.core.graph import Observed
from controller.core.mutation_cache import MutationCache
from controller.core.values import Key

KEY = Key("default", "ecs/service", "model")
OLD, NEW, OTHER = (Observed({"cpu": cpu}, {"arn": f"arn:{cpu}"}) for cpu in ("256", "512", "1024"))


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("before", [None, OLD])
def test_stale_read_is_replaced_by_the_write_result(before: Observed | None) -> None:
    """Made or changed: as long as a read shows the state before, the answer counts; it is known not to be shown yet."""
    recent = MutationCache()
    recent.add(KEY, before, NEW)
    assert recent.apply_to(KEY, before) is NEW
    assert recent.is_unconfirmed(KEY)
    assert recent.apply_to_all([KEY], {} if before is None else {KEY: before}) == {KEY: NEW}


@pytest.mark.parametrize("shown", [NEW, OTHER, Observed({"cpu": "512"}, {"arn": "arn:later"})])
def test_other_reads_are_trusted(shown: Observed) -> None:
    """The new state or a third one counts as it is read; soon after even the old one does: somebody put it back."""
    clock = Clock()
    recent = MutationCache(clock)
    recent.add(KEY, OLD, NEW)
    clock.now = 5
    assert recent.apply_to(KEY, shown) is shown
    assert not recent.is_unconfirmed(KEY)
    clock.now = 14
    assert recent.apply_to(KEY, OLD) is NEW
    clock.now = 15
    assert recent.apply_to(KEY, OLD) is OLD


def test_absent_object_stays_absent() -> None:
    """An object that was there and isn't shown any more isn't made up; nor is one that we removed ourselves."""
    recent = MutationCache()
    recent.add(KEY, OLD, NEW)
    assert recent.apply_to(KEY, None) is None
    recent.add(KEY, None, NEW)
    recent.forget(KEY)
    assert recent.apply_to(KEY, None) is None
    assert recent.apply_to_all([KEY], {}) == {}


def test_two_writes_before_the_first_is_visible() -> None:
    """Neither the state before the first nor the one before the second is taken for what is there now."""
    recent = MutationCache()
    recent.add(KEY, OLD, NEW)
    recent.add(KEY, NEW, OTHER)
    assert recent.apply_to(KEY, OLD) is OTHER
    assert recent.apply_to(KEY, NEW) is OTHER
    assert recent.apply_to(KEY, OTHER) is OTHER
    assert not recent.is_unconfirmed(KEY)


RULES = [{"port": 8080}, {"port": 9090}]


@pytest.mark.parametrize(
    ("before", "shown", "hides"),
    [
        (None, {"rules": [], "tags": {"team": "a"}}, True),
        (None, {"rules": RULES[:1], "tags": {}}, True),
        (None, {"rules": [{"port": 22}], "tags": {"team": "a"}}, False),
        (None, {"rules": RULES, "tags": {"team": "a", "by": "hand"}}, False),
        ({"rules": [{"port": 22}], "tags": {}}, {"rules": [*RULES, {"port": 22}], "tags": {}}, True),
        ({"rules": [{"port": 22}], "tags": {}}, {"rules": [{"port": 23}], "tags": {}}, False),
        ({"rules": [], "tags": {"team": "b"}}, {"rules": RULES, "tags": {"team": "b"}}, True),
        ({"rules": [], "tags": {"team": "b"}}, {"rules": RULES, "tags": {"team": "c"}}, False),
    ],
)
def test_partially_visible_object_is_not_trusted(before: Mapping[str, Any] | None, shown: Any, hides: bool) -> None:
    """Made by several calls, of which a read shows some: that isn't the truth. Anything of somebody else's in it is."""
    recent = MutationCache()
    after = Observed({"rules": RULES, "tags": {"team": "a"}})
    recent.add(KEY, None if before is None else Observed(before), after)
    assert recent.apply_to(KEY, Observed(shown)) == (after if hides else Observed(shown))


def test_reverted_write_trusts_the_old_state() -> None:
    """There and back: the old state is what is wanted, so a read that shows it is the truth."""
    recent = MutationCache()
    recent.add(KEY, OLD, NEW)
    recent.add(KEY, NEW, OLD)
    assert recent.apply_to(KEY, OLD) is OLD
    assert not recent.is_unconfirmed(KEY)


def test_cache_entry_expires_after_a_minute() -> None:
    """Nobody is kept from seeing for longer that a change was undone."""
    clock = Clock()
    recent = MutationCache(clock)
    recent.add(KEY, OLD, NEW)
    clock.now = 59
    assert recent.apply_to(KEY, OLD) is NEW
    clock.now = 60
    assert not recent.is_unconfirmed(KEY)
    assert recent.apply_to(KEY, OLD) is OLD


def test_only_eventually_consistent_types_are_cached() -> None:
    """S3 shows at once what was written, and a write that changed nothing isn't waited for."""
    recent = MutationCache()
    bucket = KEY._replace(kind="s3/bucket")
    recent.add(bucket, OLD, NEW)
    recent.add(KEY, OLD, OLD)
    assert not recent.is_unconfirmed(bucket)
    assert not recent.is_unconfirmed(KEY)
    assert recent.apply_to(bucket, OLD) is OLD


def test_expired_entries_are_evicted() -> None:
    """Writes that nobody asked about go when their time is over, so that memory goes with the writes of a minute."""
    clock = Clock()
    recent = MutationCache(clock)
    for second in range(180):
        clock.now = second
        recent.add(KEY._replace(name=f"model-{second}"), None, NEW)
    assert len(recent._mutations) == 60
