"""What `apply` returns when AWS's reads are behind its writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from controller.core.graph import Node, Observed, Target
from controller.core.plan import Action, Step
from controller.core.values import Key
from controller.errors import NotReadyError, Remedy
from controller.resources.base import Resource, ResourceContext


class LaggingType(Resource):
    """Shows what it has been told to show."""

    kind = "test/late"
    shown: Observed | None = None

    def observe(self, aws: Any, targets: Sequence[Target]) -> dict[Key, Observed]:
        del aws
        return {target.key: self.shown for target in targets if self.shown is not None}


def test_unconfirmed_write_is_waited_for() -> None:
    """A write that no read shows yet is no defect: it is waited for, by name; once it shows, that is what is there."""
    late, key, aws = LaggingType(ResourceContext(Path())), Key("default", "test/late", "one"), None
    step = Step(Action.CREATE, Node(key, {"name": "one"}), key)
    with pytest.raises(NotReadyError, match="test/late") as caught:
        late.confirm(aws, step)  # type: ignore[arg-type]
    assert caught.value.remedy is Remedy.DEPENDENCY
    late.shown = Observed({"size": 1})
    assert late.confirm(aws, step) is late.shown  # type: ignore[arg-type]
