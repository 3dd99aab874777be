"""What every resource type owes, as checks over the evidence of a life: each gives what is wrong with one type, or
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controller.core.field_policy import matches
from tests.conformance.resource_lifecycle import LifecycleEvidence, UpdateCase

Check = Callable[[str, LifecycleEvidence, Sequence[UpdateCase]], list[str]]


def converges(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """What is made and changed is done in the end, and then nothing is planned."""
    return [*([evidence.unsettled] if evidence.unsettled else []), *sorted(evidence.unstable_plans[kind])]


def is_created(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """From nothing, it is planned to be created, unless it is only looked at."""
    read_only = evidence.scene.registry[kind].read_only
    return [] if (kind in evidence.created) is not read_only else [f"read_only is {read_only}"]


def plans_exactly(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """Each change plans what it must of the type, field by field, and no more."""
    wrong = []
    for turn in update_cases:
        expected = set(turn.expected.get(kind, ()))
        tagged = kind in evidence.tagged and "*" not in evidence.scene.registry[kind].policy.ignore
        if turn.tag and tagged:
            expected.add(f"tags.{turn.tag}")
        planned = evidence.planned.get(turn.name, {}).get(kind, set())
        if planned != expected:
            wrong.append(f"{turn.name}: {sorted(planned)} planned, {sorted(expected)} expected")
    return wrong


def can_change(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """At least one of the changes concerned it in place."""
    making = {"create", "replace", "delete", "refused", "later"}
    changed = any(planned.get(kind, set()) - making for planned in evidence.planned.values())
    return [] if changed else ["nothing changed it"]


def observes_without_writing(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """Expanding, observing and judging make only reads."""
    return sorted(evidence.scene.writes_while_looking[kind])


def declares_every_call(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """Every call it makes is among its `permissions`."""
    return sorted(evidence.scene.calls[kind] - evidence.scene.registry[kind].permissions.keys())


def uses_every_permission(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """Every one of its `permissions` is used."""
    return sorted(evidence.scene.registry[kind].permissions.keys() - evidence.scene.calls[kind])


def expands_deterministically(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """The same want gives the same nodes."""
    return ["expanded twice, it wants something else"] if kind in evidence.nondeterministic else []


def refers_to_existing_outputs(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """Every Ref names an output that its owner gives."""
    return sorted(evidence.dangling_refs[kind])


def has_no_unused_policy(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """Every path of its policy names a field that occurs, and every volatile name an output."""
    policy = evidence.scene.registry[kind].policy
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
    idle = [pattern for pattern in sorted(patterns) if not _occurs(pattern, evidence.paths[kind])]
    return idle + sorted(policy.volatile - evidence.outputs[kind])


def _occurs(pattern: str, paths: set[tuple[str, ...]]) -> bool:
    """A pattern for all that may be in a document occurs when the document does."""
    while pattern.endswith(".*"):
        pattern = pattern.removesuffix(".*")
    # The diff names a keyed list's elements by their key; here they are all `*`.
    return any(matches(pattern, path) for path in paths)


def respects_api_constraints(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """No value it sends is longer or other than AWS's model allows, even with the longest names."""
    return sorted(evidence.scene.too_large[kind])


def refuses_foreign_objects(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """What carries a stranger's tags is refused."""
    return [] if kind in evidence.refused or kind not in evidence.tagged else ["a stranger's is taken for ours"]


def deletes_idempotently(kind: str, evidence: LifecycleEvidence, update_cases: Sequence[UpdateCase]) -> list[str]:
    """Deleted, it is absent; deleted again, it is found gone."""
    return [evidence.deletion_failures[kind]] if kind in evidence.deletion_failures else []


CHECKS: tuple[Check, ...] = (
    converges,
    is_created,
    plans_exactly,
    can_change,
    observes_without_writing,
    declares_every_call,
    uses_every_permission,
    expands_deterministically,
    refers_to_existing_outputs,
    has_no_unused_policy,
    respects_api_constraints,
    refuses_foreign_objects,
    deletes_idempotently,
)
