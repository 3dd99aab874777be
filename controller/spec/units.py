"""Quantities as people write them, turned into integers once, at the boundary. No other file parses a unit.

CPU becomes Fargate units (1,024 a vCPU), memory MiB, volumes GiB, durations seconds, percentages a fraction, money US
dollars. A number without a unit is taken only where it can mean one thing.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from controller.spec.findings import finding_error

# Fargate's cpu units → the memories in MiB that go with them.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
FARGATE_MEMORY: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
    8192: tuple(range(16384, 61440 + 1, 4096)),
    16384: tuple(range(32768, 122880 + 1, 8192)),
}

_NUMBER = r"(\d+(?:\.\d+)?)"
_CPU = re.compile(rf"{_NUMBER}\s*(vCPU)?", re.IGNORECASE)
_SIZE = re.compile(rf"{_NUMBER}\s*(Mi|MiB|MB|Gi|GiB|GB)?")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_PERCENT = re.compile(rf"{_NUMBER}\s*%")
_MONEY = re.compile(r"(\d+(?:\.\d{1,2})?)\s*USD")
_SECONDS = (86400, 3600, 60, 1)


def parse_cpu(value: Any) -> int:
    """`0.25 vCPU`, `256` → CPU units. A number that could be either is refused with both readings."""
    number, unit = _split(_CPU, value, "cpu", "write it like '0.25 vCPU', or in CPU units like 256")
    units = number * 1024 if unit else number
    if not unit and number < 256:
        raise finding_error(
            f"cpu {value} is ambiguous: {value} vCPU would be {_format_decimal(number * 1024)} units, "
            f"{value} units are less than Fargate offers",
            f"write '{value} vCPU', or units: {_format_decimal(number * 1024)}",
        )
    if units not in FARGATE_MEMORY:
        raise finding_error(
            f"cpu {value} is not a size Fargate offers", f"one of {', '.join(map(format_cpu, FARGATE_MEMORY))}"
        )
    return int(units)


def parse_memory(value: Any) -> int:
    """`512Mi`, `1Gi`, `1 GB`, `2048` → MiB. Fargate's GB are 1,024 MiB."""
    number, unit = _split(_SIZE, value, "memory", "write it like '1 GB', '512Mi', or in MiB like 2048")
    if not unit and number < 512:
        raise finding_error(
            f"memory {value} is ambiguous: {value} GB would be {_format_decimal(number * 1024)} MiB, "
            f"{value} MiB are less than Fargate offers",
            f"write '{value} GB', or MiB: {_format_decimal(number * 1024)}",
        )
    return _to_whole_number(
        number * 1024 if unit.startswith("G") else number, f"memory {value} is not a whole number of MiB"
    )


def parse_volume(value: Any) -> int:
    """`5Gi`, `5 GB` → GiB, as SageMaker's VolumeSizeInGB counts."""
    number, unit = _split(_SIZE, value, "volume", "write it like '5Gi'")
    if not unit:
        raise finding_error(f"volume {value} has no unit", f"write '{value}Gi'")
    return _to_whole_number(
        number if unit.startswith("G") else number / 1024, f"volume {value} is not a whole number of GiB"
    )


def parse_duration(value: Any) -> int:
    """`10s`, `5m`, `2h`, `1d`, `1h30m` → seconds."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise finding_error(f"duration {value} has no unit", f"write '{value}s', '{value}m' or '{value}h'")
    match = _DURATION.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    if not match or not value:
        raise finding_error(f"{quote_value(value)} is not a duration", "write it like '10s', '5m', '2h' or '1h30m'")
    return sum(int(count) * seconds for count, seconds in zip(match.groups(), _SECONDS, strict=True) if count)


def parse_percent(value: Any) -> float:
    """`2%` → 0.02."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    if not match:
        raise finding_error(f"{quote_value(value)} is not a percentage", "write it like '2%'")
    return float(Decimal(match[1]) / 100)


def parse_money(value: Any) -> Decimal:
    """`40 USD`, `0.50 USD` → US dollars, in which AWS's price lists are. Another currency has no fixed rate."""
    match = _MONEY.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    if not match:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        raise finding_error(
            f"{quote_value(value)} is not an amount of US dollars", f"write '{value if number else 40} USD'"
        )
    return Decimal(match[1])


def format_cpu(units: int) -> str:
    """256 → `0.25 vCPU`."""
    return f"{_format_decimal(Decimal(units) / 1024)} vCPU"


def format_memory(mebibytes: int) -> str:
    """1024 → `1 GB`, 512 → `512 MiB`."""
    return f"{mebibytes // 1024} GB" if mebibytes % 1024 == 0 else f"{mebibytes} MiB"


def format_duration(seconds: int) -> str:
    """7200 → `2h`, 90 → `90s`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0 and seconds >= size * (1 if unit != "m" else 2):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def quote_value(value: Any) -> str:
    """Quote a value of a spec in a message, shortened, in YAML's words."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple | dict):
        return "a mapping" if isinstance(value, dict) else "a list"
    if not isinstance(value, str):
        return str(value)
    return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"


def _split(pattern: re.Pattern[str], value: Any, field: str, hint: str) -> tuple[Decimal, str]:
    usable = isinstance(value, str | int | float) and not isinstance(value, bool) and len(str(value)) < 40
    match = pattern.fullmatch(str(value).strip()) if usable else None
    if not match:
        raise finding_error(f"{quote_value(value)} is not a {field} size", hint)
    return Decimal(match[1]), match[2] or ""


def _to_whole_number(number: Decimal, message: str) -> int:
    if number != number.to_integral_value() or number < 1:
        raise finding_error(message)
    return int(number)


def _format_decimal(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _text_schema(pattern: str, *examples: Any) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)}


Cpu = Annotated[
    int,
    BeforeValidator(parse_cpu),
    WithJsonSchema(
        {
            "anyOf": [
                _text_schema(r"[0-9.]+ *([vV][cC][pP][uU])?", "0.25 vCPU"),
                {"type": "integer", "enum": list(FARGATE_MEMORY)},
            ]
        }
    ),
]
Memory = Annotated[
    int,
    BeforeValidator(parse_memory),
    WithJsonSchema(
        {
            "anyOf": [
                _text_schema(r"[0-9.]+ *(Mi|MiB|MB|Gi|GiB|GB)?", "1 GB", "512Mi"),
                {"type": "integer", "minimum": 512},
            ]
        },
    ),
]
Volume = Annotated[
    int,
    BeforeValidator(parse_volume),
    PlainSerializer(lambda gibibytes: f"{gibibytes}Gi", when_used="json"),
    WithJsonSchema(_text_schema(r"[0-9.]+ *(Mi|MiB|MB|Gi|GiB|GB)", "5Gi")),
]
Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    PlainSerializer(lambda seconds: f"{seconds}s", when_used="json"),
    WithJsonSchema(_text_schema(r"([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?", "10s", "5m", "2h")),
]
Money = Annotated[
    Decimal,
    BeforeValidator(parse_money),
    PlainSerializer(lambda dollars: f"{dollars} USD", when_used="json"),
    WithJsonSchema(_text_schema(r"[0-9]+(\.[0-9]{1,2})? *USD", "40 USD")),
]
