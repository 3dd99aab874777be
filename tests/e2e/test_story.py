"""The story as its users live it: one spec in, a served model out, and every change after that, through the command line."""

from __future__ import annotations

import json
import os

import pytest

from tests.asking import continuous_client, send_request
from tests.command_line import CliWorkspace, CommandResult, condition
from tests.e2e.conftest import until

ROW = [8.3252, 41, 880, 129, 322, 126, 37.88, -122.23]
SEED_ROW = ",".join(map(str, ROW))

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def as_in_the_repository(team: CliWorkspace) -> None:
    """Every test starts from the repository's spec, reconciled; that by itself is a revert of whatever came before."""
    team.edit()
    assert team.reconcile().code == 0


def trained(result: CommandResult) -> bool:
    return "trains a model" in result.err


def test_the_weather_is_the_runs(team: CliWorkspace) -> None:
    """What is asked of a run by MOORAGE_LOCAL_WEATHER holds in the AWS that the commands start."""
    asked = filter(None, os.environ.get("MOORAGE_LOCAL_WEATHER", "").split(","))
    assert json.loads(send_request(f"{team.aws}/_moorage/weather")[1])["kinds"] == sorted(asked)


def test_a_second_run_does_nothing(team: CliWorkspace) -> None:
    """Right after, there is no step, and not one write."""
    again = team.reconcile()
    assert (again.code, again.json["steps"], again.json["calls"]["write"]) == (0, {}, 0)
    assert (again.json["specs"], again.json["ready"]) == (2, 2)
    assert team.moorage("diff", "-f", "specs").code == 0
    assert team.moorage("plan", "-f", "specs", "--detailed-exitcode").code == 0


def test_the_model_answers_through_its_api(team: CliWorkspace) -> None:
    """The route answers with the served model's prediction, the seed's contract holds, and what has no route is not there."""
    status = team.get()["status"]
    assert status["model"]["metrics"]["test"]["rmse"] < 50_500
    code, body = send_request(f"{status['endpoint']}/predict", {"instances": [ROW]})
    assert code == 200
    assert json.loads(body)["model"] == {"name": "housing-model", "version": status["model"]["version"]}
    (prediction,) = json.loads(body)["predictions"]
    assert 300_000 < prediction < 550_000
    seed = send_request(f"{status['endpoint']}/", {"response_content_type": "application/json", "pred_x_csv": SEED_ROW})
    assert float(json.loads(seed[1])["Predicted value"]) == pytest.approx(prediction, abs=0.01)
    assert send_request(f"{status['endpoint']}/metrics")[0] == 404
    assert team.served_model()["sha256"] == status["model"]["sha256"]


def test_wrong_input_is_refused_through_the_api(team: CliWorkspace) -> None:
    """Seven features of eight are never a wrong 200."""
    code, body = send_request(f"{team.endpoint}/predict", {"instances": [ROW[:7]]})
    assert code in (400, 422)
    assert b"8" in body


def test_another_cpu_rolls_out_without_one_failed_request(team: CliWorkspace) -> None:
    """The plan names the task definition's cpu and the service's revision, nothing else; a client without pause sees no failure."""
    team.edit(("0.25 vCPU", "0.5 vCPU"))
    plan = team.moorage("plan", "-f", "specs", "--detailed-exitcode", "-o", "json")
    assert plan.code == 2
    told = [
        (step["action"], step["resource"], [change["path"] for change in step["changes"]])
        for step in plan.json["steps"]
    ]
    assert told == [("revise", "ecs/task-definition", ["cpu"]), ("update", "ecs/service", ["taskDefinition"])]
    with continuous_client(team.endpoint, ROW) as outcomes:
        done = team.reconcile()
    assert (done.code, done.json["steps"]) == (0, {"revise": 1, "update": 1})
    assert set(outcomes) == {"200"}
    assert outcomes["200"] > 100


def test_another_hyperparameter_retrains_and_a_revert_does_not(team: CliWorkspace) -> None:
    """The plan says that it retrains and what comes later; the new version serves in the end; reverted, the first serves again and nothing trains."""
    first = team.served_model()
    team.edit(("max_depth: 6", "max_depth: 5"))
    plan = team.moorage("plan", "-f", "specs")
    assert "trains a model" in plan.out
    assert 'hyperparameters.max_depth  "6" → "5"' in plan.out
    assert "later" in plan.out
    done = team.reconcile()
    assert done.code == 0
    assert trained(done)
    second = team.served_model()
    assert second["version"] == first["version"] + 1
    assert second["sha256"] == team.get()["status"]["model"]["sha256"] != first["sha256"]
    team.edit()
    back = team.reconcile()
    assert back.code == 0
    assert not trained(back)
    assert team.served_model()["sha256"] == first["sha256"]


def test_a_gate_holds_a_worse_model_back(team: CliWorkspace) -> None:
    """An impossible gate with a new hyperparameter: exit 5, Approved is False for GateFailed, and the old version keeps answering."""
    first = team.served_model()
    team.edit(("max_depth: 6", "max_depth: 3"), ("max: 50500", "max: 1000"))
    with continuous_client(team.endpoint, ROW) as outcomes:
        held = team.reconcile()
    assert held.code == 5
    item = team.get()
    assert condition(item, "Approved") == ("False", "GateFailed")
    assert condition(item, "Ready") == ("False", "GateFailed")
    assert condition(item, "Degraded")[0] == "False"
    assert set(outcomes) == {"200"}
    assert team.served_model() == first
    assert team.reconcile().code == 5


