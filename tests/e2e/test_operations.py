"""What people do beside reconciling: look back, read logs, wait, approve, try again, check, delete."""

from __future__ import annotations

import json

import pytest

from tests.command_line import NAME, CliWorkspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_wait_sees_what_the_controller_wrote(team: CliWorkspace) -> None:
    """0 when it holds, 9 when it doesn't in time, 6 for what nobody knows, 2 for what can't be waited for."""
    assert team.moorage("wait", NAME, "--for=condition=Ready", "--timeout", "5s")[0] == 0
    assert team.moorage("wait", NAME, "--for=condition=Stalled", "--timeout", "1s")[0] == 9
    assert team.moorage("wait", "nobody", "--timeout", "1s")[0] == 6
    assert team.moorage("wait", NAME, "--for", "nonsense")[0] == 2


def test_logs_come_from_where_they_were_written(team: CliWorkspace) -> None:
    """The tasks', the training's to its end, and the controller's own."""
    _, out, _ = team.moorage("logs", NAME)
    assert '"event":"started"' in out
    code, out, err = team.moorage("logs", NAME, "--of", "training", "--follow", "--tail", "2")
    assert code == 0, err
    assert 0 < len(out.splitlines()) <= 2
    code, out, _ = team.moorage("logs", NAME, "--of", "training", "-o", "json")
    messages = [json.loads(line)["message"] for line in out.splitlines()]
    assert sum("validation-rmse" in message for message in messages) == 100
    assert "Ready is True" in team.moorage("logs", NAME, "--of", "controller")[1]
    assert team.moorage("logs", "nobody")[0] == 6


def test_doctor_finds_nothing_wrong(team: CliWorkspace) -> None:
    """With the embedded AWS: everything that can be looked at is fine, and what can't be is said to be unknown."""
    found = team.json("doctor")
    assert {finding["check"] for finding in found} == {
        *("source", "credentials", "clock", "permissions", "state", "quotas", "network")
    }
    assert {finding["state"] for finding in found} <= {"ok", "unknown"}
    broken = team.directory / "broken"
    broken.mkdir()
    (broken / "a.yaml").write_text("kind: Nothing\n")
    assert team.moorage("doctor", "-f", "broken")[0] == 2


def test_a_person_approves_or_rejects(team: CliWorkspace) -> None:
    """A version waits, `approve` lets it serve; one that is rejected never does, and what served goes on."""
    manual = ("  model:\n    gates: [{metric: rmse, dataset: test, max: 50500}]", "  model: {approval: manual}")
    team.edit(manual, ("max_depth: 6", "max_depth: 4"))
    assert team.reconcile()[0] == 5
    assert team.json("get", NAME)["status"]["model"]["version"] == 1
    code, out, err = team.moorage("approve", NAME, "--message", "looks good")
    assert (code, out) == (0, f"version 2 of {NAME} is approved\n"), err
    assert team.reconcile()[0] == 0
    assert team.json("get", NAME)["status"]["model"]["version"] == 2
    assert team.moorage("approve", NAME)[0] == 6
    assert team.moorage("approve", NAME, "--version", "99")[0] == 6
    team.edit(manual, ("max_depth: 6", "max_depth: 3"))
    assert team.reconcile()[0] == 5
    assert team.moorage("approve", NAME, "--reject", "--message", "worse")[0] == 0
    held = team.reconcile()
    assert held.code == 5
    assert "worse" in held.out
    assert team.json("get", NAME)["status"]["model"]["version"] == 2


def test_a_failed_training_is_tried_again_when_asked(team: CliWorkspace) -> None:
    """Its job keeps its name, the next attempt has a number; nothing is tried by itself, whatever is remembered."""
    labels_that_are_no_probabilities = ("objective: reg:squarederror", "objective: reg:logistic")
    team.edit(labels_that_are_no_probabilities)
    sagemaker = team.client("sagemaker")
    before = len(sagemaker.list_training_jobs()["TrainingJobSummaries"])

    def jobs() -> list[str]:
        listed = sagemaker.list_training_jobs(SortBy="CreationTime", SortOrder="Ascending")["TrainingJobSummaries"]
        return [job["TrainingJobName"] for job in listed[before:]]

    for _ in range(2):
        assert team.reconcile()[0] == 4
    [first] = jobs()
    code, out, err = team.moorage("retry", NAME)
    assert (code, out) == (0, f"to be tried again: training job {first}, which failed\n"), err
    for _ in range(2):
        assert team.reconcile()[0] == 4
    assert jobs() == [first, f"{first}-2"]
    for left in (team.directory / "home").glob("local-*.db*"):
        left.unlink()
    assert team.reconcile()[0] == 4
    assert jobs() == [first, f"{first}-2"]
    team.edit()
    assert team.reconcile()[0] == 0
    code, out, err = team.moorage("retry", NAME)
    assert (code, out) == (0, "")
    assert "nothing" in err


def test_history_tells_what_came_of_each_revision(team: CliWorkspace) -> None:
    """Two changes, one of them a failure, each with the version and the image that served then."""
    before = len(team.json("history", NAME))
    team.edit(("max: 50500", "max: 1000"), ("max_depth: 6", "max_depth: 2"))
    assert team.reconcile()[0] == 5
    team.edit(("cpu: 0.25 vCPU", "cpu: 0.5 vCPU"))
    assert team.reconcile()[0] == 0
    gate, cpu = team.json("history", NAME)[before:]
    assert (gate["result"], cpu["result"]) == ("GateFailed", "Ready")
    assert "above 1000" in gate["message"]
    assert cpu["generation"] == gate["generation"] + 1
    assert gate["modelVersion"] == cpu["modelVersion"] == 1
    assert gate["image"] == cpu["image"]
    assert "@sha256:" in cpu["image"]
    assert cpu["time"] > gate["time"]
    assert "GateFailed" in team.moorage("history", NAME)[1]


def test_delete_takes_what_is_the_models_own(team: CliWorkspace) -> None:
    """Asked for in so many words; data, versions and logs stay and are listed; other things are not touched."""
    assert team.moorage("delete", "nobody", "--yes")[0] == 6
    code, out, err = team.moorage("delete", NAME)
    assert code == 2
    assert "--yes" in err
    assert "delete   ecs/service housing-model" in out
    assert team.json("get", NAME)["status"]["endpoint"]
    code, out, err = team.moorage("delete", NAME, "--yes")
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    kept = {kind for fate, kind, *_ in lines if fate == "keep"}
    assert {"logs/log-group", "s3/object", "sagemaker/model-package", "sagemaker/training-job"} <= kept
    assert "a file still declares" in err
    assert team.client("ecs").list_services(cluster="models")["serviceArns"] == []
    assert team.client("apigatewayv2").get_apis()["Items"] == []
    assert len(team.client("apigatewayv2").get_vpc_links()["Items"]) == 1
    assert team.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert team.moorage("get", NAME)[0] == 6
    assert team.moorage("delete", NAME, "--yes")[0] == 6
    assert team.reconcile()[0] == 0
    assert team.json("get", NAME)["status"]["model"]["version"] == 1
