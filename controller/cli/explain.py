"""`moorage explain`: describe one field of a spec and the fields below it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from controller.cli.options import BackendOptions
from controller.cli.output import console
from controller.cli.output.columns import align_columns
from controller.errors import NotFoundError
from controller.spec import explain as fields
from controller.spec import validation_errors
from controller.spec.models import KINDS


def explain(
    path: Annotated[
        str, Parameter(help="Path of a field, like `modelservice.spec.service`; without it, list the kinds.")
    ] = "",
    /,
    *,
    place: BackendOptions = BackendOptions(),
) -> int:
    """Explain a field of a spec."""
    del place
    if not path:
        rows = [(kind.lower(), (model.__doc__ or "").strip()) for kind, model in KINDS.items()]
        console.print_text(align_columns(rows))
        return 0
    field = fields.find_field(path)
    if field is None:
        raise NotFoundError(f"no spec has a field {path}", hint=_nearest(path))
    console.print_text(text(field))
    return 0


def text(field: fields.FieldDescription) -> Text:
    """Describe a field: its type, its default, its meaning and the fields below it."""
    head = [("FIELD", field.path), ("TAKES", field.type_name)]
    if field.required:
        head.append(("REQUIRED", "yes"))
    elif field.default:
        head.append(("DEFAULT", field.default))
    parts = [align_columns(head), Text(f"\n\n{field.doc}\n")]
    if field.model:
        below = fields.describe_fields(field.model, field.path)
        rows = [
            (f"  {name}", child.type_name + (" *" if child.required else ""), child.doc)
            for name, child in below.items()
        ]
        parts += [Text("\nFIELDS (* required)\n"), align_columns(rows)]
    return Text().join(parts)


def _nearest(path: str) -> str:
    """Find the deepest part of the path that exists, and suggest the most similar field below it."""
    steps = path.split(".")
    for length in range(len(steps) - 1, 0, -1):
        parent = fields.find_field(".".join(steps[:length]))
        if parent is not None and parent.model is not None:
            known = fields.describe_fields(parent.model)
            return validation_errors.did_you_mean(steps[length], known) or f"moorage explain {parent.path}"
    return validation_errors.did_you_mean(steps[0].lower(), [kind.lower() for kind in KINDS]) or "moorage explain"
