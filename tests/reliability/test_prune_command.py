"""What `reconcile --once --prune` may delete: never on the word of a source that can't be read, never too much at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from tests.demo import MODEL, Model, rows

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
NAMES = ("one", "two", "three")


@dataclass
class Team:
    """A directory with a file for each model, and the command line."""

    directory: Path

    def moorage(self, *words: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "MOORAGE_HOME": str(self.directory / "home"),
            "MOORAGE_LOCAL": "1",
            "MOORAGE_LOCAL_RUNNER": "noop",
            "MOORAGE_LOCAL_VPC_LINK_SECONDS": "0.1",
            "NO_COLOR": "1",
        }
        command = [str(Path(sys.executable).parent / "moorage"), *words]
        return subprocess.run(
            command,
            cwd=self.directory,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def reconcile(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.moorage("reconcile", "--once", "-f", "specs", "-o", "json", *words)

    def declare(self, *names: str) -> None:
        """Leave exactly these models' files."""
        specs = self.directory / "specs"
        specs.mkdir(exist_ok=True)
        for name in NAMES:
            (specs / f"{name}.yaml").unlink(missing_ok=True)
        for name in names:
            (specs / f"{name}.yaml").write_text(MODEL.format(**vars(Model(name=name))))
        (specs / "rows.csv").write_text(rows())

    def served(self) -> set[str]:
        """The models that AWS has an API of."""
        endpoint = json.loads(self.moorage("local", "status", "-o", "json").stdout)["endpoint"]
        session = boto3.Session("example", "example", region_name="us-east-1")
        apis = session.client("apigatewayv2", endpoint_url=endpoint).get_apis()["Items"]
        return {api["Tags"]["moorage:owner"].removeprefix("ModelService/") for api in apis}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Three models, reconciled."""
    team = Team(tmp_path_factory.mktemp("team"))
    team.declare(*NAMES)
    try:
        first = team.reconcile()
        assert first.returncode == 0, first.stderr
        assert team.served() == set(NAMES)
        yield team
    finally:
        team.moorage("local", "down")


def test_a_source_that_cannot_be_read_prunes_nothing(team: Team) -> None:
    """An empty directory, none at all, and a file that can't be understood: exit 2, and every model is still served."""
    team.declare()
    assert team.reconcile("--prune").returncode == 2
    assert team.moorage("reconcile", "--once", "-f", "nowhere", "--prune").returncode == 2
    team.declare("one", "two")
    (team.directory / "specs/three.yaml").write_text("kind: ModelService\nmetadata: [")
    assert team.reconcile("--prune").returncode == 2
    assert team.served() == set(NAMES)


def test_more_than_may_go_is_not_begun(team: Team) -> None:
    """Two of three are more than a fifth: exit 5, both are named, and not one is deleted."""
    team.declare("one")
    refused = team.reconcile("--prune")
    assert refused.returncode == 5
    assert "--max-prune" in refused.stderr
    assert "three" in refused.stderr
    assert "two" in refused.stderr
    assert team.served() == set(NAMES)


def test_without_the_word_nothing_goes_and_a_single_one_always_may(team: Team) -> None:
    """A removed file by itself deletes nothing; with --prune it does, though one of three is more than a fifth."""
    team.declare("one", "two")
    assert team.reconcile().returncode == 0
    assert team.served() == set(NAMES)
    pruned = team.reconcile("--prune")
    assert pruned.returncode == 0, pruned.stderr
    assert json.loads(pruned.stdout)["steps"]["delete"] > 10
    assert team.served() == {"one", "two"}
    assert json.loads(team.reconcile("--prune").stdout)["steps"] == {}


def test_all_may_go_where_that_is_allowed(team: Team) -> None:
    """With an Environment left to be read, and a share of all allowed, all models go."""
    team.declare()
    environment = "apiVersion: moorage/v1alpha1\nkind: Environment\nmetadata: {name: default}\n"
    (team.directory / "specs/environment.yaml").write_text(environment)
    pruned = team.reconcile("--prune", "--max-prune", "100%")
    assert pruned.returncode == 0, pruned.stderr
    assert team.served() == set()
