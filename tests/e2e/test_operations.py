"""What people do beside reconciling: look back, read logs, wait, approve, try again, check, delete."""

from __future__ import annotations

import json

import pytest

from tests.cli_workspace import NAME, CliWorkspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_wait_sees_what_the_controller_wrote(workspace: CliWorkspace) -> None:
    """0 when it holds, 9 when it doesn't in time, 6 for what nobody knows, 2 for what can't be waited for."""
    assert workspace.moorage("wait", NAME, "--for=condition=Ready", "--timeout", "5s")[0] == 0
    assert workspace.moorage("wait", NAME, "--for=condition=Stalled", "--timeout", "1s")[0] == 9
    assert workspace.moorage("wait", "nobody", "--timeout", "1s")[0] == 6
    assert workspace.moorage("wait", NAME, "--for", "nonsense")[0] == 2


def test_logs_come_from_where_they_were_written(workspace: CliWorkspace) -> None:
    """The tasks', the training's to its end, and the controller's own."""
    _, out, _ = workspace.moorage("logs", NAME)
    assert '"event":"started"' in out
    code, out, err = workspace.moorage("logs", NAME, "--of", "training", "--follow", "--tail", "2")
    assert code == 0, err
    assert 0 < len(out.splitlines()) <= 2
    code, out, _ = workspace.moorage("logs", NAME, "--of", "training", "-o", "json")
    messages = [json.loads(line)["message"] for line in out.splitlines()]
    assert sum("validation-rmse" in message for message in messages) == 100
    assert "Ready is True" in workspace.moorage("logs", NAME, "--of", "controller")[1]
    assert workspace.moorage("logs", "nobody")[0] == 6


def test_doctor_finds_nothing_wrong(workspace: CliWorkspace) -> None:
    """With the embedded AWS: everything that can be looked at is fine, and what can't be is said to be unknown."""
    found = workspace.json("doctor")
    assert {finding["check"] for finding in found} == {
        *("source", "credentials", "clock", "permissions", "state", "quotas", "network")
    }
    assert {finding["state"] for finding in found} <= {"ok", "unknown"}
    broken = workspace.directory / "broken"
    broken.mkdir()
    (broken / "a.yaml").write_text("kind: Nothing\n")
    assert workspace.moorage("doctor", "-f", "broken")[0] == 2


def test_manual_approval_and_rejection(workspace: CliWorkspace) -> None:
    """A version waits, `approve` lets it serve; one that is rejected never does, and what served goes on."""
    manual = ("  model:\n    gates: [{metric: rmse, dataset: test, max: 50500}]", "  model: {approval: manual}")
    workspace.edit(manual, ("max_depth: 6", "max_depth: 4"))
    assert workspace.reconcile()[0] == 5
    assert workspace.json("get", NAME)["status"]["model"]["version"] == 1
    code, out, err = workspace.moorage("approve", NAME, "--message", "looks good")
    assert (code, out) == (0, f"version 2 of {NAME} is approved\n"), err
    assert workspace.reconcile()[0] == 0
    assert workspace.json("get", NAME)["status"]["model"]["version"] == 2
    assert workspace.moorage("approve", NAME)[0] == 6
    assert workspace.moorage("approve", NAME, "--version", "99")[0] == 6
    workspace.edit(manual, ("max_depth: 6", "max_depth: 3"))
    assert workspace.reconcile()[0] == 5
    assert workspace.moorage("approve", NAME, "--reject", "--message", "worse")[0] == 0
    held = workspace.reconcile()
    assert held.code == 5
    assert "worse" in held.out
    assert workspace.json("get", NAME)["status"]["model"]["version"] == 2


def test_a_failed_training_is_tried_again_when_asked(workspace: CliWorkspace) -> None:
    """Its job keeps its name, the next attempt has a number; nothing is tried by itself, whatever is remembered."""
    labels_that_are_no_probabilities = ("objective: reg:squarederror", "objective: reg:logistic")
    workspace.edit(labels_that_are_no_probabilities)
    sagemaker = workspace.client("sagemaker")
    before = len(sagemaker.list_training_jobs()["TrainingJobSummaries"])

    def jobs() -> list[str]:
        listed = sagemaker.list_training_jobs(SortBy="CreationTime", SortOrder="Ascending")["TrainingJobSummaries"]
        return [job["TrainingJobName"] for job in listed[before:]]

    for _ in range(2):
        assert workspace.reconcile()[0] == 4
    [first] = jobs()
    code, out, err = workspace.moorage("retry", NAME)
    assert (code, out) == (0, f"the next reconcile retries: training job {first}, which failed\n"), err
    for _ in range(2):
        assert workspace.reconcile()[0] == 4
    assert jobs() == [first, f"{first}-2"]
    for left in (workspace.directory / "home").glob("local-*.db*"):
        left.unlink()
    assert workspace.reconcile()[0] == 4
    assert jobs() == [first, f"{first}-2"]
    workspace.edit()
    assert workspace.reconcile()[0] == 0
    code, out, err = workspace.moorage("retry", NAME)
    assert (code, out) == (0, "")
    assert "nothing" in err


def test_history_lists_the_result_of_each_revision(workspace: CliWorkspace) -> None:
    """Two changes, one of them a failure, each with the version and the image that served then."""
    before = len(workspace.json("history", NAME))
    workspace.edit(("max: 50500", "max: 1000"), ("max_depth: 6", "max_depth: 2"))
    assert workspace.reconcile()[0] == 5
    workspace.edit(("cpu: 0.25 vCPU", "cpu: 0.5 vCPU"))
    assert workspace.reconcile()[0] == 0
    gate, cpu = workspace.json("history", NAME)[before:]
    assert (gate["result"], cpu["result"]) == ("GateFailed", "Ready")
    assert "above 1000" in gate["message"]
    assert cpu["generation"] == gate["generation"] + 1
    assert gate["modelVersion"] == cpu["modelVersion"] == 1
    assert gate["image"] == cpu["image"]
    assert "@sha256:" in cpu["image"]
    assert cpu["time"] > gate["time"]
    assert "GateFailed" in workspace.moorage("history", NAME)[1]


def test_delete_removes_only_what_the_model_owns(workspace: CliWorkspace) -> None:
    """Asked for in so many words; data, versions and logs stay and are listed; other things are not touched."""
    assert workspace.moorage("delete", "nobody", "--yes")[0] == 6
    code, out, err = workspace.moorage("delete", NAME)
    assert code == 2
    assert "--yes" in err
    assert "delete   ecs/service housing-model" in out
    assert workspace.json("get", NAME)["status"]["endpoint"]
    code, out, err = workspace.moorage("delete", NAME, "--yes")
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    kept = {kind for fate, kind, *_ in lines if fate == "keep"}
    assert {"logs/log-group", "s3/object", "sagemaker/model-package", "sagemaker/training-job"} <= kept
    assert "a file still declares" in err
    assert workspace.client("ecs").list_services(cluster="models")["serviceArns"] == []
    assert workspace.client("apigatewayv2").get_apis()["Items"] == []
    assert len(workspace.client("apigatewayv2").get_vpc_links()["Items"]) == 1
    assert workspace.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert workspace.moorage("get", NAME)[0] == 6
    assert workspace.moorage("delete", NAME, "--yes")[0] == 6
    assert workspace.reconcile()[0] == 0
    assert workspace.json("get", NAME)["status"]["model"]["version"] == 1
