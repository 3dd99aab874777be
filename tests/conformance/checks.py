"""What every resource type owes, as checks over the evidence of a life: each gives what is wrong with one type, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controller.core.policy import matches
from tests.conformance.life import Evidence, Turn

Check = Callable[[str, Evidence, Sequence[Turn]], list[str]]


def settles(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """What is made and changed is done in the end, and then nothing is planned."""
    return [*([told.unsettled] if told.unsettled else []), *sorted(told.restless[kind])]


def is_created(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """From nothing, it is planned to be created, unless it is only looked at."""
    read_only = told.scene.registry[kind].read_only
    return [] if (kind in told.created) is not read_only else [f"read_only is {read_only}"]


def plans_exactly(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """Each change plans what it must of the type, field by field, and no more."""
    wrong = []
    for turn in turns:
        expected = set(turn.expected.get(kind, ()))
        tagged = kind in told.tagged and "*" not in told.scene.registry[kind].policy.ignore
        if turn.tag and tagged:
            expected.add(f"tags.{turn.tag}")
        planned = told.planned.get(turn.name, {}).get(kind, set())
        if planned != expected:
            wrong.append(f"{turn.name}: {sorted(planned)} planned, {sorted(expected)} expected")
    return wrong


def can_change(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """At least one of the changes concerned it in place."""
    making = {"create", "replace", "delete", "refused", "later"}
    changed = any(planned.get(kind, set()) - making for planned in told.planned.values())
    return [] if changed else ["nothing changed it"]


def looks_without_touching(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """Expanding, observing and judging make only reads."""
    return sorted(told.scene.writes_while_looking[kind])


def calls_what_it_says(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """Every call it makes is among its `permissions`."""
    return sorted(told.scene.calls[kind] - told.scene.registry[kind].permissions.keys())


def needs_what_it_says(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """Every one of its `permissions` is used."""
    return sorted(told.scene.registry[kind].permissions.keys() - told.scene.calls[kind])


def expands_purely(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """The same want gives the same nodes."""
    return ["expanded twice, it wants something else"] if kind in told.impure else []


def refers_to_what_there_is(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """Every Ref names an output that its owner gives."""
    return sorted(told.dangling[kind])


def has_no_idle_policy(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """Every path of its policy names a field that occurs, and every volatile name an output."""
    policy = told.scene.registry[kind].policy
    patterns = {
        *policy.immutable,
        *policy.keyed,
        *policy.sets,
        *policy.owned,
        *policy.defaults,
        *policy.normalise,
        *policy.ignore,
        *policy.write_only,
    }
    idle = [pattern for pattern in sorted(patterns) if not _occurs(pattern, told.paths[kind])]
    return idle + sorted(policy.volatile - told.outputs[kind])


def _occurs(pattern: str, paths: set[tuple[str, ...]]) -> bool:
    """A pattern for all that may be in a document occurs when the document does."""
    while pattern.endswith(".*"):
        pattern = pattern.removesuffix(".*")
    # The diff names a keyed list's elements by their key; here they are all `*`.
    return any(matches(pattern, path) for path in paths)


def keeps_to_limits(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """No value it sends is longer or other than AWS's model allows, even with the longest names."""
    return sorted(told.scene.too_large[kind])


def refuses_a_strangers(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """What carries a stranger's tags is refused."""
    return [] if kind in told.refused or kind not in told.tagged else ["a stranger's is taken for ours"]


def goes_for_good(kind: str, told: Evidence, turns: Sequence[Turn]) -> list[str]:
    """Deleted, it is absent; deleted again, it is found gone."""
    return [told.remains[kind]] if kind in told.remains else []


CHECKS: tuple[Check, ...] = (
    settles,
    is_created,
    plans_exactly,
    can_change,
    looks_without_touching,
    calls_what_it_says,
    needs_what_it_says,
    expands_purely,
    refers_to_what_there_is,
    has_no_idle_policy,
    keeps_to_limits,
    refuses_a_strangers,
    goes_for_good,
)
