"""SageMaker XGBoost's own table of hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.spec.findings import Finding, demand

# Versions whose models the server can load.
VERSIONS = ("3.0-5", "3.2-0")

Value = bool | int | float | str


def check(hyperparameters: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return them as they are, or raise FindingsError with everything that training would refuse."""
    demand(_wrong(hyperparameters))
    return hyperparameters


def as_strings(hyperparameters: Mapping[str, Value]) -> dict[str, str]:
    """SageMaker's form: every value a string, booleans in lower case."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in hyperparameters.items()
    }


def _wrong(hyperparameters: Mapping[str, Value]) -> Iterator[Finding]:
    if "num_round" not in hyperparameters:
        yield Finding("hyperparameter 'num_round' is required", "say how many trees to grow")
