"""What the statistics of a training channel say, and that they add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.dataset.profile import BINS, Profile, profiles

NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([0.0, 0.1, 1.0]))


def channel(*columns: list[float | None]) -> bytes:
    rows = zip(*columns, strict=True)
    return "".join(",".join("" if cell is None else repr(cell) for cell in row) + "\n" for row in rows).encode()


def test_statistics_of_a_small_column() -> None:
    """Range, mean and missing count are of the values, and equal-sized bins split them by rank."""
    label: list[float | None] = [1.0] * 12
    feature: list[float | None] = [None, *map(float, range(11))]
    _, profile = profiles(("y", "a"), channel(label, feature))
    assert (profile.name, profile.missing, profile.min, profile.max, profile.mean) == ("a", 1, 0.0, 10.0, 5.0)
    assert profile.edges == tuple(map(float, range(11)))
    assert profile.counts == (1,) * 9 + (2,)


def test_constant_and_missing_columns_have_no_bins() -> None:
    """One value has a range and no bins; none has neither."""
    empty: list[float | None] = [None] * 3
    constant, nothing = profiles(("y", "a"), channel([0.1] * 3, empty))
    assert constant == Profile("y", 0, 0.1, 0.1, 0.1)
    assert nothing == Profile("a", 3)


@given(st.lists(NUMBERS, min_size=1, max_size=200))
def test_every_value_is_in_exactly_one_bin(values: list[float | None]) -> None:
    """Counts add up to the values, edges rise from least to greatest, and the mean lies between."""
    (profile,) = profiles(("a",), channel(values))
    known = [value for value in values if value is not None]
    assert profile.missing == len(values) - len(known)
    if profile.edges:
        assert sum(profile.counts) == len(known)
        assert len(profile.edges) == len(profile.counts) + 1 <= BINS + 1
        assert list(profile.edges) == sorted(set(profile.edges))
        assert (profile.edges[0], profile.edges[-1]) == (profile.min, profile.max) == (min(known), max(known))
        for index, (low, high) in enumerate(zip(profile.edges, profile.edges[1:], strict=False)):
            last = index == len(profile.counts) - 1
            assert profile.counts[index] == sum(low <= value < high or (last and value == high) for value in known)
    if known:
        assert profile.min is not None and profile.mean is not None and profile.max is not None  # noqa: PT018
        assert profile.min <= profile.mean <= profile.max
