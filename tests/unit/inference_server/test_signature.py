"""Packing: which values a row of 32-bit floats can hold."""

from __future__ import annotations

import math
import struct

import pytest

from inference_server.errors import InvalidInputError
from inference_server.signature import Signature

PAIR = Signature(["a", "b"])
# Bytes that are no infinity in either value, and would be one across the two.
ACROSS = struct.unpack("<2f", bytes.fromhex("01000000807f0000"))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("infinite", [math.inf, -math.inf])
def test_infinities_are_located(infinite: float, place: int) -> None:
    """An infinity is refused with its place, whatever look-alikes lie before it."""
    values = [*ACROSS, 1.0, 2.0, 3.0, 4.0]
    values[2 + place] = infinite
    name = "ab"[place % 2]
    with pytest.raises(InvalidInputError) as refused:
        PAIR.pack(values, "row")
    assert refused.value.field == f"row[{1 + place // 2}].{name}"
    with pytest.raises(InvalidInputError):
        PAIR.accept_packed(struct.pack("<6f", *values), "row")


@pytest.mark.parametrize("values", [ACROSS, (0.0, *ACROSS, 0.0), (*ACROSS, *ACROSS)])
def test_lookalike_bytes_are_accepted(values: tuple[float, ...]) -> None:
    """The bytes of an infinity across two values are none."""
    data = struct.pack(f"<{len(values)}f", *values)
    assert b"\x00\x00\x80\x7f" in data
    assert PAIR.pack(values, "row").data == PAIR.accept_packed(data, "row").data == data
