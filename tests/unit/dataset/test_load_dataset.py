"""From a CSV to channels, and what makes two datasets the same."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from controller.dataset import Dataset, SplitShares, load_dataset, parse_dataset
from controller.errors import DataError

HOUSES = Path(__file__).resolve().parents[3] / "data" / "california_housing.csv"
HALVES = SplitShares(validation=0.25, test=0.25)


def csv(rows: list[tuple[int, ...]], header: str = "y,a,b") -> bytes:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows), ""]).encode()


ROWS = [(n, n * 7 % 31, n * n % 17) for n in range(200)]


def dataset(content: bytes, *, features: list[str] | None = None, split: SplitShares = HALVES) -> Dataset:
    return parse_dataset(content, file_name="some.csv", target="y", features=features, split=split)


def lines(data: Dataset, part: str) -> list[str]:
    return data.channels[part].content.decode().splitlines()


def test_channels_are_label_first_without_header_and_addressed_by_content() -> None:
    """Every row lands in exactly one channel, as SageMaker reads it, under the digest of its bytes."""
    data = dataset(csv([(b, y, a) for y, a, b in ROWS], header="b,y,a"), features=["a", "b"])
    assert data.names == ("y", "a", "b")
    everything = sorted(line for part in data.channels for line in lines(data, part))
    assert everything == sorted(",".join(map(str, row)) for row in ROWS)
    for channel in data.channels.values():
        assert channel.sha256 == sha256(channel.content).hexdigest()
        assert channel.size == len(channel.content)
        assert channel.rows == channel.content.count(b"\n")


def test_a_missing_value_is_an_empty_cell() -> None:
    """That is how SageMaker's XGBoost reads a missing value from text/csv."""
    data = dataset(b"y,a,b\n1,,nan\n2,3,4\n", split=SplitShares(0, 0))
    assert data.channels["train"].content == b"1,,\n2,3,4\n"


def test_duplicate_rows_share_a_channel() -> None:
    """A row and its copies, however spelt, are all in one channel."""
    content = csv(ROWS) + b"".join(f"{y}.0,{a}e0,{b}\n".encode() for y, a, b in ROWS)
    data = dataset(content)
    parts = {part: set(lines(data, part)) for part in data.channels}
    assert sum(map(len, parts.values())) == len(ROWS)


def test_rows_stay_where_they_are_as_data_grows() -> None:
    """New rows change no old row's channel."""
    before, after = dataset(csv(ROWS[:100])), dataset(csv(ROWS))
    for part in before.channels:
        assert set(lines(before, part)) <= set(lines(after, part))


def test_moving_a_column_moves_no_row() -> None:
    """The order of columns in the file is not content: each channel holds the same rows."""
    data = dataset(csv(ROWS))
    moved = dataset(csv([(b, a, y) for y, a, b in ROWS], header="b,a,y"))
    for part in data.channels:
        assert [line.split(",")[0] for line in lines(data, part)] == [line.split(",")[0] for line in lines(moved, part)]


def test_the_digest_follows_what_training_would_read() -> None:
    """Spelling, line ends and unused columns leave the digest; rows, features, names and the split change it."""
    base = dataset(csv(ROWS), features=["a"]).digest
    assert dataset(csv(ROWS).replace(b"\n", b"\r\n"), features=["a"]).digest == base
    assert dataset(csv([(y, a, 0) for y, a, _ in ROWS]), features=["a"]).digest == base
    changed = [
        dataset(csv(ROWS)),
        dataset(csv(ROWS[1:]), features=["a"]),
        dataset(csv(ROWS, header="y,c,b"), features=["c"]),
        dataset(csv(ROWS), features=["a"], split=SplitShares(0.25, 0.25, seed=1)),
    ]
    assert len({base, *(data.digest for data in changed)}) == 5


def test_a_share_of_zero_has_no_channel() -> None:
    """Without a validation share there is no validation channel to upload."""
    assert set(dataset(csv(ROWS), split=SplitShares(0, 0.2)).channels) == {"train", "test"}


def test_an_empty_channel_is_refused() -> None:
    """Too few rows for the split are an error of the split, not an empty upload."""
    with pytest.raises(DataError) as caught:
        dataset(csv(ROWS[:1]))
    assert (caught.value.field, caught.value.where) == ("split", "some.csv")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The error names the path and what the system said."""
    with pytest.raises(DataError, match=r"gone\.csv: the file can't be read: No such file or directory"):
        load_dataset(tmp_path / "gone.csv", target="y")
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(DataError, match="this is not a plain file"):
            load_dataset(path, target="y")


def test_california_housing_split_is_stable() -> None:
    """The demo's data has these channels: the gate's figure was measured on this very test set."""
    data = load_dataset(HOUSES, target="median_house_value")
    assert {part: channel.rows for part, channel in data.channels.items()} == {
        "train": 14824,
        "validation": 1682,
        "test": 4134,
    }
    assert data.digest == "4e9f7eb869a5058a0c98d6c9602527d28dfeeffcbb7ff21079f8a86cca62f2e6"
