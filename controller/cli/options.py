"""The options that commands share, once each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Format = Literal["table", "wide", "json", "yaml", "name"]

Output = Annotated[Format, Parameter(name=("--output", "-o"), help="How to print.")]
Name = Annotated[str, Parameter(help="Name of a ModelService.", show_default=False)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Files:
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

    @property
    def directory(self) -> Path:
        """Where the first of them is."""
        return self.file[0] if self.file[0].is_dir() else self.file[0].parent


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Place:
    """Which AWS, and where this machine keeps what it remembers."""

    local: Annotated[bool, Parameter(env_var="MOORAGE_LOCAL", negative="", help="Use the embedded AWS.")] = False
    home: Annotated[Path, Parameter(env_var="MOORAGE_HOME", help="Directory for state.")] = Path(".moorage")
