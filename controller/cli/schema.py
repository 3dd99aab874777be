"""`moorage schema`: the JSON Schema of a kind, for editors and other tools."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from controller.cli.options import Place
from controller.spec import json_schema

_KINDS = {"modelservice": "ModelService", "environment": "Environment"}


def schema(
    kind: Annotated[Literal["modelservice", "environment"], Parameter(help="Which kind.")] = "modelservice",
    /,
    *,
    place: Place = Place(),
) -> int:
    """Print the JSON Schema (draft 7) of a kind."""
    del place
    sys.stdout.write(json_schema.text(_KINDS[kind]))
    return 0
