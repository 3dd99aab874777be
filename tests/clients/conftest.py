"""The inference server as other people's clients see it.

`make check-clients` brings the clients; without them, no test is here.
"""

from __future__ import annotations

from importlib.util import find_spec

from tests.unit.inference_server.conftest import housing_bundle, start_server, train_bundle

__all__ = ["housing_bundle", "start_server", "train_bundle"]

collect_ignore_glob = [] if find_spec("tritonclient") and find_spec("schemathesis") else ["test_*.py"]
