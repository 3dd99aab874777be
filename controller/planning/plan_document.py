"""A plan as a document: what `plan -o json` prints, `plan --out` keeps and `reconcile --plan` carries out.

The shape is published as JSON Schema (`moorage schema plan`). Whatever shows a plan to people is made from the document,
so what is hidden here is hidden everywhere: no secret gets in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from controller import __version__
from controller.aws.log import redact, redact_text
from controller.core.diff import Change
from controller.core.plan import Action, Plan, Refusal, Step
from controller.core.spec_context import SpecContext
from controller.core.values import ABSENT, UNKNOWN, Blob, Key, Value, digest, to_json_value
from controller.cost.estimate import CostEstimate
from controller.planning.plan_cost import PlannedCost, planned_cost
from controller.spec import json_schema
from controller.spec.strict import API_VERSION, Items, StrictModel

MADE_BY = f"moorage {__version__}"
NOT_THERE, NOT_KNOWN = ABSENT.value, UNKNOWN.value
_TRAINS = "sagemaker/training-job"


class PlannedField(StrictModel):
    """One field of an object, as it is and as it will be."""

    path: str
    """Dotted; elements of a list that have names are named."""
    old: Any
    """What is there; `(absent)`: nothing is."""
    new: Any
    """What will be there; `(absent)`: nothing will; `(known after apply)`: only an apply will tell."""


class PlannedObject(StrictModel):
    """One AWS object that the plan says something about."""

    environment: str
    """The Environment's name."""
    spec: str
    """The spec that the object belongs to: its kind and its name."""
    resource: str
    """The AWS type, as `ecs/service`."""
    name: str
    """Which one of its type."""

    @property
    def object(self) -> str:
        """The object as people read it."""
        return str(Key(self.environment, self.resource, self.name))


class PlannedStep(PlannedObject):
    """One thing to do to one AWS object."""

    action: Literal["create", "update", "revise", "replace", "adopt", "delete"]
    """`revise` makes a sibling beside the old one; `replace` makes the new one before the old one goes."""
    changes: Items[PlannedField]
    """Field by field; of something new, every field."""
    forces: Items[str]
    """The paths of the fields that can't be changed in place, and so are why another object is made."""
    why: str
    """What the step means beyond the object itself."""
    later: bool
    """Whether it only follows from what other steps will bring, as a training."""
    held: Literal["", "Suspended", "Drifted", "OverBudget"]
    """The policy that keeps the step from being done: `suspend`, `driftCorrection: false`, or `maxMonthlyCost`."""

    @property
    def only_adopts(self) -> bool:
        """Whether the object stays as it is, but for the tags that say whose it is now."""
        return self.action == "adopt" and all(change.path.partition(".")[0] == "tags" for change in self.changes)


class PlannedRefusal(PlannedObject):
    """One object that must not be touched as things are."""

    message: str
    """Why it is refused."""
    hint: str
    """What helps."""


class PlannedEnvironment(StrictModel):
    """One Environment, where it is, and what is declared for it."""

    name: str
    """The Environment's name."""
    account: str
    """Its AWS account."""
    region: str
    """Its AWS region."""
    specs: Mapping[str, str]
    """The specs planned for, by kind and name, each with a digest of all that it says and of its data."""
    digest: str
    """Equal for equal plans of this Environment, secrets included."""


class Summary(StrictModel):
    """How many steps there are of each action, and how many objects are refused."""

    now: Mapping[str, int]
    """Steps that an apply begins with."""
    later: Mapping[str, int]
    """Steps that follow once a training is through."""
    held: Mapping[str, int]
    """Steps that a policy keeps from being done."""
    refused: int
    """Objects that must not be touched."""
    changes: int
    """Steps now and later that change something: all but those that only take an object over, by its tags."""


class PlanDocument(StrictModel):
    """What reconcile would do: to which objects, field by field, now and later."""

    api_version: Literal["moorage/v1alpha1"]
    """Version of this shape."""
    kind: Literal["Plan"]
    """Always `Plan`."""
    made_by: str
    """The program and its version."""
    commit: str
    """The Git commit of the specs; empty outside of Git."""
    prune: bool
    """Whether what no file declares any more is deleted."""
    environments: Items[PlannedEnvironment]
    """Every Environment that was looked at."""
    steps: Items[PlannedStep]
    """What is to be done, in order."""
    refusals: Items[PlannedRefusal]
    """What must not be touched."""
    trains: Items[str]
    """Names of the ModelServices for which a model is trained."""
    costs: Items[PlannedCost]
    """What each ModelService is estimated to cost, once all of it is applied."""
    summary: Summary
    """The steps, counted."""
    digest: str
    """Sha256, in hex, of everything else in the document."""

    @property
    def acts(self) -> bool:
        """Whether reconcile would change or complain about anything."""
        return bool(self.summary.now or self.summary.later or self.refusals)

    @property
    def checksum(self) -> str:
        """What `digest` must be."""
        return digest(self.model_dump(mode="json", by_alias=True, exclude={"digest"}))

    def text(self) -> str:
        """The document as JSON."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def schema() -> str:
    """The document's JSON Schema, as it is published."""
    return json_schema.model_schema_text(PlanDocument, "Plan")


