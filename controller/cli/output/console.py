"""Printing: data on stdout, as text or as JSON or YAML; progress on stderr. What is printed is made in `render_*`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from controller.cli.options import Format


def print_result(
    form: Format, *, table: Callable[[bool], Text], data: Callable[[], Any], names: Sequence[str] = ()
) -> None:
    """Print in the form that was asked for. `table` gets whether it may be wide; `names` is what `-o name` prints."""
    if form in ("table", "wide"):
        print_text(table(form == "wide"))
    elif form == "name":
        sys.stdout.writelines(f"{name}\n" for name in names)
    else:
        sys.stdout.write(to_json(data()) if form == "json" else to_yaml(data()))


def print_text(text: Text) -> None:
    """Print text on stdout, coloured where that is a terminal."""
    console().print(text, soft_wrap=True)


def print_progress(text: Text) -> None:
    """Print a line on stderr."""
    console(stderr=True).print(text, soft_wrap=True)


def console(*, stderr: bool = False) -> Console:
    """Make a console that colours nothing by itself; NO_COLOR and pipes are honoured by rich."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def terminal_width(otherwise: int) -> int:
    """How many characters a line has on a terminal; elsewhere, `otherwise`."""
    made = console()
    return made.width if made.is_terminal else otherwise


def to_json(data: Any) -> str:
    """Write JSON for people and programs."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def to_yaml(data: Any) -> str:
    """Write YAML that YAML 1.1 and 1.2 read alike."""
    import yaml

    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
