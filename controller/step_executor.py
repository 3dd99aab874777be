"""Execute one step: observe, journal, call, journal.

After a crash between any two lines, the store still says what may have been sent, and the next pass observes the
result.
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
    """Executes steps, one at a time, in one account and Region.

    `mutation_cache` holds writes that AWS may not show yet.
    """

    registry: ResourceRegistry
    aws: AwsClient
    store: Store
    mutation_cache: MutationCache = field(default_factory=MutationCache)

    def execute(self, step: Step, *, retain: bool = False, absent: bool = False) -> Observed:
        """Execute a step and return the resulting object; `step.node` has no Refs left.

        `absent` says that the survey looked for this identity and found nothing. An object that is also not in the
        journal isn't looked up again: for a type without unique names that takes a listing of all objects. Raises
        AwsError, BundleError or FailedError; the journal then still has the step as pending.
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
        """Delete the object of a step. A Waiting verdict says that AWS is still deleting it; the record then stays."""
        record = self._load_record(step.node)
        if record is None:
            return None
        self.store.put_record(replace(record, pending={}))
        target = Target(record.key, record.identity, record.outputs)
        waiting = self.registry[record.key.kind].delete(self.aws, target)
        if waiting is None:
            self.mutation_cache.forget(record.key)
            for absent in (*self._revision_records(record), record):
                self.store.delete_record(absent)
        return waiting

    def save_record(
        self, node: Node, owner: Key, seen: Observed, *, retain: bool, surveyed_record: Record | None = None
    ) -> None:
        """Record that a node is as desired. Only writes what changed, so a pass without changes leaves the store alone.

        `surveyed_record` is the record that the survey read: while it is equal, the store isn't read. A type with
        numbered revisions keeps a record of the previous one for rollbacks and garbage collection.
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
        """Return the records of a deleted object's superseded revisions, which AWS deleted with it."""
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
        """Return the step as it is needed after the new observation."""
        if seen is None:
            return replace(step, action=Action.CREATE if step.action in (Action.UPDATE, Action.ADOPT) else step.action)
        foreigner = find_foreign_owner(step.node.desired, seen.fields)
        if foreigner is not None and step.action is not Action.ADOPT:
            raise ForeignError("it exists already", where=str(step.node.key), why=f"it belongs to {foreigner}")
        policy = self.registry[step.node.key.kind].policy
        changes = diff(record.managed_fields if record else None, seen.fields, step.node.desired, policy)
        making = step.action in (Action.CREATE, Action.REPLACE)
        return replace(step, changes=changes, action=Action.UPDATE if making and not policy.revisioned else step.action)
