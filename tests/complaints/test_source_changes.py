"""Complaint 7: the commit that was rolled back comes back; an empty source prunes everything.

Waiting blocks the fix.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.cli import run
from tests.complaints.conftest import condition_of, model_status, reconcile_collecting_steps
from tests.conftest import EmbeddedAws
from tests.demo import ENVIRONMENT, MODEL, Demo, Model

pytestmark = pytest.mark.e2e
PASSES = 10


def write_specs(demo: Demo, directory: Path) -> Path:
    """The demo's specs as a file."""
    home = ENVIRONMENT.format(name="default", labels="{}", settings=demo.settings)
    texts = [home, *(MODEL.format(**vars(model)) for model in demo.models)]
    (directory / "rows.csv").write_bytes((demo.directory / "rows.csv").read_bytes())
    (directory / "specs.yaml").write_text("---".join(texts))
    return directory / "specs.yaml"


def version(demo: Demo) -> int:
    return int(model_status(demo.reconcile_until_settled()).facts["model"]["version"])


def test_rolled_back_commit_is_not_reapplied(settled: Demo, idle_aws: EmbeddedAws, tmp_path: Path) -> None:
    """argo-cd#9570.

    `moorage rollback` is an edit of the spec, so there is nothing for the next sync to undo: pass after pass serves the
    version before, though the hyperparameters still ask for the other one; taken back, that one serves again.
    """
    settled.models = (replace(Model(), depth=3),)
    assert (version(settled), settled.survey().plan.steps) == (2, ())
    file = write_specs(settled, tmp_path)
    assert run(["rollback", "housing-model", "-f", str(file), "--local", "--home", str(idle_aws.home)]) == 0
    settled.models = (replace(Model(), depth=3, pin="version: 1, "),)
    assert file.read_text() == write_specs(settled, tmp_path).read_text()
    assert version(settled) == 1
    reconciler = settled.reconciler()
    for _ in range(PASSES):
        again = reconciler.reconcile(settled.spec_contexts())
        assert (again.completed_steps, model_status(again).facts["model"]["version"]) == ((), 1)
    assert reconciler.aws.call_counter.writes == 0
    settled.models = (replace(Model(), depth=3),)
    assert version(settled) == 2


def test_empty_or_broken_source_prunes_nothing(settled: Demo, idle_aws: EmbeddedAws, tmp_path: Path) -> None:
    """argo-cd#3484.

    A directory without a spec, none at all, and a file that can't be understood: exit 2 before AWS is even asked, so
    everything is as declared. (What a readable source may prune: `tests/reliability/test_prune_command.py`.)
    """
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "specs.yaml").write_text("kind: ModelService\nmetadata: [")
    empty = tmp_path / "empty"
    empty.mkdir()
    before = idle_aws.call_admin_endpoint("calls")
    for source in (empty, tmp_path / "nowhere", broken):
        words = ["reconcile", "--once", "--prune", "--max-prune", "100%", "-f", str(source)]
        assert run([*words, "--local", "--home", str(idle_aws.home)]) == 2
    assert idle_aws.call_admin_endpoint("calls") == before
    assert settled.survey().plan.steps == ()


def test_waiting_does_not_block_a_fix(settled: Demo) -> None:
    """kustomize-controller#701.

    While a training runs that takes an hour, a commit that changes the CPU is rolled out by the next pass; and the
    commit that takes the training back stops it, without anybody waiting for it.
    """
    long = replace(Model(), depth=4, rounds=1_000_000)
    settled.models = (long,)
    for _ in range(2):
        done = settled.reconciler().reconcile(settled.spec_contexts())
    assert condition_of(done, "Trained") == ("False", "Training")
    settled.models = (replace(long, service="{cpu: 0.5 vCPU, memory: 1 GB}"),)
    done = settled.reconciler().reconcile(settled.spec_contexts())
    assert [step.node.key.kind for step in done.completed_steps] == ["ecs/task-definition", "ecs/service"]
    assert condition_of(done, "Trained") == ("False", "Training")
    settled.models = (Model(),)
    assert ("delete", "sagemaker/training-job") in {
        (str(s.action), s.node.key.kind) for s in reconcile_collecting_steps(settled)
    }
    listed = settled.aws_client().iter_items("sagemaker", "list_training_jobs", "TrainingJobSummaries")
    assert [job["TrainingJobStatus"] for job in listed].count("Stopped") == 1
