"""Write the files that are generated from code, or with `--check` report which of them are stale."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from controller.cli import reference
from controller.planning import plan_document
from controller.spec import json_schema

ROOT = Path(__file__).resolve().parents[2]

# Path from the repository's root → function that returns its content.
GENERATED: dict[str, Callable[[], str]] = {
    "controller/spec/schema/environment.json": lambda: json_schema.kind_schema_text("Environment"),
    "controller/spec/schema/modelservice.json": lambda: json_schema.kind_schema_text("ModelService"),
    "docs/reference/plan.schema.json": plan_document.schema,
    "docs/reference/cli.md": reference.commands,
    "docs/reference/metrics.md": reference.metrics,
    "docs/reference/spec.md": reference.page,
}


def main(argv: list[str]) -> int:
    """Write every generated file; with `--check` only compare, and return 1 if one is stale."""
    stale = [path for path, make in GENERATED.items() if not _same(ROOT / path, make())]
    if "--check" in argv:
        for path in stale:
            print(f"{path} is stale: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(GENERATED[path](), encoding="utf-8")
        print(f"wrote {path}")
    return 0


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
