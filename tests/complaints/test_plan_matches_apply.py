"""Complaint 10: there is no dry run, or it is unlike the apply."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.plan import Action, Step
from controller.planning.plan_coverage import find_uncovered
from controller.planning.plan_document import build_document, build_step
from controller.resources.base import ResourceContext, discover_resources
from tests.complaints.conftest import reconcile_collecting_steps
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model

pytestmark = pytest.mark.e2e
API_WITH_FEWER_ROUTES = "{routes: [{method: POST, path: /predict}], stage: prod}"
CHANGES = {
    "create": Model(),
    "update": replace(Model(), service="{cpu: 0.5 vCPU, memory: 1 GB, env: {LOG_LEVEL: info}}"),
    "retrain": replace(Model(), depth=3),
    "revert": Model(),
    "replace and delete": replace(Model(), api=API_WITH_FEWER_ROUTES),
    "retrain and update": replace(Model(), depth=4, service="{cpu: 1 vCPU, memory: 2 GB}", labels="{team: risk}"),
    "prune": None,
}
_MAKES = (Action.CREATE, Action.REPLACE, Action.REVISE)


@pytest.fixture(scope="module")
def empty_account(
    idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory
) -> Demo:
    """An account with nothing in it, which the changes go through in turn."""
    idle_aws.call_admin_endpoint("reset", "POST")
    return Demo(
        EmbeddedClients(idle_aws.endpoint), discover_resources(resource_context), tmp_path_factory.mktemp("specs")
    )


def step_summary(steps: list[Step]) -> set[tuple[str, str]]:
    """What is done to which object; making is making, whatever was there before."""
    return {("make" if step.action in _MAKES else str(step.action), str(step.node.key)) for step in steps}


@pytest.mark.parametrize("name", CHANGES)
def test_apply_does_exactly_the_plan(empty_account: Demo, name: str) -> None:
    """crossplane#1805.

    A plan only reads. All that it names, now and later, is done by the passes that follow, and nothing that it doesn't
    name: neither another object nor another field. Then there is nothing left to plan.
    """
    model = CHANGES[name]
    empty_account.models = (model,) if model else ()
    absent = () if model else (Model(),)
    reconciler = empty_account.reconciler()
    survey = reconciler.survey(empty_account.spec_contexts(), removed_specs=[one.key for one in absent])
    assert reconciler.aws.call_counter.writes == 0
    promised = build_document([(survey.contexts, survey.plan)])
    done = reconcile_collecting_steps(empty_account, absent)
    assert step_summary(done) == step_summary(list(survey.plan.steps))
    assert find_uncovered(promised.steps, map(build_step, done)) == []
    assert empty_account.survey().plan.steps == ()


def test_plan_reflects_live_state(settled: Demo) -> None:
    """PipeCD's plan compares commits.

    With the very spec that is applied, what somebody changed by hand is planned, field by field, and what somebody
    deleted.
    """
    aws = settled.aws_client()
    group = next(r.outputs["name"] for r in settled.store.list_records("default") if r.key.kind == "logs/log-group")
    aws.write("logs", "put_retention_policy", logGroupName=group, retentionInDays=1)
    (api,) = aws.iter_items("apigatewayv2", "get_apis", "Items")
    (route,) = [
        item
        for item in aws.iter_items("apigatewayv2", "get_routes", "Items", ApiId=api["ApiId"])
        if item["RouteKey"] == "GET /model"
    ]
    aws.write("apigatewayv2", "delete_route", ApiId=api["ApiId"], RouteId=route["RouteId"])
    steps = settled.survey().plan.steps
    assert {(str(s.action), str(s.node.key)) for s in steps} == {
        ("update", "logs/log-group housing-model"),
        ("create", "apigatewayv2/route housing-model/GET /model"),
    }
    (change,) = next(step.changes for step in steps if step.action is Action.UPDATE)
    assert (change.path, change.old, change.new) == ("retention", 1, 30)
    assert step_summary(reconcile_collecting_steps(settled)) == step_summary(list(steps))
