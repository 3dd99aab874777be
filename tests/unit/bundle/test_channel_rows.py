"""Rows of a stranger's: taken as they are, or refused with the row, the channel and the field to correct."""

from __future__ import annotations

import pytest

from controller.bundle.channel_rows import join_channel
from controller.errors import BundleError


def test_objects_are_joined_into_one_channel() -> None:
    """Line endings, empty lines and a missing last one don't matter; an empty cell is a missing value."""
    assert join_channel("train", [b"1,2,\r\n\n", b"3,4,5"], ["a", "b"]) == b"1,2,\n3,4,5\n"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], "there are no rows below the prefix of the channel train"),
        ([b"\n"], "there are no rows below the prefix of the channel train"),
        ([b"1,2,3\n1,2\n"], "row 2 of the channel train doesn't fit: it has 2 columns; a label and 2 features make 3"),
        ([b"y,a,b\n"], "row 1 of the channel train has something else than numbers: could not convert string"),
        ([b"1 0:2 1:3\n"], "row 1 of the channel train doesn't fit: it has 1 columns"),
        ([b",1,2\n"], "row 1 of the channel train has no label"),
        ([b"\xff\xfe"], "the channel train isn't text, as CSV has to be"),
    ],
)
def test_invalid_channel_is_refused(parts: list[bytes], expected: str) -> None:
    """A header, libsvm, another width: XGBoost would take some of it without a word."""
    with pytest.raises(BundleError) as refused:
        join_channel("train", parts, ["a", "b"])
    assert expected in str(refused.value)
    assert "spec.data" in refused.value.hint
