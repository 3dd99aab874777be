"""A saved plan is read exactly as written or rejected, and compared with the current plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.diff import Change
from controller.core.plan import Action, Plan, Step
from controller.errors import MoorageError, NotPlannedError, UsageError
from controller.planning.plan_document import PlanDocument, PlannedEnvironment, build_document
from controller.planning.saved_plan import SavedPlan, read_saved_plan, write_saved_plan
from tests.unit.cli.sample_plans import MODEL, PLAN_LOCATION, REFUSAL, STEPS, node, sample_plan

PLAN = sample_plan(STEPS["update"], STEPS["delete"])


def with_valid_digest(plan: PlanDocument) -> PlanDocument:
    """Return the plan with a valid digest, as a forger could compute it."""
    return plan.model_copy(update={"digest": plan.checksum})


def elsewhere(**change: str) -> PlanDocument:
    (place,) = PLAN.environments
    return with_valid_digest(PLAN.model_copy(update={"environments": (place.model_copy(update=change),)}))


INVALID_PLANS: dict[str, tuple[Callable[[str], str], str]] = {
    "truncated": (lambda text: text[:-200], "isn't a complete plan"),
    "edited": (lambda text: text.replace("superseded", "wanted"), "changed after it was made"),
    "of another shape": (lambda text: text.replace("moorage/v1alpha1", "moorage/v1alpha0"), "apiVersion"),
    "something else": (lambda _: '{"kind": "List"}', "isn't a complete plan"),
    "nothing": (lambda _: "", "isn't a complete plan"),
    "of another Moorage": (
        lambda text: with_valid_digest(PLAN.model_copy(update={"made_by": "moorage 9.9"})).text(),
        "made by moorage 9.9",
    ),
}


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Reading returns the written document; an unwritable or missing file raises UsageError."""
    write_saved_plan(tmp_path / "plan.json", PLAN)
    assert read_saved_plan(tmp_path / "plan.json") == PLAN
    with pytest.raises(UsageError, match="can't be written"):
        write_saved_plan(tmp_path / "no/plan.json", PLAN)
    with pytest.raises(UsageError, match="can't be read"):
        read_saved_plan(tmp_path / "other.json")


@pytest.mark.parametrize("name", INVALID_PLANS)
def test_a_file_that_is_no_whole_plan_is_refused(tmp_path: Path, name: str) -> None:
    """A damaged or edited file, or one of another version, raises UsageError with a hint."""
    change, words = INVALID_PLANS[name]
    (tmp_path / "plan.json").write_text(change(PLAN.text()))
    with pytest.raises(UsageError, match=words) as caught:
        read_saved_plan(tmp_path / "plan.json")
    assert caught.value.hint == "make it again: moorage plan --out"


@pytest.mark.parametrize(
    ("now", "error", "words"),
    [
        (elsewhere(account="999999999999"), UsageError, "this is default in 999999999999 us-east-1"),
        (elsewhere(region="eu-west-1"), UsageError, "this is default in 123456789012 eu-west-1"),
        (elsewhere(name="prod"), UsageError, "this is prod in"),
        (sample_plan(STEPS["update"]), NotPlannedError, "planned, and not needed now: delete apigatewayv2/route"),
        (
            sample_plan(STEPS["update"], STEPS["delete"], STEPS["policy"]),
            NotPlannedError,
            r"needed now, and not planned: update iam/role housing-model/training \(policies.moorage, description\)",
        ),
        (
            sample_plan(STEPS["update"], STEPS["delete"], refusals=(REFUSAL,)),
            NotPlannedError,
            "refused in only one of the two: ecs/cluster",
        ),
        (elsewhere(digest="0" * 64), NotPlannedError, "hidden values"),
    ],
)
def test_difference_from_the_saved_plan_is_named(now: PlanDocument, error: type[MoorageError], words: str) -> None:
    """Another account, region or name raises UsageError; a plan that is out of date raises NotPlannedError."""
    with pytest.raises(error, match=words):
        SavedPlan(PLAN).verify_unchanged(now)
    SavedPlan(PLAN).verify_unchanged(sample_plan(STEPS["update"], STEPS["delete"]))


def test_a_changed_spec_is_named() -> None:
    """The error names changed, added and removed specs before any difference that follows from them."""
    (place,) = PLAN.environments

    def declaring(**specs: str) -> PlanDocument:
        known = PlannedEnvironment(**{**place.model_dump(), "specs": specs})
        return PLAN.model_copy(update={"environments": (known,)})

    with pytest.raises(NotPlannedError, match="a, b differ"):
        SavedPlan(declaring(a="1", c="3")).verify_unchanged(declaring(b="2", c="3"))


def test_newly_unreachable_history_waits_for_the_next_run() -> None:
    """An unplanned deletion of history is skipped without stopping the rest; a planned one runs for the same object."""
    old = replace(node("ecr/image"), identity={"tag": "1"})
    collected = Step(Action.DELETE, old, MODEL, collects_history=True)
    another = replace(collected, node=replace(old, identity={"tag": "2"}))
    update = STEPS["update"]
    plan = Plan((replace(update, changes=(Change("taskDefinition", "a", "b"),)), collected))
    assert SavedPlan(sample_plan(update)).restrict(plan).steps == plan.steps[:1]
    assert SavedPlan(sample_plan(update, collected)).restrict(plan) == plan
    assert SavedPlan(sample_plan(update, another)).restrict(plan).steps == plan.steps[:1]
    with pytest.raises(NotPlannedError, match="delete apigatewayv2/route"):
        SavedPlan(sample_plan(update)).restrict(Plan((*plan.steps, STEPS["delete"])))


def test_waiting_and_held_steps_need_no_coverage() -> None:
    """Only steps that a pass would execute now are compared with the saved plan."""
    steps = (STEPS["later"], STEPS["drifted"], replace(STEPS["policy"], held="Suspended"))
    assert SavedPlan(build_document([([PLAN_LOCATION], Plan())])).restrict(Plan(steps)).steps == steps
