"""How a check inside a model says what is wrong and where. No positions in files here: `load` knows those."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DocumentPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Finding:
    """One thing wrong. `path` leads from the model that was checked to the culprit, in the spelling of the YAML file.

    `name`: it is the key there that is wrong, not its value.
    """

    message: str
    hint: str = ""
    path: DocumentPath = ()
    at_key: bool = False


class FindingsError(ValueError):
    """Raised inside pydantic validators, so that one check can report several things, each at its own place."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(finding.message for finding in self.findings))


def finding_error(message: str, hint: str = "", *path: str | int) -> FindingsError:
    """Make the error for a single finding."""
    return FindingsError([Finding(message, hint, path)])


def raise_findings(findings: Iterable[Finding]) -> None:
    """Raise FindingsError unless there are none."""
    if found := tuple(findings):
        raise FindingsError(found)
