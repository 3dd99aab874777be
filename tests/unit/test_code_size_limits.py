"""The house stays one that can be walked through: short functions, files with one subject."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("controller", "embedded_aws", "inference_server")
FILES = {path: path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py")}


def lengths() -> list[int]:
    nodes = (node for text in FILES.values() for node in ast.walk(ast.parse(text)))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]


def test_ninetieth_percentile_of_function_length_is_thirty_lines() -> None:
    """The ninetieth percentile of all functions' lengths."""
    assert quantiles(lengths(), n=10)[-1] <= 30


def test_no_file_is_too_long() -> None:
    """Half of the files have 200 lines at most, and none more than 500."""
    sizes = {path.relative_to(ROOT).as_posix(): text.count("\n") for path, text in FILES.items()}
    assert median(sizes.values()) <= 200
    assert [path for path, size in sizes.items() if size > 500] == []


def test_no_conditional_expression_is_nested() -> None:
    """A choice between three or more values is an early return, a table, or an if statement."""
    nested = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, text in FILES.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.IfExp)
        and any(isinstance(inner, ast.IfExp) for part in (node.body, node.orelse) for inner in ast.walk(part))
    ]
    assert nested == []
