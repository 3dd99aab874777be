"""The committed table is the one the documentation, the demo and its gate speak of."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "data"
TABLE = DATA / "california_housing.csv"
SHA256 = "51937f5088319fb87bedb167bb3a517a88a64c7f76b8cbb468e9e2e02c671f71"


def test_the_bytes_are_the_documented_ones() -> None:
    """The digest of the file is the one in the README and in the script that derives it."""
    assert hashlib.sha256(TABLE.read_bytes()).hexdigest() == SHA256
    assert SHA256 in (DATA / "README.md").read_text()
    assert SHA256 in (DATA / "derive_california_housing.py").read_text()


def test_rows_and_columns() -> None:
    """The file has a header, the nine columns in their order, and 20,640 rows of nine numbers."""
    with TABLE.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [
        "median_house_value",
        "median_income",
        "housing_median_age",
        "total_rooms",
        "total_bedrooms",
        "population",
        "households",
        "latitude",
        "longitude",
    ]
    assert len(rows) == 20640
    assert rows[0] == ["452600", "8.3252", "41", "880", "129", "322", "126", "37.88", "-122.23"]
    assert all(len([float(cell) for cell in row]) == 9 for row in rows)
