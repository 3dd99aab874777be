"""What belongs to somebody else: refused with its owner named, or taken over where the spec says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.ownership import OWNER_TAG
from controller.core.plan import Action, Step
from controller.core.values import Key
from controller.engine.run_result import is_ready
from controller.resources.base import ResourceContext, discover_resources
from tests.conformance.resource_lifecycle import FOREIGN_OWNER, _apply, _resolved
from tests.conformance.update_cases import NOT_TRANSFERABLE
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def demo(idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, all of whose ModelService's tagged objects were given to a stranger, who had fair weather."""
    idle_aws.call_admin_endpoint("reset", "POST")
    demo = Demo(
        EmbeddedClients(idle_aws.endpoint), discover_resources(resource_context), tmp_path_factory.mktemp("specs")
    )
    demo.reconcile_until_settled()
    # What the stranger does is seen at once, whatever the run's weather is: one look says what is whose.
    with idle_aws.without_faults():
        survey = demo.survey()
        for node in _resolved(survey):
            ours = survey.graph.owners[node.key].kind == "ModelService" and OWNER_TAG in node.desired.get("tags", {})
            if ours and node.key.kind not in NOT_TRANSFERABLE:
                tags = {**node.desired["tags"], OWNER_TAG: FOREIGN_OWNER}
                _apply(demo, survey, replace(node, desired={**node.desired, "tags": tags}))
    return demo


def _steps(demo: Demo) -> list[Step]:
    return [step for step in demo.survey().plan.steps if not step.later]


def test_foreign_objects_are_refused_naming_their_owner(demo: Demo) -> None:
    """Nothing is written; each refusal says whose it is and how to take it over, and the spec is Degraded."""
    done = demo.reconcile_until_settled()
    assert done.completed_steps == ()
    refusals = done.plan.refusals
    assert len(refusals) > 8
    for refusal in refusals:
        assert refusal.message == f"it exists already and belongs to {FOREIGN_OWNER} of environment default"
        assert refusal.hint.endswith("policy.adopt: true")
    (status,) = (status for status in done.statuses if status.owner.kind == "ModelService")
    degraded = status.find_condition("Degraded")
    assert degraded is not None
    assert (degraded.status, degraded.reason) == ("True", "Refused")


def test_adopt_takes_ownership_and_changes_nothing_else(demo: Demo) -> None:
    """The owner's tag alone is planned for what was refused, and what follows from a new revision.

    Then all is as declared.
    """
    refused: set[Key] = {refusal.node.key for refusal in demo.survey().plan.refusals}
    demo.models = (replace(demo.models[0], policy="{adopt: true}"),)
    adopted = [step for step in _steps(demo) if step.action is Action.ADOPT]
    assert {step.node.key for step in adopted} == refused
    for step in adopted:
        changes = [(change.path, change.old) for change in step.changes if change.path != "taskDefinition"]
        assert changes == [(f"tags.{OWNER_TAG}", FOREIGN_OWNER)]
    assert demo.survey().plan.refusals == ()
    done = demo.reconcile_until_settled()
    assert all(map(is_ready, done.statuses))
    assert demo.survey().plan.steps == ()
    demo.models = (replace(demo.models[0], policy="{}"),)
    assert demo.survey().plan.refusals == ()
