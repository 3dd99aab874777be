"""What the statistics of a training channel say, and that they add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.bundle.profile import MAX_BINS, build_histogram, profile_features
from inference_server.manifest import Feature, Histogram

NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([0.0, 0.1, 1.0]))


def channel(*columns: list[float | None]) -> bytes:
    rows = zip(*columns, strict=True)
    return "".join(",".join("" if cell is None else repr(cell) for cell in row) + "\n" for row in rows).encode()


def test_statistics_of_a_small_column() -> None:
    """Range, mean and missing count are of the values, the label is left out, and bins of equal size go by rank."""
    label: list[float | None] = [1.0] * 12
    values: list[float | None] = [None, *map(float, range(11))]
    assert profile_features(["a"], channel(label, values)) == (
        Feature("a", 0.0, 10.0, 5.0, 1, Histogram(tuple(map(float, range(11))), (1,) * 9 + (2,))),
    )


def test_constant_and_missing_columns_have_no_bins() -> None:
    """One value has a range and no bins; none has neither."""
    label: list[float | None] = [1.0] * 3
    empty: list[float | None] = [None] * 3
    assert profile_features(["a", "b"], channel(label, [0.1] * 3, empty)) == (
        Feature("a", 0.1, 0.1, 0.1, 0),
        Feature("b", missing=3),
    )


@given(st.lists(NUMBERS, max_size=200))
def test_every_value_is_in_exactly_one_bin(values: list[float]) -> None:
    """Counts add up to the values, edges rise from least to greatest, and each bin counts what lies in it."""
    bins = build_histogram(values)
    if bins is None:
        assert len(set(values)) < 2
        return
    assert sum(bins.counts) == len(values)
    assert len(bins.edges) == len(bins.counts) + 1 <= MAX_BINS + 1
    assert list(bins.edges) == sorted(set(bins.edges))
    assert (bins.edges[0], bins.edges[-1]) == (min(values), max(values))
    for index, (low, high) in enumerate(zip(bins.edges, bins.edges[1:], strict=False)):
        last = index == len(bins.counts) - 1
        assert bins.counts[index] == sum(low <= value < high or (last and value == high) for value in values)
