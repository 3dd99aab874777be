"""`moorage schema`: print the JSON Schema of a kind or of a plan, for editors and other tools."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from controller.cli.options import BackendOptions
from controller.planning import plan_document
from controller.spec import json_schema

_TEXTS = {
    "modelservice": lambda: json_schema.kind_schema_text("ModelService"),
    "environment": lambda: json_schema.kind_schema_text("Environment"),
    "plan": plan_document.schema,
}


def schema(
    kind: Annotated[
        Literal["modelservice", "environment", "plan"], Parameter(help="Kind of spec, or `plan`.")
    ] = "modelservice",
    /,
    *,
    place: BackendOptions = BackendOptions(),
) -> int:
    """Print the JSON Schema (draft 7) of a kind, or of the output of `plan -o json`."""
    del place
    sys.stdout.write(_TEXTS[kind]())
    return 0
