"""Costs in the plan and the budget that holds, through the command line on the embedded AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli_workspace import NAME, CliWorkspace, condition

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_SERVICE = "service: {cpu: 0.25 vCPU, memory: 1 GB, desiredCount: 1}"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliWorkspace]:
    """The demo's specs and an embedded AWS whose tasks are no processes."""
    runner = {"MOORAGE_LOCAL_RUNNER": "noop", "MOORAGE_LOCAL_VPC_LINK_SECONDS": "0.02"}
    team = CliWorkspace(tmp_path_factory.mktemp("cost"), variables=runner)
    team.copy_from_repository()
    try:
        yield team
    finally:
        team.stop_embedded_aws()


def _limited(team: CliWorkspace, usd: str) -> None:
    """The demo with a limit."""
    team.edit((_SERVICE, f"{_SERVICE}\n  policy: {{maxMonthlyCost: {usd} USD}}"))


def test_a_spec_over_its_budget_is_planned_held_and_not_applied(team: CliWorkspace) -> None:
    """Exit 5, with estimate, limit and what makes it; nothing of the spec exists, and its plan says why."""
    _limited(team, "10")
    planned = team.plan().json
    held = {step["held"] for step in planned["steps"] if step["spec"] == f"ModelService {NAME}"}
    assert held == {"OverBudget"}
    (cost,) = planned["costs"]
    assert (cost["monthly"], cost["limit"], cost["requests"]) == (15.2824, 10.0, 1_000_000)
    done = team.reconcile()
    assert done.code == 5, done.err
    found = team.get()
    assert condition(found, "Ready") == ("False", "OverBudget")
    message = next(entry["message"] for entry in found["status"]["conditions"] if entry["type"] == "Ready")
    assert message == (
        "a month is estimated at 15.28 USD, more than policy.maxMonthlyCost of 10.00 USD: "
        "Fargate 10.63, public IPv4 3.65, HTTP API 1.00"
    )
    assert team.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []
    assert team.client("apigatewayv2").get_apis()["Items"] == []


def test_sufficient_budget_applies_and_uses_billed_training(team: CliWorkspace) -> None:
    """Applied as ever; the plan of a change then knows what a training run was billed for."""
    _limited(team, "20")
    assert team.reconcile().code == 0
    team.edit((_SERVICE, _SERVICE.replace("0.25", "0.5")))
    (cost,) = team.plan().json["costs"]
    assert cost["training"]["detail"].endswith("as the last one was billed")
    shown = team.moorage("plan", "-f", "specs").out
    assert "costs in USD, for 1,000,000 requests a month in us-east-1" in shown
    assert "a month" in shown


def test_lowered_budget_leaves_running_resources(team: CliWorkspace) -> None:
    """A lower limit applies nothing more and takes nothing down."""
    _limited(team, "10")
    done = team.reconcile()
    assert done.code == 5, done.err
    assert condition(team.get(), "Ready") == ("False", "OverBudget")
    (service,) = team.client("ecs").list_services(cluster="models")["serviceArns"]
    live = team.client("ecs").describe_services(cluster="models", services=[service])["services"][0]
    assert (live["status"], live["desiredCount"]) == ("ACTIVE", 1)
