"""EventBridge targets get the event that AWS would send: whole, or through the rule's input transformer.

moto builds it by text substitution, loses `account` on the way and needs a JSONPath package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.events import models

from embedded_aws.emulator import Emulator


def install(_emulator: Emulator) -> None:
    """Replace moto's transformer by ours."""
    models.EventTemplateParser = InputTransformer


class InputTransformer:
    """An input transformer: paths select values of the event, and the template inserts them as `<name>`.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html. Paths are dotted names from
    the root; indexes and filters are not supported.
    """

    @staticmethod
    def parse(input_template: str | None, input_paths_map: Mapping[str, str], event: Mapping[str, Any]) -> Any:
        """Return the target's input: without a template, the event itself."""
        if not input_template:
            return {name: value for name, value in event.items() if name != "ingestion-time"}
        for name, path in input_paths_map.items():
            value = _get_path(event, path)
            input_template = input_template.replace(f"<{name}>", value if isinstance(value, str) else json.dumps(value))
        return json.loads(input_template)


def _get_path(event: Mapping[str, Any], path: str) -> Any:
    value: Any = event
    for name in path.removeprefix("$").strip(".").split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
