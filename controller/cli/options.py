"""Options that several commands share."""

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

Output = Annotated[Format, Parameter(name=("--output", "-o"), help="Output format.")]
Name = Annotated[str, Parameter(help="Name of a ModelService.", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Which spec files to read."""

    file: Annotated[
        tuple[Path, ...],
        Parameter(
            name=("--file", "-f"),
            negative="",
            show_default=False,
            help="File or directory of specs, by default `specs`; repeatable.",
        ),
    ] = (Path("specs"),)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Specs in Git, instead of files."""

    source: Annotated[
        str, Parameter(help="Read specs from Git instead of --file: git+URL@REF[:PATH].", show_default=False)
    ] = ""
    allowed_signers: Annotated[
        Path | None, Parameter(help="Accept only commits of --source that are signed with an SSH key from this file.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BackendOptions:
    """Which AWS to call, and where this machine keeps its state."""

    local: Annotated[
        bool, Parameter(env_var="MOORAGE_LOCAL", negative="", help="Use the embedded AWS instead of an AWS account.")
    ] = False
    home: Annotated[Path, Parameter(env_var="MOORAGE_HOME", help="Directory for local state and caches.")] = Path(
        ".moorage"
    )

    @property
    def pace(self) -> float:
        """The factor of every wait: the embedded AWS finishes in seconds what takes AWS minutes."""
        return 0.1 if self.local else 1.0


def parse_option(name: str, parse: Callable[[str], Value], text: str) -> Value:
    """Return an option's value. Raises UsageError, which names the option, when `parse` rejects the text."""
    try:
        return parse(text)
    except FindingsError as error:
        finding = error.findings[0]
        raise UsageError(f"{name}: {finding.message}", hint=finding.hint) from error


def parse_duration_option(name: str, text: str) -> float:
    """Return an option's duration in seconds. Raises UsageError when the text isn't a duration."""
    return float(parse_option(name, parse_duration, text))
