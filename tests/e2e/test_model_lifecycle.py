"""The story as its users live it: one spec in, a served model out, and every change after that, through the command
line.
"""

from __future__ import annotations

import json
import os

import pytest

from tests.cli_workspace import CliWorkspace, CommandResult, condition
from tests.e2e.conftest import until
from tests.http_requests import continuous_client, send_request

ROW = [8.3252, 41, 880, 129, 322, 126, 37.88, -122.23]
SEED_ROW = ",".join(map(str, ROW))

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def reset_to_repository_spec(workspace: CliWorkspace) -> None:
    """Every test starts from the repository's spec, reconciled; that by itself is a revert of whatever came before."""
    workspace.edit()
    assert workspace.reconcile().code == 0


def trained(result: CommandResult) -> bool:
    return "trains a model" in result.err


def test_fault_settings_reach_the_embedded_aws(workspace: CliWorkspace) -> None:
    """What is asked of a run by MOORAGE_LOCAL_WEATHER holds in the AWS that the commands start."""
    asked = filter(None, os.environ.get("MOORAGE_LOCAL_WEATHER", "").split(","))
    assert json.loads(send_request(f"{workspace.aws}/_moorage/weather")[1])["kinds"] == sorted(asked)


def test_a_second_run_does_nothing(workspace: CliWorkspace) -> None:
    """Right after, there is no step, and not one write."""
    again = workspace.reconcile()
    assert (again.code, again.json["steps"], again.json["calls"]["write"]) == (0, {}, 0)
    assert (again.json["specs"], again.json["ready"]) == (2, 2)
    assert workspace.moorage("diff", "-f", "specs").code == 0
    assert workspace.moorage("plan", "-f", "specs", "--detailed-exitcode").code == 0


def test_the_model_answers_through_its_api(workspace: CliWorkspace) -> None:
    """The route answers with the served model's prediction, the seed's contract holds, and what has no route is not
    there.
    """
    status = workspace.get()["status"]
    assert status["model"]["metrics"]["test"]["rmse"] < 50_500
    code, body = send_request(f"{status['endpoint']}/predict", {"instances": [ROW]})
    assert code == 200
    assert json.loads(body)["model"] == {"name": "housing-model", "version": status["model"]["version"]}
    (prediction,) = json.loads(body)["predictions"]
    assert 300_000 < prediction < 550_000
    seed = send_request(f"{status['endpoint']}/", {"response_content_type": "application/json", "pred_x_csv": SEED_ROW})
    assert float(json.loads(seed[1])["Predicted value"]) == pytest.approx(prediction, abs=0.01)
    assert send_request(f"{status['endpoint']}/metrics")[0] == 404
    assert workspace.served_model()["sha256"] == status["model"]["sha256"]


def test_wrong_input_is_refused_through_the_api(workspace: CliWorkspace) -> None:
    """Seven features of eight are never a wrong 200."""
    code, body = send_request(f"{workspace.endpoint}/predict", {"instances": [ROW[:7]]})
    assert code in (400, 422)
    assert b"8" in body


def test_another_cpu_rolls_out_without_one_failed_request(workspace: CliWorkspace) -> None:
    """The plan names the task definition's cpu and the service's revision, nothing else.

    A client without pause sees no failure.
    """
    workspace.edit(("0.25 vCPU", "0.5 vCPU"))
    plan = workspace.moorage("plan", "-f", "specs", "--detailed-exitcode", "-o", "json")
    assert plan.code == 2
    reported = [
        (step["action"], step["resource"], [change["path"] for change in step["changes"]])
        for step in plan.json["steps"]
    ]
    assert reported == [("revise", "ecs/task-definition", ["cpu"]), ("update", "ecs/service", ["taskDefinition"])]
    with continuous_client(workspace.endpoint, ROW) as outcomes:
        done = workspace.reconcile()
    assert (done.code, done.json["steps"]) == (0, {"revise": 1, "update": 1})
    assert set(outcomes) == {"200"}
    assert outcomes["200"] > 100


def test_another_hyperparameter_retrains_and_a_revert_does_not(workspace: CliWorkspace) -> None:
    """The plan says that it retrains and what comes later; the new version serves in the end.

    Reverted, the first serves again and nothing trains.
    """
    first = workspace.served_model()
    workspace.edit(("max_depth: 6", "max_depth: 5"))
    plan = workspace.moorage("plan", "-f", "specs")
    assert "trains a model" in plan.out
    assert 'hyperparameters.max_depth  "6" → "5"' in plan.out
    assert "later" in plan.out
    done = workspace.reconcile()
    assert done.code == 0
    assert trained(done)
    second = workspace.served_model()
    assert second["version"] == first["version"] + 1
    assert second["sha256"] == workspace.get()["status"]["model"]["sha256"] != first["sha256"]
    workspace.edit()
    back = workspace.reconcile()
    assert back.code == 0
    assert not trained(back)
    assert workspace.served_model()["sha256"] == first["sha256"]


def test_gate_holds_back_a_worse_model(workspace: CliWorkspace) -> None:
    """An impossible gate with a new hyperparameter: exit 5, Approved is False for GateFailed, and the old version keeps
    answering.
    """
    first = workspace.served_model()
    workspace.edit(("max_depth: 6", "max_depth: 3"), ("max: 50500", "max: 1000"))
    with continuous_client(workspace.endpoint, ROW) as outcomes:
        held = workspace.reconcile()
    assert held.code == 5
    item = workspace.get()
    assert condition(item, "Approved") == ("False", "GateFailed")
    assert condition(item, "Ready") == ("False", "GateFailed")
    assert condition(item, "Degraded")[0] == "False"
    assert set(outcomes) == {"200"}
    assert workspace.served_model() == first
    assert workspace.reconcile().code == 5


