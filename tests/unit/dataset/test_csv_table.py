"""What a CSV may hold, and where a refusal points."""

from __future__ import annotations

import pytest

from controller.dataset.csv_table import read_table
from controller.errors import DataError

GOOD = b"y,a,b\n1,2,3\n4,,nan\n7,8,9\n"


def refused(content: bytes, target: str = "y", features: list[str] | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        read_table(content, "some.csv", target, features)
    return caught.value


def test_columns_come_target_first_and_missing_as_empty() -> None:
    """The target leads whatever its place in the file, and an empty cell and nan are both missing."""
    table = read_table(b"a,y,b\n2,1,3\n,4,NaN\n", "some.csv", "y", None)
    assert table.names == ("y", "a", "b")
    assert table.columns == (("1", "4"), ("2", ""), ("3", ""))


def test_features_choose_columns_and_their_order() -> None:
    """Columns that aren't listed may hold anything, text included."""
    table = read_table(b"y,town,b,a\n1,Eureka,2,3\n", "some.csv", "y", ["a", "b"])
    assert table.names == ("y", "a", "b")
    assert table.columns == (("1",), ("3",), ("2",))


@pytest.mark.parametrize(
    "content", [GOOD, b"\xef\xbb\xbf" + GOOD, GOOD.replace(b"\n", b"\r\n"), GOOD[:-1], GOOD + b"\n\n"]
)
def test_byte_order_mark_line_ends_and_blank_lines_change_nothing(content: bytes) -> None:
    """What an editor or a spreadsheet adds around the same numbers gives the same table."""
    assert read_table(content, "some.csv", "y", None) == read_table(GOOD, "some.csv", "y", None)


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("41.0", "41"),
        (" 41", "41"),
        ("+4.1e1", "41"),
        ("-0.0", "0"),
        (".5", "0.5"),
        ("1e-7", "1e-07"),
        ('"3"', "3"),
        ("9007199254740993", "9007199254740992"),
    ],
)
def test_numbers_have_one_spelling(raw: str, canonical: str) -> None:
    """Equal numbers become equal text, whatever their spelling in the file."""
    assert read_table(f"y,a\n1,{raw}\n".encode(), "some.csv", "y", None).columns[1] == (canonical,)


@pytest.mark.parametrize("raw", ["NEAR BAY", "1_000", "infinity", "-inf", "0x1F", "\u0661", "1 000", "NA", "null"])
def test_non_number_is_refused_at_its_position(raw: str) -> None:
    """Text in a feature, and what only Python would take for a number, names line, column and spec field."""
    error = refused(f"y,a\n1,2\n3,{raw}\n".encode())
    assert (error.field, error.line, error.column) == ("features", 3, "a")
    assert str(error).startswith(f"some.csv:3: column 'a': {raw!r} is not a number")


def test_a_line_number_counts_lines_not_rows() -> None:
    """A quoted cell that spans lines, and blank lines, don't shift what a message points at."""
    assert refused(b'y,note,a\n1,"two\nlines",2\n\n3,x,far\n', features=["a"]).line == 5


@pytest.mark.parametrize("raw", ["", "nan", "NaN", " "])
def test_a_missing_target_is_refused(raw: str) -> None:
    """A row without the value to learn is an error of the target, not a missing feature."""
    error = refused(f"y,a\n1,2\n{raw},3\n".encode())
    assert (error.field, error.line, error.column, error.what) == (
        "target",
        3,
        "y",
        "column 'y': the target is missing",
    )


def test_text_in_the_target_is_refused() -> None:
    """Class names must be numbers before they can be learnt."""
    error = refused(b"y,a\nyes,2\n")
    assert (error.field, error.line) == ("target", 2)
    assert "encode classes" in error.hint


def test_numbers_beyond_32_bit_floats_are_refused() -> None:
    """What XGBoost would take for infinite is refused before training stops on it."""
    assert "too large" in refused(b"y,a\n1,1e39\n").what
    assert "too large" in refused(b"y,a\n1,1e999\n").what
    assert read_table(b"y,a\n1,3.4e38\n", "some.csv", "y", None).columns[1] == ("3.4e+38",)


@pytest.mark.parametrize(
    ("content", "what", "line"),
    [
        (b"", "the file is empty", 0),
        (b"\xef\xbb\xbf\r\n", "the file is empty", 0),
        (b"y,a\n", "the file has a header and no rows", 0),
        (b"1,2\n3,4\n", "the first line holds numbers, not names", 1),
        (b"y,a,a\n1,2,3\n", "the header names 'a' twice", 1),
        (b"y,,a\n1,2,3\n", "column 2 of the header has no readable name", 1),
        (b"y,a\x00\n1,2\n", "column 2 of the header has no readable name", 1),
        (b"y,a\n1,2\n3\n", "1 cells where the header has 2", 3),
        (b"y,a\n1,2,3\n", "3 cells where the header has 2", 2),
        (b"y,a\n1,\xff\n", "the file is not UTF-8 text", 2),
        (b'y,a\n1,2\n3,"4\n', "the row can't be read as CSV", 3),
        (b"y,a\n1," + b"9" * 200_000 + b"\n", "the row can't be read as CSV", 2),
    ],
)
def test_malformed_csv_is_refused(content: bytes, what: str, line: int) -> None:
    """Each way a file can be wrong as a whole has its message, and its line where there is one."""
    error = refused(content)
    assert (error.what, error.line, error.field) == (what, line, "source")


def test_an_unknown_column_suggests_the_nearest() -> None:
    """A misspelt target or feature names the spec field at fault and the likely column."""
    error = refused(GOOD, target="z")
    assert (error.field, error.what, error.hint) == ("target", "no column 'z'", "it has y, a, b")
    error = refused(b"y,rooms\n1,2\n", features=["room"])
    assert (error.field, error.hint) == ("features", "did you mean 'rooms'?")


def test_another_separator_is_recognised() -> None:
    """A spreadsheet's semicolons are named as the cause."""
    assert refused(b"y;a\n1;2\n").hint == "columns must be separated by commas"


@pytest.mark.parametrize(
    ("features", "what"),
    [
        (["a", "y"], "the target 'y' can't be a feature as well"),
        (["a", "a"], "feature 'a' is listed twice"),
        ([], "no feature is left besides the target 'y'"),
    ],
)
def test_contradictory_features_are_refused(features: list[str], what: str) -> None:
    """A feature list must name each column once, and not the target."""
    error = refused(GOOD, features=features)
    assert (error.field, error.what) == ("features", what)


def test_a_column_without_any_value_is_refused() -> None:
    """A feature that is missing in every row teaches nothing and is most likely a mistake."""
    error = refused(b"y,a\n1,\n2,nan\n")
    assert (error.field, error.what) == ("features", "column 'a' has no value at all")


def test_a_long_cell_is_shown_short() -> None:
    """A message stays readable when a cell isn't."""
    assert len(refused(b"y,a\n1," + b"x" * 100_000 + b"\n").what) < 100
