"""Equal jobs train once: which jobs are equal, and which results the second one gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded_aws.training.container import ContainerExit, TrainingContainer
from embedded_aws.training.result_cache import ResultCache

GOOD = ContainerExit(0, "", "")


def container(home: Path, name: str, rows: str = "1,2\n", rounds: str = "3") -> TrainingContainer:
    made = TrainingContainer(home, name)
    made.write_configuration({"num_round": rounds}, [{"ChannelName": "train", "DataSource": {"S3DataSource": {}}}])
    made.write_channel("train", [("train.csv", rows.encode())])
    return made


def train(made: TrainingContainer, how: ContainerExit = GOOD) -> ContainerExit:
    """Leave the results of a real image: a model and the last metrics."""
    made.restore_results({"xgboost-model": b"trees"}, {"train:rmse": 2.5})
    return how


def test_an_equal_job_gets_the_first_ones_results(tmp_path: Path) -> None:
    """Model and metrics are the first job's, whatever the second one's name, and nothing is trained."""
    once, first, second = ResultCache(), container(tmp_path, "first"), container(tmp_path, "second")
    assert once.get_or_train(first, lambda: train(first)) == GOOD
    assert once.get_or_train(second, lambda: pytest.fail("trained again")) == GOOD
    assert (second.read_model(), second.metrics) == ({"xgboost-model": b"trees"}, {"train:rmse": 2.5})
    assert first.pack_artifact() is not None
    assert second.pack_artifact() is not None


@pytest.mark.parametrize("other", [{"rows": "1,3\n"}, {"rounds": "4"}])
def test_a_different_job_trains(tmp_path: Path, other: dict[str, str]) -> None:
    """One other row or one other hyperparameter makes another job."""
    once, first, second = ResultCache(), container(tmp_path, "first"), container(tmp_path, "second", **other)
    once.get_or_train(first, lambda: train(first))
    assert once.get_or_train(second, lambda: ContainerExit(1, "trained", "")) == ContainerExit(1, "trained", "")


@pytest.mark.parametrize("how", [ContainerExit(1, "wrong", ""), ContainerExit(0, "", "Stopped")])
def test_failed_and_stopped_jobs_are_not_reused(tmp_path: Path, how: ContainerExit) -> None:
    """The next equal job trains."""
    once, first, second = ResultCache(), container(tmp_path, "first"), container(tmp_path, "second")
    once.get_or_train(first, lambda: train(first, how))
    assert once.get_or_train(second, lambda: train(second)) == GOOD


def test_results_are_forgotten_with_the_jobs(tmp_path: Path) -> None:
    """After a reset the next job trains."""
    once, first, second = ResultCache(), container(tmp_path, "first"), container(tmp_path, "second")
    once.get_or_train(first, lambda: train(first))
    once.clear()
    assert once.get_or_train(second, lambda: ContainerExit(1, "trained", "")) == ContainerExit(1, "trained", "")
