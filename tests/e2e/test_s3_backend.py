"""Outside `--local`: records and lease are in the artifact bucket, and any machine may run the next pass."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded_aws import control
from tests.cli_workspace import ROOT, CliWorkspace, CommandResult

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass
class SharedAccount:
    """An AWS account (the embedded one, by its endpoint alone) and fresh machines that work on it."""

    directory: Path
    endpoint: str
    text: str = (ROOT / "specs/housing-model.yaml").read_text()

    def machine(self, name: str) -> CliWorkspace:
        """A machine of that name, which knows nothing the first time."""
        team = CliWorkspace(self.directory / name, self.endpoint)
        team.copy_from_repository()
        team.spec.write_text(self.text)
        return team

    def start(self, machine: str, *words: str) -> subprocess.Popen[str]:
        """Start a command on a machine."""
        return self.machine(machine).start(*words)

    def run(self, machine: str, *words: str) -> CommandResult:
        """Run a command to its end on a machine."""
        return self.machine(machine).moorage(*words)

    def client(self, service: str) -> Any:
        """A client of its own, beside the controller."""
        return CliWorkspace(self.directory, self.endpoint).client(service)

    def stored_objects(self, prefix: str = "moorage/") -> list[Any]:
        """The objects that the controller keeps for itself."""
        s3 = self.client("s3")
        [bucket] = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return [(bucket, item["Key"]) for item in listed]

    def object_counts(self) -> dict[str, int]:
        """How many there are of what would be there twice."""
        api, ecs, sagemaker = (self.client(name) for name in ("apigatewayv2", "ecs", "sagemaker"))
        groups = [
            group["ModelPackageGroupName"]
            for group in sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
        ]
        return {
            "apis": len(api.get_apis()["Items"]),
            "vpc links": len(api.get_vpc_links()["Items"]),
            "services": len(ecs.list_services(cluster="models")["serviceArns"]),
            "task definitions": len(ecs.list_task_definitions()["taskDefinitionArns"]),
            "jobs": len(sagemaker.list_training_jobs()["TrainingJobSummaries"]),
            "versions": sum(
                len(sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"])
                for group in groups
            ),
            "buckets": len(self.client("s3").list_buckets()["Buckets"]),
        }


ONCE = ("reconcile", "--once", "-f", "specs", "-o", "json")
ONE_OF_EACH_TYPE = dict.fromkeys(
    ("apis", "vpc links", "services", "task definitions", "jobs", "versions", "buckets"), 1
)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedAccount]:
    """An account that three processes started to reconcile at the same moment, when nothing was there, the bucket
    included.

    Two of them go on asking, as loops do; the third is a CI run, which takes its exit code for an answer.
    """
    directory = tmp_path_factory.mktemp("account")
    try:
        account = SharedAccount(directory, control.up(directory / "aws").endpoint)
        processes = {name: account.start(name, *ONCE) for name in ("loop-1", "loop-2", "ci")}
        ended = {name: (*process.communicate(timeout=300), process.returncode) for name, process in processes.items()}
        (directory / "first.json").write_text(json.dumps(ended))
        for name in ("loop-1", "loop-2"):
            if ended[name][2] == 8:
                code, _, err = account.run(name, *ONCE)
                assert code == 0, err
        yield account
    finally:
        control.down(directory / "aws")


def test_three_concurrent_processes_create_everything_once(account: SharedAccount) -> None:
    """One works, the others wait or end 8 with its name; there is one of everything, and all agree that it is ready."""
    ended = json.loads((account.directory / "first.json").read_text())
    codes = [code for _, _, code in ended.values()]
    assert 0 in codes
    assert set(codes) <= {0, 8}
    for _, err, code in ended.values():
        assert (code == 8) == ("another controller is working here" in err)
        assert code == 0 or "held by process" in err
    assert sum(json.loads(out)["steps"].get("create", 0) for out, _, code in ended.values() if code == 0) >= 20
    assert account.object_counts() == ONE_OF_EACH_TYPE


def test_a_fresh_machine_knows_what_was_applied(account: SharedAccount) -> None:
    """No step, and nothing written but the lease, which is given back after the count.

    `get` and `events` tell what others did.
    """
    code, out, err = account.run("fresh-1", *ONCE)
    assert code == 0, err
    assert json.loads(out)["steps"] == {}
    assert json.loads(out)["calls"]["write"] == 1
    code, out, err = account.run("fresh-2", "get", "housing-model", "-f", "specs", "-o", "json")
    assert code == 0, err
    assert json.loads(out)["status"]["model"]["version"] == 1
    _, out, _ = account.run("fresh-2", "events", "housing-model", "-f", "specs", "-o", "json")
    assert {"Created", "Reconciled"} <= {event["reason"] for event in json.loads(out)}
    assert not (account.directory / "fresh-2/.moorage").exists()


def test_a_dropped_field_is_reset_by_another_machine(account: SharedAccount) -> None:
    """What one machine applied and the spec no longer says, the next machine takes back: that is what
    records are for.
    """
    plain = account.text
    assert "  api: {type: http, " in plain
    api = account.client("apigatewayv2")
    [found] = api.get_apis()["Items"]
    limits = []
    for number, text in enumerate(
        (plain.replace("  api: {type: http, ", "  api: {type: http, throttle: {rate: 50, burst: 100}, "), plain)
    ):
        account.text = text
        code, _, err = account.run(f"commit-{number}", *ONCE)
        assert code == 0, err
        [stage] = api.get_stages(ApiId=found["ApiId"])["Items"]
        limits.append(stage.get("DefaultRouteSettings", {}).get("ThrottlingRateLimit"))
    assert limits[0] == 50
    assert limits[1] != 50


def test_losing_all_records_loses_only_history(account: SharedAccount) -> None:
    """All objects are deleted: the next run finds everything by name and tag, takes no step, and writes it
    down again.
    """
    before = account.object_counts()
    for bucket, key in account.stored_objects():
        account.client("s3").delete_object(Bucket=bucket, Key=key)
    code, out, err = account.run("fresh-3", *ONCE)
    assert code == 0, err
    assert json.loads(out)["steps"] == {}
    assert account.object_counts() == before == ONE_OF_EACH_TYPE
    assert len(account.stored_objects("moorage/state/")) == 2
