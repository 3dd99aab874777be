"""Train equal jobs once, for tests of scale (MOORAGE_LOCAL_TRAINER=once): later ones reuse the first one's results.

Jobs are equal when their containers would read the same: hyperparameters, channels and their files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from embedded_aws.training.container import ContainerExit, TrainingContainer


@dataclass(frozen=True)
class _CachedResults:
    files: Mapping[str, bytes]
    metrics: Mapping[str, float]


class ResultCache:
    """The results of the first job of each kind. Equal jobs that begin at the same time may each train."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[str, _CachedResults] = {}

    def clear(self) -> None:
        """Forget all results."""
        with self._lock:
            self._results.clear()

    def get_or_train(self, container: TrainingContainer, train: Callable[[], ContainerExit]) -> ContainerExit:
        """Return the result of an equal job, or train. The results of failed and stopped jobs are not reused."""
        inputs = container.digest_inputs()
        with self._lock:
            known = self._results.get(inputs)
        if known is not None:
            container.restore_results(known.files, known.metrics)
            return ContainerExit(0, "", "")
        ended = train()
        if ended.code == 0 and not ended.stop_reason:
            with self._lock:
                self._results[inputs] = _CachedResults(container.read_model(), dict(container.metrics))
        return ended
