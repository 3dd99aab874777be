"""Training equal jobs once, for tests of scale (MOORAGE_LOCAL_TRAINER=once): the first one trains, the others get its results.

Jobs are equal when their containers would read the same: hyperparameters, channels and their files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from embedded_aws.training.container import Container, Exit


@dataclass(frozen=True)
class _Results:
    files: Mapping[str, bytes]
    metrics: Mapping[str, float]


class Once:
    """What the first job of each sort left behind. Several that begin at once may each train."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, _Results] = {}

    def clear(self) -> None:
        """Forget all results."""
        with self._lock:
            self._kept.clear()

    def run(self, container: Container, train: Callable[[], Exit]) -> Exit:
        """End as an equal job ended, or train. A job that failed or was stopped is no example."""
        inputs = container.inputs()
        with self._lock:
            known = self._kept.get(inputs)
        if known is not None:
            container.adopt(known.files, known.metrics)
            return Exit(0, "", "")
        ended = train()
        if ended.code == 0 and not ended.stopped:
            with self._lock:
                self._kept[inputs] = _Results(container.model(), dict(container.metrics))
        return ended
