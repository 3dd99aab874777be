"""What a model's first and last bytes tell, before any library reads it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from controller.bundle.xgboost_model import identify_model
from controller.errors import BundleError

UBJSON = b"{L\0\0\0\0\0\0\0\x07learner{}L\0\0\0\0\0\0\0\x07version[#L\0\0\0\0\0\0\0\x03i\x03i\x02i\x00}"


def refusal(content: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        identify_model(content)
    return str(caught.value)


def test_ubjson_and_json_are_recognised_with_their_writer() -> None:
    """Both formats of XGBoost 3.x are accepted, and say which version wrote them."""
    model = identify_model(UBJSON)
    assert (model.format, model.version, model.content) == ("ubj", (3, 2, 0), UBJSON)
    model = identify_model(b'{"learner": {}, "version": [2, 1, 4]}')
    assert (model.format, model.version) == ("json", (2, 1, 4))


def test_the_old_binary_is_refused_with_its_versions() -> None:
    """The reason names who wrote it, and what to do."""
    assert "XGBoost 1.3 to 1.7" in refusal(b"binf\0\0\0\x3f\x07\0\0\0")


class UnpicklingMarker:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_and_never_read(protocol: int, tmp_path: Path) -> None:
    """Whatever its protocol, a pickle is named as one, and the mark it would leave is not left."""
    trap = pickle.dumps(UnpicklingMarker(tmp_path / "mark"), protocol)
    assert "Python pickle" in refusal(trap)
    assert not (tmp_path / "mark").exists()
    pickle.loads(trap)
    assert (tmp_path / "mark").exists(), "the trap must work, or the test shows nothing"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "isn't an XGBoost model"),
        (b"\x7fELF\x02\x01", "isn't an XGBoost model"),
        (b"\x1f\x8b\x08\x00", "isn't an XGBoost model"),
        (UBJSON[:-1], "truncated"),
        (UBJSON + b"\0", "truncated"),
        (b'{"learner": {}', "not XGBoost's JSON"),
        (b'{"learner": {}}', "not XGBoost's JSON"),
        (b'{"version": "3.2.0"}', "not XGBoost's JSON"),
        (b'{"a":' * 100_000, "not XGBoost's JSON"),
    ],
)
def test_anything_else_is_refused(content: bytes, reason: str) -> None:
    """Cut, nested beyond reason or plainly foreign: a BundleError says so."""
    assert reason in refusal(content)
