"""Quantities: what is taken, and as what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.spec import units
from controller.spec.findings import FindingsError

PARSED_QUANTITIES: list[tuple[Callable[[Any], Any], Any, Any]] = [
    (units.parse_cpu, "0.25 vCPU", 256),
    (units.parse_cpu, ".5", None),
    (units.parse_cpu, "0.5vcpu", 512),
    (units.parse_cpu, "16 vCPU", 16384),
    (units.parse_cpu, 256, 256),
    (units.parse_cpu, "1024", 1024),
    (units.parse_cpu, 300, None),
    (units.parse_cpu, True, None),
    (units.parse_cpu, None, None),
    (units.parse_cpu, [1], None),
    (units.parse_cpu, 2, None),
    (units.parse_memory, "1 GB", 1024),
    (units.parse_memory, "1Gi", 1024),
    (units.parse_memory, "0.5 GB", 512),
    (units.parse_memory, "512Mi", 512),
    (units.parse_memory, 2048, 2048),
    (units.parse_memory, 2, None),
    (units.parse_memory, "1 TB", None),
    (units.parse_memory, "512.5Mi", None),
    (units.parse_memory, "0 GB", None),
    (units.parse_volume, "5Gi", 5),
    (units.parse_volume, "5 GB", 5),
    (units.parse_volume, "2048Mi", 2),
    (units.parse_volume, "100Mi", None),
    (units.parse_volume, 5, None),
    (units.parse_duration, "10s", 10),
    (units.parse_duration, "5m", 300),
    (units.parse_duration, "1h30m", 5400),
    (units.parse_duration, "1d", 86400),
    (units.parse_duration, "0s", 0),
    (units.parse_duration, "", None),
    (units.parse_duration, 10, None),
    (units.parse_duration, 1.5, None),
    (units.parse_duration, "30m1h", None),
    (units.parse_duration, "9" * 99 + "s", None),
    (units.parse_percent, "2%", 0.02),
    (units.parse_percent, "2.5 %", 0.025),
    (units.parse_percent, 0.02, None),
    (units.parse_percent, "x%", None),
]


@pytest.mark.parametrize(("parse", "written", "value"), PARSED_QUANTITIES)
def test_a_quantity_is_read_or_refused(parse: Callable[[Any], Any], written: Any, value: Any) -> None:
    """Each spelling becomes the unit AWS counts in; `None` here means that it is refused, with a way on."""
    if value is not None:
        assert parse(written) == value
        return
    with pytest.raises(FindingsError) as caught:
        parse(written)
    assert caught.value.findings[0].message


def test_quantities_are_shown_as_people_write_them() -> None:
    """What errors and pages print can be typed back."""
    assert [units.format_cpu(size) for size in (256, 512, 16384)] == ["0.25 vCPU", "0.5 vCPU", "16 vCPU"]
    assert [units.format_memory(size) for size in (512, 1024, 30720)] == ["512 MiB", "1 GB", "30 GB"]
    assert [units.format_duration(n) for n in (5, 60, 90, 300, 3600, 7200, 86400)] == [
        "5s",
        "60s",
        "90s",
        "5m",
        "1h",
        "2h",
        "1d",
    ]
    for seconds in (0, 1, 60, 61, 3600, 5400, 86400):
        assert units.parse_duration(units.format_duration(seconds)) == seconds
    for size, memories in units.FARGATE_MEMORY.items():
        assert units.parse_cpu(units.format_cpu(size)) == size
        assert [units.parse_memory(units.format_memory(memory).replace("MiB", "Mi")) for memory in memories] == [
            *memories
        ]
