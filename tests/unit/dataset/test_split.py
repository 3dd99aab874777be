"""A row's channel depends on its content and the seed, and on nothing else."""

from __future__ import annotations

from itertools import product

import pytest

from controller.dataset.split import SplitShares, make_channel_assigner
from controller.errors import DataError

ROWS = [(str(a), str(b)) for a, b in product(range(100), range(50))]


def test_the_shares_are_about_what_was_asked_for() -> None:
    """Over 5,000 rows each part has its share within two points."""
    parts = [make_channel_assigner(SplitShares())(row) for row in ROWS]
    for part, share in {"train": 0.72, "validation": 0.08, "test": 0.2}.items():
        assert abs(parts.count(part) / len(ROWS) - share) < 0.02


def test_another_seed_splits_otherwise() -> None:
    """The seed moves rows; the same seed moves none."""
    first, again, other = (list(map(make_channel_assigner(SplitShares(seed=seed)), ROWS)) for seed in (35, 35, 36))
    assert first == again
    assert first != other


def test_another_validation_share_leaves_the_test_rows_alone() -> None:
    """Scores on the test rows stay comparable when only the validation share changes."""
    narrow, wide = (
        make_channel_assigner(SplitShares(validation=0.05)),
        make_channel_assigner(SplitShares(validation=0.3)),
    )
    assert [narrow(row) == "test" for row in ROWS] == [wide(row) == "test" for row in ROWS]


def test_the_assignment_is_the_same_everywhere_and_for_good() -> None:
    """These rows' places are fixed: a change here would silently reshuffle every user's test rows."""
    assign = make_channel_assigner(SplitShares(validation=0.25, test=0.25, seed=35))
    assert [assign(("452600", "8.3252", str(n))) for n in range(8)] == FIXED


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.2), (0.1, 1.0), (0.5, 0.5), (float("nan"), 0.2)])
def test_impossible_shares_are_refused(validation: float, test: float) -> None:
    """Shares must leave something to train on; the error points at the split."""
    with pytest.raises(DataError) as caught:
        SplitShares(validation, test)
    assert caught.value.field == "split"


FIXED = ["test", "train", "test", "train", "train", "train", "train", "train"]
