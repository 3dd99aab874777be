"""Carries out one step: look again, journal, call, journal.

A crash between any two lines leaves the store saying what may have been sent, and the next pass finds out by looking.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from controller.aws import AwsClient
from controller.core.diff import diff
from controller.core.graph import Node, Observed, Target
from controller.core.mutation_cache import MutationCache
from controller.core.ownership import find_foreign_owner
from controller.core.plan import Action, Step, find_records
from controller.core.record import Record
from controller.core.status import Waiting
from controller.core.values import Key, digest, to_json_value
from controller.errors import FailedError, ForeignError
from controller.resources.base import ResourceRegistry
from controller.store.base import Store


@dataclass(frozen=True)
class StepExecutor:
    """Runs steps, one at a time, against one account and region; `recent` is what AWS may not show yet."""

    registry: ResourceRegistry
    aws: AwsClient
    store: Store
    mutation_cache: MutationCache = field(default_factory=MutationCache)

    def execute(self, step: Step, *, retain: bool = False, absent: bool = False) -> Observed:
        """Make one node as its step says; `step.node` has no Refs left.

        `absent` says that the survey looked for just this and found nothing. What was never asked for either, as far as
        the journal goes, isn't looked for again: with a name that isn't unique that takes a listing of all there are.
        Raises AwsError, BundleError or FailedError; the journal then still has the step as pending.
        """
        resource = self.registry[step.node.key.kind]
        record = self._load_record(step.node)
        seen = None if absent and record is None else self._observe(step.node, record)
        if seen is None and step.node.reference_field:
            what, hint = step.node.missing_message
            raise FailedError(what, where=str(step.node.key), hint=hint)
        step = self._replan(step, record, seen)
        if seen is not None and not step.changes:
            self.save_record(step.node, step.owner, seen, retain=retain)
            return seen
        before = record or Record(step.node.key, to_json_value(step.node.identity), step.owner)
        edges = tuple(sorted({*before.edges, *step.node.edges}))
        self.store.put_record(replace(before, pending=to_json_value(step.node.desired), edges=edges, retain=retain))
        done = resource.apply(self.aws, step, seen)
        self.mutation_cache.add(step.node.key, seen, done)
        self.save_record(step.node, step.owner, done, retain=retain)
        return done

    def delete(self, step: Step) -> Waiting | None:
        """Delete what a step names. A Waiting says that AWS is still at it, and the record stays."""
        record = self._load_record(step.node)
        if record is None:
            return None
        self.store.put_record(replace(record, pending={}))
        target = Target(record.key, record.identity, record.outputs)
        waiting = self.registry[record.key.kind].delete(self.aws, target)
        if waiting is None:
            self.mutation_cache.forget(record.key)
            for gone in (*self._revision_records(record), record):
                self.store.delete_record(gone)
        return waiting

    def save_record(
        self, node: Node, owner: Key, seen: Observed, *, retain: bool, surveyed_record: Record | None = None
    ) -> None:
        """Write down that a node is as desired. Writes only what is new, so a quiet pass leaves the store alone.

        `known` is the record that the survey read: as long as it says the same, the store isn't asked.
        What numbers its revisions keeps a record of the one before, which a rollback may want and collection will find.
        """
        fields, outputs = to_json_value(node.desired), to_json_value(seen.outputs)
        record = Record(
            node.key, to_json_value(node.identity), owner, fields, outputs, tuple(sorted(node.edges)), None, retain
        )
        if record == surveyed_record:
            return
        before = self._load_record(node)
        if record == before:
            return
        serial = self.registry[node.key.kind].revision_output
        if serial and before and before.outputs.get(serial, outputs[serial]) != outputs[serial]:
            identity = {**before.identity, serial: before.outputs[serial]}
            self.store.put_record(replace(before, identity=identity, pending=None))
        self.store.put_record(record)

    def _revision_records(self, record: Record) -> list[Record]:
        """The records of a deleted object's superseded revisions: they went with it."""
        serial = self.registry[record.key.kind].revision_output
        if not serial or serial in record.identity:
            return []
        siblings = find_records(self.store.list_records(record.key.environment, {record.owner}), record.key)
        return [
            other for other in siblings if {**record.identity, serial: other.identity.get(serial)} == other.identity
        ]

    def _observe(self, node: Node, record: Record | None) -> Observed | None:
        hints = (record.outputs, record.confirmed_fields) if record is not None else ()
        shown = self.registry[node.key.kind].observe(self.aws, [Target(node.key, node.identity, *hints)])
        return self.mutation_cache.apply_to(node.key, shown.get(node.key))

    def _load_record(self, node: Node) -> Record | None:
        return self.store.get_record(digest(node.key, node.identity))

    def _replan(self, step: Step, record: Record | None, seen: Observed | None) -> Step:
        """The step as it is needed now that it has been looked at once more."""
        if seen is None:
            return replace(step, action=Action.CREATE if step.action in (Action.UPDATE, Action.ADOPT) else step.action)
        foreigner = find_foreign_owner(step.node.desired, seen.fields)
        if foreigner is not None and step.action is not Action.ADOPT:
            raise ForeignError("it exists already", where=str(step.node.key), why=f"it belongs to {foreigner}")
        policy = self.registry[step.node.key.kind].policy
        changes = diff(record.managed_fields if record else None, seen.fields, step.node.desired, policy)
        making = step.action in (Action.CREATE, Action.REPLACE)
        return replace(step, changes=changes, action=Action.UPDATE if making and not policy.revisioned else step.action)
