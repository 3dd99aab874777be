"""The options that commands share, once each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from cyclopts import Parameter

from controller.errors import UsageError
from controller.spec.findings import FindingsError
from controller.spec.units import parse_duration

Value = TypeVar("Value")
Format = Literal["table", "wide", "json", "yaml", "name"]

Output = Annotated[Format, Parameter(name=("--output", "-o"), help="How to print.")]
Name = Annotated[str, Parameter(help="Name of a ModelService.", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Which specs."""

    file: Annotated[
        tuple[Path, ...],
        Parameter(
            name=("--file", "-f"),
            negative="",
            show_default=False,
            help="File or directory of specs, by default `specs`; may be repeated.",
        ),
    ] = (Path("specs"),)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Specs in Git, in the place of files."""

    source: Annotated[
        str, Parameter(help="Specs in Git, in the place of --file: git+URL@REF[:PATH].", show_default=False)
    ] = ""
    allowed_signers: Annotated[
        Path | None, Parameter(help="Take only commits of --source that are signed by one of this file's keys (ssh).")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """Which AWS, and where this machine keeps what it remembers."""

    local: Annotated[bool, Parameter(env_var="MOORAGE_LOCAL", negative="", help="Use the embedded AWS.")] = False
    home: Annotated[Path, Parameter(env_var="MOORAGE_HOME", help="Directory for state.")] = Path(".moorage")

    @property
    def pace(self) -> float:
        """By what waits are multiplied: the embedded AWS finishes in seconds what takes AWS minutes."""
        return 0.1 if self.local else 1.0


def parse_option(name: str, parse: Callable[[str], Value], text: str) -> Value:
    """An option's value. Raises UsageError, naming the option."""
    try:
        return parse(text)
    except FindingsError as error:
        finding = error.findings[0]
        raise UsageError(f"{name}: {finding.message}", hint=finding.hint) from error


def parse_duration_option(name: str, text: str) -> float:
    """An option's seconds. Raises UsageError."""
    return float(parse_option(name, parse_duration, text))
