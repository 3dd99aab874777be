"""Equal jobs train once: what counts as equal, and what the second one gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded_aws.training.container import Container, Exit
from embedded_aws.training.once import Once

GOOD = Exit(0, "", "")


def container(home: Path, name: str, rows: str = "1,2\n", rounds: str = "3") -> Container:
    made = Container(home, name)
    made.configure({"num_round": rounds}, [{"ChannelName": "train", "DataSource": {"S3DataSource": {}}}])
    made.put("train", [("train.csv", rows.encode())])
    return made


def train(made: Container, how: Exit = GOOD) -> Exit:
    """What a real image leaves: a model and the last metrics."""
    made.adopt({"xgboost-model": b"trees"}, {"train:rmse": 2.5})
    return how


def test_an_equal_job_gets_the_first_ones_results(tmp_path: Path) -> None:
    """Model and metrics are the first one's, whatever the job is called, and nothing is trained."""
    once, first, second = Once(), container(tmp_path, "first"), container(tmp_path, "second")
    assert once.run(first, lambda: train(first)) == GOOD
    assert once.run(second, lambda: pytest.fail("trained again")) == GOOD
    assert (second.model(), second.metrics) == ({"xgboost-model": b"trees"}, {"train:rmse": 2.5})
    assert first.artifact() is not None
    assert second.artifact() is not None


@pytest.mark.parametrize("other", [{"rows": "1,3\n"}, {"rounds": "4"}])
def test_another_job_trains(tmp_path: Path, other: dict[str, str]) -> None:
    """One other row, or one other hyperparameter, is another job."""
    once, first, second = Once(), container(tmp_path, "first"), container(tmp_path, "second", **other)
    once.run(first, lambda: train(first))
    assert once.run(second, lambda: Exit(1, "trained", "")) == Exit(1, "trained", "")


@pytest.mark.parametrize("how", [Exit(1, "wrong", ""), Exit(0, "", "Stopped")])
def test_a_job_that_failed_or_was_stopped_is_no_example(tmp_path: Path, how: Exit) -> None:
    """The next equal job trains."""
    once, first, second = Once(), container(tmp_path, "first"), container(tmp_path, "second")
    once.run(first, lambda: train(first, how))
    assert once.run(second, lambda: train(second)) == GOOD


def test_results_are_forgotten_with_the_jobs(tmp_path: Path) -> None:
    """After a reset the next job trains."""
    once, first, second = Once(), container(tmp_path, "first"), container(tmp_path, "second")
    once.run(first, lambda: train(first))
    once.clear()
    assert once.run(second, lambda: Exit(1, "trained", "")) == Exit(1, "trained", "")
