"""A plan as a document: `plan -o json` prints it, `plan --out` saves it and `reconcile --plan` applies it.

`moorage schema plan` publishes its JSON Schema. Every view of a plan is rendered from the document. So secrets that are
redacted here appear in no view.
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
    """The current and the planned value of one field."""

    path: str
    """Dotted path; list elements with a name appear by name."""
    old: Any
    """The current value; `(absent)` if there is none."""
    new: Any
    """The planned value; `(absent)` if it is removed, `(known after apply)` if only an apply reveals it."""


class PlannedObject(StrictModel):
    """One AWS object of the plan."""

    environment: str
    """The Environment's name."""
    spec: str
    """Kind and name of the spec that the object belongs to."""
    resource: str
    """The AWS type, like `ecs/service`."""
    name: str
    """Name of the object, unique in its type and Environment."""

    @property
    def object(self) -> str:
        """The display name: type and name."""
        return str(Key(self.environment, self.resource, self.name))


class PlannedStep(PlannedObject):
    """One action on one AWS object."""

    action: Literal["create", "update", "revise", "replace", "adopt", "delete"]
    """`revise` creates a new object and keeps the old one; `replace` creates the new one, then deletes the old one."""
    changes: Items[PlannedField]
    """The changed fields; every field of a new object."""
    forces: Items[str]
    """Paths of the fields that can't be changed in place and so force a new object."""
    why: str
    """The reason or consequence of the step; empty if there is nothing to add."""
    later: bool
    """Whether the step waits for the result of another step, such as a training."""
    held: Literal["", "Suspended", "Drifted", "OverBudget"]
    """The policy that holds the step: `suspend`, `driftCorrection: false` or `maxMonthlyCost`; empty if none does."""

    @property
    def only_adopts(self) -> bool:
        """Whether the step changes nothing but the ownership tags."""
        return self.action == "adopt" and all(change.path.partition(".")[0] == "tags" for change in self.changes)


class PlannedRefusal(PlannedObject):
    """One object that Moorage refuses to change."""

    message: str
    """Why it is refused."""
    hint: str
    """What to do about it."""


class PlannedEnvironment(StrictModel):
    """One Environment, its location and its specs."""

    name: str
    """The Environment's name."""
    account: str
    """Its AWS account."""
    region: str
    """Its AWS region."""
    specs: Mapping[str, str]
    """The planned specs by kind and name, each with a digest of the spec and its data."""
    digest: str
    """Digest of this Environment's plan, including secrets; equal plans have equal digests."""


class Summary(StrictModel):
    """The number of steps by action, and the number of refused objects."""

    now: Mapping[str, int]
    """Steps that an apply executes first, by action."""
    later: Mapping[str, int]
    """Steps that follow after a training, by action."""
    held: Mapping[str, int]
    """Steps that a policy holds, by action."""
    refused: int
    """Number of objects that Moorage refuses to change."""
    changes: int
    """Number of steps, now and later, that change an object; an adoption that only sets tags doesn't count."""


class PlanDocument(StrictModel):
    """The steps that reconcile would execute, object by object and field by field, now and later."""

    api_version: Literal["moorage/v1alpha1"]
    """Version of this schema."""
    kind: Literal["Plan"]
    """Always `Plan`."""
    made_by: str
    """The program that made the plan, and its version."""
    commit: str
    """The Git commit of the specs; empty outside Git."""
    prune: bool
    """Whether the plan deletes ModelServices that no file declares any more."""
    environments: Items[PlannedEnvironment]
    """Every planned Environment."""
    steps: Items[PlannedStep]
    """The steps in order of execution."""
    refusals: Items[PlannedRefusal]
    """The objects that Moorage refuses to change."""
    trains: Items[str]
    """Names of the ModelServices whose model the plan trains."""
    costs: Items[PlannedCost]
    """The estimated cost of each ModelService once the plan is applied."""
    summary: Summary
    """The numbers of steps and refusals."""
    digest: str
    """SHA-256, in hex, of everything else in the document."""

    @property
    def acts(self) -> bool:
        """Whether the plan has steps, now or later, or refusals."""
        return bool(self.summary.now or self.summary.later or self.refusals)

    @property
    def checksum(self) -> str:
        """The digest of the document's content, which `digest` must equal."""
        return digest(self.model_dump(mode="json", by_alias=True, exclude={"digest"}))

    def text(self) -> str:
        """Return the document as JSON."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def schema() -> str:
    """Return the document's JSON Schema, as published."""
    return json_schema.model_schema_text(PlanDocument, "Plan")


def build_document(
    parts: Iterable[tuple[Sequence[SpecContext], Plan]],
    *,
    costs: Mapping[Key, CostEstimate] | None = None,
    commit: str = "",
    prune: bool = False,
) -> PlanDocument:
    """Build a document from the plans of some Environments.

    Each part pairs the contexts of an Environment, its own context first, with its plan.
    """
    environments, steps, refusals = [], list[PlannedStep](), list[PlannedRefusal]()
    for contexts, plan in parts:
        environments.append(_environment(contexts, plan))
        steps += map(build_step, plan.steps)
        refusals += map(_refusal, plan.refusals)
    document = PlanDocument(
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
    return document.model_copy(update={"digest": document.checksum})


def build_step(step: Step) -> PlannedStep:
    """Convert a step to the document's form, with secrets redacted."""
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
    specs = {_spec_name(context.owner): context.spec_digest for context in contexts}
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
    """Return kind and name: `ModelService housing-model`."""
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
    *parents, name = change.path.split(".")
    variable = name if "environment" in parents else ""
    return PlannedField(
        path=change.path, old=_redact_value(change.old, variable), new=_redact_value(change.new, variable)
    )


def _redact_value(value: Value, variable: str = "") -> Value:
    """Convert a value to JSON without secrets, found by the shape of the value or the name of its `variable`."""
    if isinstance(value, Blob):
        return {"sha256": value.sha256, "size": value.size}
    if isinstance(value, Mapping):
        named = str(value["name"]) if value.keys() == {"name", "value"} else variable
        return {str(key): _redact_value(inner, named if key == "value" else "") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_value(inner) for inner in value]
    return redact(value, variable) if isinstance(value, str) else to_json_value(value)
