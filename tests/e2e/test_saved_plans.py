"""A plan is made in one job of a pipeline and carried out in another: exactly that one, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from controller.planning import plan_document
from controller.planning.plan_document import PlanDocument
from tests.cli_workspace import CliWorkspace
from tests.e2e.conftest import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
CPU = ("0.25 vCPU", "0.5 vCPU")


@dataclass
class Pipeline:
    """Jobs that share an AWS account and what is remembered of it, each with files of its own."""

    directory: Path
    jobs: int = 0

    @property
    def run_outside_jobs(self) -> CliWorkspace:
        """Somebody beside the jobs."""
        home = {"MOORAGE_HOME": str(self.directory / "home"), "MOORAGE_LOCAL_RUNNER": "noop"}
        return CliWorkspace(self.directory, variables=home | {"MOORAGE_LOCAL_VPC_LINK_SECONDS": "0.1"})

    def job(self, *changes: tuple[str, str]) -> CliWorkspace:
        """A directory with the specs, as this commit has them."""
        self.jobs += 1
        team = replace(self.run_outside_jobs, directory=self.directory / f"job-{self.jobs}")
        team.copy_from_repository()
        team.edit(*changes)
        return team

    @property
    def file(self) -> Path:
        """Where the plan is kept between jobs."""
        return self.directory / "plan.json"

    def plan(self, *changes: tuple[str, str]) -> Any:
        done = self.job(*changes).plan("--out", str(self.file))
        assert done.code == 0, done.err
        return done.json

    def apply(self, *changes: tuple[str, str]) -> Any:
        return self.job(*changes).reconcile("--plan", str(self.file))

    @property
    def drift(self) -> str:
        """What differs from the specs as they were applied."""
        return self.job().moorage("diff", "-f", "specs").out

    @property
    def service(self) -> Any:
        ecs = self.run_outside_jobs.client("ecs")
        (arn,) = ecs.list_services(cluster="models")["serviceArns"]
        (found,) = ecs.describe_services(cluster="models", services=[arn])["services"]
        return found


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """An account in which a first plan, from nothing, was carried out by another job."""
    pipeline = Pipeline(tmp_path_factory.mktemp("pipeline"))
    try:
        made = pipeline.plan()
        done = pipeline.apply()
        assert done.code == 0, done.err
        assert done.json["steps"] == made["summary"]["now"]
        yield pipeline
    finally:
        pipeline.run_outside_jobs.stop_embedded_aws()


def test_saved_plan_is_applied_exactly(pipeline: Pipeline) -> None:
    """Now and later: a retraining and more CPU, in one plan that the schema takes.

    Afterwards there is nothing to do.
    """
    changes = (CPU, ("max_depth: 6", "max_depth: 5"))
    made = pipeline.plan(*changes)
    jsonschema.validate(made, json.loads(plan_document.schema()))
    assert json.loads(pipeline.file.read_text()) == made
    assert made["trains"] == ["housing-model"]
    assert made["summary"]["later"]
    done = pipeline.apply(*changes)
    assert done.code == 0, done.err
    # What is updated now is updated once more, later.
    assert done.json["steps"].keys() == {step["action"] for step in made["steps"]} == {"revise", "update"}
    assert pipeline.job(*changes).plan().json["steps"] == []
    pipeline.plan()
    assert pipeline.apply().code == 0


def test_drift_after_planning_stops_apply(pipeline: Pipeline) -> None:
    """Exit 5, what differs is named, and neither the planned change nor the drift is touched."""
    pipeline.plan(CPU)
    before = pipeline.service["taskDefinition"]
    ecs = pipeline.run_outside_jobs.client("ecs")
    where = {"cluster": "models", "service": pipeline.service["serviceArn"]}
    ecs.update_service(**where, desiredCount=3)
    # AWS may go on showing what was true before, for a while; a plan can't be held to what isn't shown.
    until(lambda: "desiredCount" in pipeline.drift)
    stopped = pipeline.apply(CPU)
    assert (stopped.code, stopped.out) == (5, "")
    assert "needed now, and not planned: update ecs/service housing-model (desiredCount, taskDefinition)" in stopped.err
    assert (pipeline.service["taskDefinition"], pipeline.service["desiredCount"]) == (before, 3)
    ecs.update_service(**where, desiredCount=1)
    until(lambda: "desiredCount" not in pipeline.drift)


def test_spec_edit_after_planning_stops_apply(pipeline: Pipeline) -> None:
    """Exit 5, the spec is named, and nothing is applied; so it is when only the data differ."""
    pipeline.plan(CPU)
    before = pipeline.service["taskDefinition"]
    stopped = pipeline.apply(("0.25 vCPU", "1 vCPU"), ("memory: 1 GB", "memory: 2 GB"))
    assert stopped.code == 5
    assert "ModelService housing-model differs" in stopped.err
    other = pipeline.job(CPU)
    data = other.directory / "data/california_housing.csv"
    data.write_text("".join(data.read_text().splitlines(keepends=True)[:-1]))
    stopped = other.reconcile("--plan", str(pipeline.file))
    assert stopped.code == 5
    assert "ModelService housing-model differs" in stopped.err
    assert pipeline.service["taskDefinition"] == before


def test_forged_plan_is_refused(pipeline: Pipeline) -> None:
    """Edited by somebody who knows how to make its digest good again: exit 5, as no plan gives what it promises."""
    pipeline.plan(CPU)
    before = pipeline.service["taskDefinition"]
    found = PlanDocument.model_validate_json(pipeline.file.read_text().replace('"512"', '"1024"'))
    pipeline.file.write_text(found.model_copy(update={"digest": found.checksum}).text())
    stopped = pipeline.apply(CPU)
    assert (stopped.code, stopped.out) == (5, "")
    assert "the saved plan doesn't include this" in stopped.err
    assert "cpu" in stopped.err
    assert pipeline.service["taskDefinition"] == before


def test_saved_plan_requires_once_and_matching_options(pipeline: Pipeline) -> None:
    """Without --once there is no plan to be carried out.

    A file that isn't there and other pruning than planned end 2.
    """
    team = pipeline.job()
    pipeline.plan()
    assert team.moorage("reconcile", "-f", "specs", "--plan", str(pipeline.file)).code == 2
    assert team.reconcile("--plan", "nowhere.json").code == 2
    assert team.reconcile("--prune", "--plan", str(pipeline.file)).code == 2
