"""Print data on stdout as text, JSON or YAML, and progress on stderr. The `*_view` modules render it."""

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
    """Print in the requested form. `table` takes whether the form is `wide`; `-o name` prints `names`, one a line."""
    if form in ("table", "wide"):
        print_text(table(form == "wide"))
    elif form == "name":
        sys.stdout.writelines(f"{name}\n" for name in names)
    else:
        sys.stdout.write(to_json(data()) if form == "json" else to_yaml(data()))


def print_text(text: Text) -> None:
    """Print text on stdout, with colours if stdout is a terminal."""
    console().print(text, soft_wrap=True)


def print_progress(text: Text) -> None:
    """Print a line on stderr."""
    console(stderr=True).print(text, soft_wrap=True)


def console(*, stderr: bool = False) -> Console:
    """Return a console without automatic highlighting; rich itself honours NO_COLOR and pipes."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def terminal_width(otherwise: int) -> int:
    """Return the width of the terminal in characters, or `otherwise` if stdout isn't a terminal."""
    terminal = console()
    return terminal.width if terminal.is_terminal else otherwise


def to_json(data: Any) -> str:
    """Return indented JSON that ends with a newline."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def to_yaml(data: Any) -> str:
    """Return YAML that parsers of YAML 1.1 and 1.2 read alike."""
    import yaml

    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