def build_document(
    parts: Iterable[tuple[Sequence[SpecContext], Plan]],
    *,
    costs: Mapping[Key, CostEstimate] | None = None,
    commit: str = "",
    prune: bool = False,
) -> PlanDocument:
    """Put the plans of some Environments into a document. Each comes with what is wanted there, the Environment first."""
    environments, steps, refusals = [], list[PlannedStep](), list[PlannedRefusal]()
    for wants, plan in parts:
        environments.append(_environment(wants, plan))
        steps += map(build_step, plan.steps)
        refusals += map(_refusal, plan.refusals)
    made = PlanDocument(
        api_version=API_VERSION,
        kind="Plan",
        made_by=MADE_BY,
        commit=commit,
        prune=prune,
        environments=tuple(environments),
        steps=tuple(steps),
        refusals=tuple(refusals),
        trains=tuple(dict.fromkeys(_training_specs(steps))),
        costs=tuple(planned_cost(owner, cost) for owner, cost in (costs or {}).items()),
        summary=_summary(steps, len(refusals)),
        digest="",
    )
    return made.model_copy(update={"digest": made.checksum})


def build_step(step: Step) -> PlannedStep:
    """A step as the document has it."""
    return PlannedStep(
        action=step.action.value,
        **_object_fields(step),
        changes=tuple(map(_field, step.displayed_changes)),
        forces=step.forces,
        why=redact_text(step.why),
        later=step.later,
        held=step.held,
    )


def _environment(contexts: Sequence[SpecContext], plan: Plan) -> PlannedEnvironment:
    home = contexts[0]
    specs = {_spec_name(want.owner): want.spec_digest for want in contexts}
    return PlannedEnvironment(
        name=home.owner.name,
        account=home.location.account,
        region=home.location.region,
        specs=specs,
        digest=plan.digest,
    )


def _refusal(refusal: Refusal) -> PlannedRefusal:
    return PlannedRefusal(
        **_object_fields(refusal), message=redact_text(refusal.message), hint=redact_text(refusal.hint)
    )


def _object_fields(one: Step | Refusal) -> dict[str, str]:
    key = one.node.key
    return {"environment": key.environment, "spec": _spec_name(one.owner), "resource": key.kind, "name": key.name}


def _spec_name(owner: Key) -> str:
    """`ModelService housing-model`."""
    return f"{owner.kind} {owner.name}"


def _training_specs(steps: Iterable[PlannedStep]) -> Iterable[str]:
    return (
        step.spec.partition(" ")[2]
        for step in steps
        if step.resource == _TRAINS and step.action != "delete" and step.changes and not step.held
    )


def _summary(steps: Sequence[PlannedStep], refused: int) -> Summary:
    def count(some: Iterable[PlannedStep]) -> dict[str, int]:
        actions = [step.action for step in some]
        return {action.value: actions.count(action.value) for action in Action if action.value in actions}

    free = [step for step in steps if not step.held]
    return Summary(
        now=count(step for step in free if not step.later),
        later=count(step for step in free if step.later),
        held=count(step for step in steps if step.held),
        refused=refused,
        changes=sum(not step.only_adopts for step in free),
    )


def _field(change: Change) -> PlannedField:
    *way, name = change.path.split(".")
    called = name if "environment" in way else ""
    return PlannedField(path=change.path, old=_redact_value(change.old, called), new=_redact_value(change.new, called))


def _redact_value(value: Value, called: str = "") -> Value:
    """The value as JSON, without secrets: by its shape, and a variable's by what it is `called`."""
    if isinstance(value, Blob):
        return {"sha256": value.sha256, "size": value.size}
    if isinstance(value, Mapping):
        variable = str(value["name"]) if value.keys() == {"name", "value"} else called
        return {str(key): _redact_value(inner, variable if key == "value" else "") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_value(inner) for inner in value]
    return redact(value, called) if isinstance(value, str) else to_json_value(value)