def test_a_relaxed_gate_lets_the_same_version_through(workspace: CliWorkspace) -> None:
    """Once the gate allows it, the version that it held back is approved and serves, without another training."""
    workspace.edit(("max_depth: 6", "max_depth: 4"), ("max: 50500", "max: 1000"))
    assert workspace.reconcile().code == 5
    workspace.edit(("max_depth: 6", "max_depth: 4"), ("max: 50500", "max: 90000"))
    done = workspace.reconcile()
    assert done.code == 0
    assert not trained(done)
    assert condition(workspace.get(), "Approved") == ("True", "Approved")


def test_scan_finding_stops_the_rollout(workspace: CliWorkspace) -> None:
    """With a finding at image.maxSeverity the next change isn't rolled out: exit 5, and what serves goes on serving."""
    endpoint = workspace.endpoint
    findings = f"{workspace.aws}/_moorage/findings"
    limit = ("spec:\n", "spec:\n  image: {maxSeverity: high}\n")
    try:
        assert send_request(findings, {"HIGH": 2}, "PUT")[0] == 200
        workspace.edit(limit, ("0.25 vCPU", "0.5 vCPU"))
        held = workspace.reconcile()
        assert held.code == 5, held.err
        assert condition(workspace.get(), "Ready") == ("False", "FindingsForbid")
        assert send_request(f"{endpoint}/predict", {"instances": [ROW]})[0] == 200
    finally:
        send_request(findings, {}, "PUT")
    assert workspace.reconcile().code == 0


def test_a_route_comes_and_goes(workspace: CliWorkspace) -> None:
    """A route taken out of the spec is deleted, and answers 404; put back, it answers again."""
    workspace.edit((", {method: GET, path: /livez}", ""))
    done = workspace.reconcile()
    assert (done.code, done.json["steps"].keys()) == (0, {"delete"})
    assert send_request(f"{workspace.endpoint}/livez")[0] == 404
    workspace.edit()
    workspace.reconcile()
    assert send_request(f"{workspace.endpoint}/livez")[0] == 200


def test_zero_tasks_is_ready(workspace: CliWorkspace) -> None:
    """Zero desired tasks is Ready, for the reason ScaledToZero, and the API says that nobody is there."""
    workspace.edit(("desiredCount: 1", "desiredCount: 0"))
    assert workspace.reconcile().code == 0
    assert condition(workspace.get(), "Deployed") == ("True", "ScaledToZero")
    assert send_request(f"{workspace.endpoint}/livez")[0] == 503


def test_drifted_resource_is_corrected(workspace: CliWorkspace) -> None:
    """What somebody changes behind the controller's back is named by diff, field by field, and put back."""
    ecs = workspace.client("ecs")
    (arn,) = ecs.list_services(cluster="models")["serviceArns"]
    ecs.update_service(cluster="models", service=arn, desiredCount=3)
    # AWS may go on showing what was true before, for a while.
    diff = until(lambda: changed if (changed := workspace.moorage("diff", "-f", "specs")).code != 0 else None)
    assert diff.code == 1
    assert "@@ desiredCount @@ drift: changed in AWS since it was applied\n-3\n+1\n" in diff.out
    assert workspace.reconcile().json["steps"] == {"update": 1}
    assert ecs.describe_services(cluster="models", services=[arn])["services"][0]["desiredCount"] == 1


def test_why_traces_the_route_to_the_data(workspace: CliWorkspace) -> None:
    """Every hop from the live route back is named and agrees with the next.

    Outside of Git, the missing commit is said.
    """
    reported = workspace.moorage("why", "housing-model", "-f", "specs", "-o", "json")
    assert reported.code == 6
    (way,) = reported.json["ways"]
    hops = {hop["hop"]: hop for hop in way}
    assert [name for name, hop in hops.items() if hop["problem"]] == ["commit"]
    assert hops["route"]["endpoint"] == workspace.endpoint
    assert hops["image"]["model"] == workspace.served_model()["sha256"]
    assert hops["version"]["id"] == str(workspace.served_model()["version"])
    assert "specs were not in Git" in workspace.moorage("why", "housing-model", "-f", "specs").out


WRONG = [
    (("memory: 1 GB", "memroy: 1 GB"), "unknown field 'memroy'"),
    (("memory: 1 GB", "memory: 64 GB"), "memory"),
    (("max_depth: 6", "max_dept: 6"), "max_dept"),
    (("california_housing.csv", "nowhere.csv"), "nowhere.csv"),
    (("target: median_house_value", "target: price"), "price"),
    (("kind: ModelService", "kind: ModelService\nkind: ModelService"), "kind"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[change[1].splitlines()[-1] for change, _ in WRONG])
def test_a_wrong_spec_changes_nothing(workspace: CliWorkspace, change: tuple[str, str], words: str) -> None:
    """Exit 2, the place as file:line:column, no traceback, and AWS isn't even asked."""
    workspace.edit(change)
    for command in (["validate"], ["plan"], ["reconcile", "--once"]):
        refused = workspace.moorage(*command, "-f", "specs")
        assert refused.code == 2, refused.err
        assert words in refused.err
        assert "specs/housing-model.yaml:" in refused.err
        assert "Traceback" not in refused.err + refused.out
    workspace.edit()
    assert workspace.reconcile().json["calls"]["write"] == 0
