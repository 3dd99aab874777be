"""Load a CSV as a `Dataset`: the channels that a training job reads, each addressed by its content.

The channels have the form that SageMaker's XGBoost requires: `text/csv`, label first, no header, empty for missing
(https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost.html, "Input/Output interface").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from controller.dataset.csv_table import CsvTable, read_table
from controller.dataset.split import SplitShares, make_channel_assigner
from controller.errors import DataError
from controller.spec.files import read_data

MEDIA_TYPE = "text/csv"


@dataclass(frozen=True)
class Channel:
    """One part of the data, ready to upload.

    `sha256` (hex) and `size` (bytes) are of `content`, which has `rows` lines.
    """

    rows: int
    sha256: str
    size: int
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Dataset:
    """Checked and split data. Equal digests mean that a training job would read the same bytes.

    `channels` has train, and validation and test if their share isn't zero. `digest` is the SHA-256 (hex) of the names,
    the split and the channels, so unused columns, line endings and spellings such as `41.0` for `41` don't change it.
    """

    target: str
    features: tuple[str, ...]
    split: SplitShares
    channels: Mapping[str, Channel]
    digest: str

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of every channel, in order: the target, then the features."""
        return self.target, *self.features


def load_dataset(
    path: Path, *, target: str, features: Sequence[str] | None = None, split: SplitShares | None = None
) -> Dataset:
    """Load a CSV file; see `parse_dataset`. Raises DataError also if there is no readable file."""
    return parse_dataset(read_data(str(path)), file_name=str(path), target=target, features=features, split=split)


def parse_dataset(
    content: bytes,
    *,
    file_name: str,
    target: str,
    features: Sequence[str] | None = None,
    split: SplitShares | None = None,
) -> Dataset:
    """Check and split a CSV with a header.

    Messages call it `file_name`; `features` None means every other column, in the file's order. Raises DataError, whose
    `field` names the part of `spec.data` at fault, and `line` and `column` the place.
    """
    split = split or SplitShares()
    table = read_table(content, file_name, target, features)
    channels = {
        part: _channel(lines) for part, lines in _rows_by_channel(table, split).items() if split.shares()[part] > 0
    }
    for part, channel in channels.items():
        if not channel.rows:
            raise DataError(
                f"no row falls into {part}",
                where=file_name,
                why=f"the file has {len(table.columns[0])} rows",
                field="split",
                hint=f"give more rows, or another split.{part if part != 'train' else 'test'}",
            )
    return Dataset(target, table.names[1:], split, channels, _digest(table.names, split, channels))


def _rows_by_channel(table: CsvTable, split: SplitShares) -> dict[str, list[str]]:
    """Return channel name → its lines, in the file's order."""
    parts: dict[str, list[str]] = {part: [] for part in split.shares()}
    assign = make_channel_assigner(split)
    # By name, so that moving a column in the file moves no row to another channel.
    by_name = [column for _, column in sorted(zip(table.names, table.columns, strict=True))]
    for row, named in zip(zip(*table.columns, strict=True), zip(*by_name, strict=True), strict=True):
        parts[assign(named)].append(",".join(row))
    return parts


def _channel(lines: list[str]) -> Channel:
    content = "".join(f"{line}\n" for line in lines).encode()
    return Channel(len(lines), sha256(content).hexdigest(), len(content), content)


def _digest(names: tuple[str, ...], split: SplitShares, channels: Mapping[str, Channel]) -> str:
    parts = {part: channel.sha256 for part, channel in channels.items()}
    shares = [split.validation, split.test, split.seed]
    return sha256(json.dumps([names, shares, parts], sort_keys=True).encode()).hexdigest()