def test_a_relaxed_gate_lets_the_same_version_through(team: CliWorkspace) -> None:
    """Once the gate allows it, the version that it held back is approved and serves, without another training."""
    team.edit(("max_depth: 6", "max_depth: 4"), ("max: 50500", "max: 1000"))
    assert team.reconcile().code == 5
    team.edit(("max_depth: 6", "max_depth: 4"), ("max: 50500", "max: 90000"))
    done = team.reconcile()
    assert done.code == 0
    assert not trained(done)
    assert condition(team.get(), "Approved") == ("True", "Approved")


def test_a_scans_finding_stops_a_rollout(team: CliWorkspace) -> None:
    """With a finding at image.maxSeverity the next change isn't rolled out: exit 5, and what serves goes on serving."""
    endpoint = team.endpoint
    findings = f"{team.aws}/_moorage/findings"
    limit = ("spec:\n", "spec:\n  image: {maxSeverity: high}\n")
    try:
        assert send_request(findings, {"HIGH": 2}, "PUT")[0] == 200
        team.edit(limit, ("0.25 vCPU", "0.5 vCPU"))
        held = team.reconcile()
        assert held.code == 5, held.err
        assert condition(team.get(), "Ready") == ("False", "FindingsForbid")
        assert send_request(f"{endpoint}/predict", {"instances": [ROW]})[0] == 200
    finally:
        send_request(findings, {}, "PUT")
    assert team.reconcile().code == 0


def test_a_route_comes_and_goes(team: CliWorkspace) -> None:
    """A route taken out of the spec is deleted, and answers 404; put back, it answers again."""
    team.edit((", {method: GET, path: /livez}", ""))
    done = team.reconcile()
    assert (done.code, done.json["steps"].keys()) == (0, {"delete"})
    assert send_request(f"{team.endpoint}/livez")[0] == 404
    team.edit()
    team.reconcile()
    assert send_request(f"{team.endpoint}/livez")[0] == 200


def test_nothing_runs_and_it_is_ready(team: CliWorkspace) -> None:
    """Zero desired tasks is Ready, for the reason ScaledToZero, and the API says that nobody is there."""
    team.edit(("desiredCount: 1", "desiredCount: 0"))
    assert team.reconcile().code == 0
    assert condition(team.get(), "Deployed") == ("True", "ScaledToZero")
    assert send_request(f"{team.endpoint}/livez")[0] == 503


def test_a_changed_resource_is_put_back(team: CliWorkspace) -> None:
    """What somebody changes behind the controller's back is named by diff, field by field, and put back."""
    ecs = team.client("ecs")
    (arn,) = ecs.list_services(cluster="models")["serviceArns"]
    ecs.update_service(cluster="models", service=arn, desiredCount=3)
    # AWS may go on showing what was true before, for a while.
    diff = until(lambda: changed if (changed := team.moorage("diff", "-f", "specs")).code != 0 else None)
    assert diff.code == 1
    assert "@@ desiredCount @@ drift: changed in AWS since it was applied\n-3\n+1\n" in diff.out
    assert team.reconcile().json["steps"] == {"update": 1}
    assert ecs.describe_services(cluster="models", services=[arn])["services"][0]["desiredCount"] == 1


def test_why_leads_from_the_route_to_the_data(team: CliWorkspace) -> None:
    """Every hop from the live route back is named and agrees with the next; outside of Git, the missing commit is said."""
    told = team.moorage("why", "housing-model", "-f", "specs", "-o", "json")
    assert told.code == 6
    (way,) = told.json["ways"]
    hops = {hop["hop"]: hop for hop in way}
    assert [name for name, hop in hops.items() if hop["problem"]] == ["commit"]
    assert hops["route"]["endpoint"] == team.endpoint
    assert hops["image"]["model"] == team.served_model()["sha256"]
    assert hops["version"]["id"] == str(team.served_model()["version"])
    assert "specs were not in Git" in team.moorage("why", "housing-model", "-f", "specs").out


WRONG = [
    (("memory: 1 GB", "memroy: 1 GB"), "unknown field 'memroy'"),
    (("memory: 1 GB", "memory: 64 GB"), "memory"),
    (("max_depth: 6", "max_dept: 6"), "max_dept"),
    (("california_housing.csv", "nowhere.csv"), "nowhere.csv"),
    (("target: median_house_value", "target: price"), "price"),
    (("kind: ModelService", "kind: ModelService\nkind: ModelService"), "kind"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[change[1].splitlines()[-1] for change, _ in WRONG])
def test_a_wrong_spec_changes_nothing(team: CliWorkspace, change: tuple[str, str], words: str) -> None:
    """Exit 2, the place as file:line:column, no traceback, and AWS isn't even asked."""
    team.edit(change)
    for command in (["validate"], ["plan"], ["reconcile", "--once"]):
        refused = team.moorage(*command, "-f", "specs")
        assert refused.code == 2, refused.err
        assert words in refused.err
        assert "specs/housing-model.yaml:" in refused.err
        assert "Traceback" not in refused.err + refused.out
    team.edit()
    assert team.reconcile().json["calls"]["write"] == 0
