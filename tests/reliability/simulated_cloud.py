"""A cloud of dictionaries with AWS's bad habits: calls without tokens, names that repeat, tags that merge, jobs and
deletions that take time, parents that can't go before their children. And the types that live in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

from controller.aws import AwsCall, AwsClient, Hook
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Held, Ready, Verdict, Waiting
from controller.core.values import Key, Ref, Value
from controller.errors import ConflictError, MissingError
from controller.resources.base import Resource

RUNNING = ("InProgress", "Stopping")
ENDED = ("Completed", "Stopped")


@dataclass
class SimulatedCloud:
    """What exists, by type and id. `refused` counts deletions that came too early."""

    hooks: tuple[Hook, ...] = ()
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    created_counts: Counter[str] = field(default_factory=Counter)
    refused_deletions: Counter[str] = field(default_factory=Counter)

    def copy(self, hooks: tuple[Hook, ...]) -> SimulatedCloud:
        """The same state, seen by other hooks."""
        return type(self)(hooks, deepcopy(self.objects), self.created_counts.copy(), self.refused_deletions.copy())

    def with_listing_cache(self) -> SimulatedCloud:
        """A survey sees what everybody sees."""
        return self

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """Everything of a type, oldest first."""
        return self.objects.setdefault(kind, {})

    def write(self, kind: str, operation: str, **params: Any) -> Any:
        """Carry a call out, under the eyes of the hooks. Raises ConflictError and MissingError."""
        call = AwsCall("write", kind, operation, params)
        for hook in self.hooks:
            hook.before(call)
        answer = getattr(self, f"_{operation}")(kind, **params)
        for hook in self.hooks:
            hook.after(call, {"answer": answer})
        return answer

    def _make(self, kind: str, **fields: Any) -> str:
        """One more, whether there is such a one or not."""
        self.created_counts[kind] += 1
        made = f"{kind}-{self.created_counts[kind]}"
        self.all(kind)[made] = {"id": made, **deepcopy(fields)}
        return made

    def _change(self, kind: str, Id: str, **fields: Any) -> None:  # noqa: N803
        self._found(kind, Id).update(deepcopy(fields))

    def _tag(self, kind: str, Id: str, tags: Mapping[str, str]) -> None:  # noqa: N803
        self._found(kind, Id)["tags"].update(tags)

    def _untag(self, kind: str, Id: str, names: Iterable[str]) -> None:  # noqa: N803
        for name in names:
            self._found(kind, Id)["tags"].pop(name, None)

    def _stop(self, kind: str, Id: str) -> None:  # noqa: N803
        self._found(kind, Id).update(status="Stopping", looks=1)

    def _remove(self, kind: str, Id: str) -> None:  # noqa: N803
        """Refused while something alive is built on it."""
        found = self._found(kind, Id)
        users = [
            thing
            for things in self.objects.values()
            for thing in things.values()
            if found["id"] in _referenced_ids(thing)
        ]
        if any(thing.get("status") not in ENDED for thing in users):
            self.refused_deletions[kind] += 1
            raise ConflictError(f"{found['id']} is in use")
        if kind == "service" and found.get("status") != "Draining":
            found.update(status="Draining", looks=1)
        elif kind != "service":
            del self.all(kind)[found["id"]]

    def _found(self, kind: str, made: str) -> dict[str, Any]:
        if made not in self.all(kind):
            raise MissingError(f"there is no {made}")
        return self.all(kind)[made]

    def advance_time(self) -> None:
        """What takes time has come a little further."""
        for job in self.all("job").values():
            if job["status"] in RUNNING:
                job["looks"] -= 1
                if job["looks"] < 0:
                    job["status"] = "Completed" if job["status"] == "InProgress" else "Stopped"
        absent = [name for name, thing in self.all("service").items() if thing.get("status") == "Draining"]
        for name in absent:
            self.all("service")[name]["looks"] -= 1
            if self.all("service")[name]["looks"] < 0:
                del self.all("service")[name]


def _referenced_ids(thing: Mapping[str, Any]) -> set[Any]:
    return {thing.get(name) for name in ("role", "service", "api")}


class SimulatedResource(Resource):
    """A type of the cloud, found by the fields of its identity; the oldest counts, ours among several."""

    service: str

    def found(self, aws: AwsClient, target: Target) -> list[dict[str, Any]]:
        """Everything that the identity finds, oldest first."""
        cloud = cast("SimulatedCloud", aws)
        matching = [
            thing
            for thing in cloud.all(self.service).values()
            if all(thing.get(name) == value for name, value in target.identity.items())
        ]
        return [thing for thing in matching if thing.get("status") != "Draining"]

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        seen = {target.key: self.found(aws, target) for target in targets}
        return {key: self.seen(found) for key, found in seen.items() if found}

    def seen(self, found: Sequence[dict[str, Any]]) -> Observed:
        fields = {name: deepcopy(value) for name, value in found[0].items() if name != "id"}
        return Observed(fields, {"id": found[0]["id"], "status": found[0].get("status", "")})

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        cloud, target = cast("SimulatedCloud", aws), Target(step.node.key, step.node.identity)
        desired = dict(step.node.desired)
        desired.pop("duplicates", None)
        if seen is None:
            cloud.write(self.service, "make", **step.node.identity, **desired)
            return self.observe(aws, [target])[target.key]
        tags = desired.pop("tags", {})
        if any(seen.fields.get(name) != value for name, value in desired.items()):
            cloud.write(self.service, "change", Id=seen.outputs["id"], **desired)
        self._retag(cloud, step, seen, tags)
        for twin in seen.fields.get("duplicates", ()):
            cloud.write(self.service, "remove", Id=twin)
        return self.observe(aws, [target])[target.key]

    def _retag(self, cloud: SimulatedCloud, step: Step, seen: Observed, tags: Mapping[str, str]) -> None:
        if tags and not tags.items() <= seen.fields["tags"].items():
            cloud.write(self.service, "tag", Id=seen.outputs["id"], tags=tags)
        absent = [c.path.removeprefix("tags.") for c in step.changes if c.path.removeprefix("tags.") not in tags]
        if absent := [name for name in absent if name in seen.fields.get("tags", {})]:
            cloud.write(self.service, "untag", Id=seen.outputs["id"], names=absent)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        try:
            for thing in self.found(aws, target):
                cast("SimulatedCloud", aws).write(self.service, "remove", Id=thing["id"])
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("InUse", str(error), 1)
        return None


class SimulatedRole(SimulatedResource):
    kind = "cloud/role"
    service = "role"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            yield Node(context.own_key(self.kind), {"name": context.owner.name}, {"tags": context.tags()})


class SimulatedTrainingJob(SimulatedResource):
    """Takes its time; is named by what it trains; stays when it is done."""

    kind = "cloud/job"
    service = "job"
    condition_type = "Trained"
    superseded_policy = "stop"
    retention_category = "registry"
    policy = FieldPolicy(revisioned=True, ignore=frozenset({"*"}))

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            desired = {"role": Ref(context.own_key("cloud/role"), "id"), "status": "InProgress", "looks": 6}
            yield Node(context.own_key(self.kind), {"name": f"job {context.fingerprint[:8]}"}, desired)

    def seen(self, found: Sequence[dict[str, Any]]) -> Observed:
        status = found[0]["status"]
        return Observed({}, {"id": found[0]["id"], "status": status, "finished": status not in RUNNING})

    def ready(self, node: Node, seen: Observed) -> Verdict:
        status = seen.outputs["status"]
        if status == "Completed":
            return Ready()
        return Waiting("Training", status, 1) if status in RUNNING else Failed("TrainingStopped", status)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        running = [job for job in self.found(aws, target) if job["status"] in RUNNING]
        for job in running:
            if job["status"] == "InProgress":
                cast("SimulatedCloud", aws).write(self.service, "stop", Id=job["id"])
        return Waiting("Stopping", "", 1) if running else None


class SimulatedModelPackage(SimulatedResource):
    """Has no name and no token: what says the same fingerprint is the same version, and the oldest of it counts."""

    kind = "cloud/version"
    service = "version"
    condition_type = "Approved"
    superseded_policy = "collect"
    reference_outputs = frozenset({"model"})
    retention_category = "registry"
    policy = FieldPolicy(owned=frozenset({"duplicates"}))

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            (gate,) = context.service.spec.model.gates
            depth = int(context.hyperparameters["max_depth"])
            good = gate.max is not None and 100 / depth <= gate.max
            desired = {"approved": good, "model": Ref(context.own_key("cloud/job"), "id"), "duplicates": []}
            yield Node(context.own_key(self.kind), {"fingerprint": context.fingerprint}, desired)

    def seen(self, found: Sequence[dict[str, Any]]) -> Observed:
        seen = super().seen(found)
        fields = {**seen.fields, "duplicates": [twin["id"] for twin in found[1:]]}
        return Observed(fields, {**seen.outputs, "model": found[0]["model"]})

    def ready(self, node: Node, seen: Observed) -> Verdict:
        return Ready() if seen.fields["approved"] else Held("GateFailed")


class SimulatedSelection(SimulatedResource):
    """The approved version of the fingerprint; failing that, what serves."""

    kind = "cloud/selection"
    read_only = True

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            identity = {"fingerprint": context.fingerprint, "name": context.owner.name}
            yield Node(context.own_key(self.kind), identity, reads=(context.own_key("cloud/version"),))

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        return {
            target.key: seen
            for target in targets
            if (seen := self._chosen(cast("SimulatedCloud", aws), target.identity))
        }

    def _chosen(self, cloud: SimulatedCloud, identity: Mapping[str, Value]) -> Observed | None:
        for version in cloud.all("version").values():
            if version["fingerprint"] == identity["fingerprint"] and version["approved"]:
                return Observed({}, {"model": version["model"]})
        for service in cloud.all("service").values():
            if service["name"] == identity["name"] and service.get("status") != "Draining":
                return Observed({}, {"model": cloud.all("task")[service["task"]]["model"]})
        return None


class SimulatedTaskDefinition(SimulatedResource):
    """Every change is another revision, and the newest one counts; superseded ones are at hand for a rollback."""

    kind = "cloud/task"
    service = "task"
    superseded_policy = "collect"
    revision_output = "id"
    reference_outputs = frozenset({"id"})
    policy = FieldPolicy(revisioned=True, volatile=frozenset({"id"}))

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            desired = {
                "model": Ref(context.own_key("cloud/selection"), "model"),
                "cpu": context.service.spec.service.cpu,
            }
            yield Node(context.own_key(self.kind), {"family": context.owner.name}, desired)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        found = {target.key: self.found(aws, target) for target in targets}
        return {key: self.seen(revisions[-1:]) for key, revisions in found.items() if revisions}

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        cast("SimulatedCloud", aws).write(self.service, "make", **step.node.identity, **step.node.desired)
        return self.observe(aws, [Target(step.node.key, step.node.identity)])[step.node.key]

    def status_facts(self, seen: Observed) -> Mapping[str, Value]:
        return {"taskDefinition": seen.outputs["id"]}


class SimulatedService(SimulatedResource):
    """Drains for a while when it is deleted, and only then lets go of its role."""

    kind = "cloud/service"
    service = "service"
    condition_type = "Deployed"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None:
            desired = {
                "task": Ref(context.own_key("cloud/task"), "id"),
                "role": Ref(context.own_key("cloud/role"), "id"),
                "count": context.service.spec.service.desired_count,
                "tags": context.tags(),
            }
            yield Node(context.own_key(self.kind), {"name": context.owner.name}, desired)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        waiting = super().delete(aws, target)
        left = [
            item
            for item in cast("SimulatedCloud", aws).all("service").values()
            if item["name"] == target.identity["name"]
        ]
        return waiting or (Waiting("Draining", "", 1) if left else None)


class SimulatedApi(SimulatedResource):
    """Names repeat, and no token tells a call that is sent twice."""

    kind = "cloud/api"
    service = "api"
    condition_type = "Exposed"
    policy = FieldPolicy(owned=frozenset({"duplicates"}))

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is not None and context.service.spec.api is not None:
            yield Node(
                context.own_key(self.kind), {"name": context.owner.name}, {"tags": context.tags(), "duplicates": []}
            )

    def seen(self, found: Sequence[dict[str, Any]]) -> Observed:
        seen = super().seen(found)
        return Observed({**seen.fields, "duplicates": [twin["id"] for twin in found[1:]]}, seen.outputs)


class SimulatedRoute(SimulatedResource):
    kind = "cloud/route"
    service = "route"
    condition_type = "Exposed"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        if context.service is None or context.service.spec.api is None:
            return
        for route in context.service.spec.api.routes:
            identity = {"api": Ref(context.own_key("cloud/api"), "id"), "path": route.path}
            target = Ref(context.own_key("cloud/service"), "id")
            yield Node(context.own_key(self.kind, route.path), identity, {"service": target})


SIMULATED_TYPES: tuple[type[SimulatedResource], ...] = (
    SimulatedApi,
    SimulatedTrainingJob,
    SimulatedRole,
    SimulatedRoute,
    SimulatedSelection,
    SimulatedService,
    SimulatedTaskDefinition,
    SimulatedModelPackage,
)
