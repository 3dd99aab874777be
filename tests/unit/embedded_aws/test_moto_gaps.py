"""Plain moto fails each of these cases, and the embedded AWS passes it.

The first half notices when moto behaves like AWS, so that the strict handler can be removed.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import make_server

from embedded_aws.server import MotoApplication
from tests.conftest import EmbeddedAws
from tests.unit.embedded_aws import moto_gaps, moto_gaps_edge

CASES = {**moto_gaps.case, **moto_gaps_edge.case}
PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "embedded-aws.md"


@pytest.fixture(scope="module")
def plain_moto(idle_aws: EmbeddedAws) -> Iterator[EmbeddedAws]:
    """Yield moto's own server application on loopback, without the strict modules."""
    server = make_server("127.0.0.1", 0, MotoApplication(create_backend_app))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield replace(idle_aws, endpoint=f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def strict(idle_aws: EmbeddedAws) -> EmbeddedAws:
    """Return the embedded AWS, emptied for this module."""
    idle_aws.call_admin_endpoint("reset", "POST")
    return idle_aws


@pytest.mark.parametrize("name", CASES)
def test_plain_moto_fails_the_case(name: str, plain_moto: EmbeddedAws) -> None:
    """Plain moto doesn't behave as AWS does. When this fails, remove the case and the handler that closes the gap."""
    assert CASES[name](plain_moto) is False


@pytest.mark.parametrize("name", CASES)
def test_the_embedded_aws_passes_the_case(name: str, strict: EmbeddedAws) -> None:
    """The same case succeeds in the embedded AWS."""
    assert CASES[name](strict) is True


def test_the_page_lists_every_case() -> None:
    """The page lists every case and no other."""
    reported = re.findall(r"^\| `([a-z0-9]+/[a-z0-9-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(reported) == sorted(CASES)
