"""The engine answers bit for bit as the xgboost package does, from any thread, and refuses what it can't serve."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from inference_server import model as models
from inference_server.engine import Engine, check_version
from inference_server.errors import StartupError
from inference_server.manifest import ModelFile

from .model_bundles import NAMES


def list_objectives() -> list[str]:
    """Every objective that the library knows, as it lists them to whoever asks for another."""
    try:
        xgb.train({"objective": "?"}, xgb.DMatrix(np.zeros((1, 1)), np.zeros(1)), 1)
    except xgb.core.XGBoostError as error:
        return sorted(re.findall(r"^Objective candidate: (\S+)$", str(error), re.MULTILINE))
    raise AssertionError("the library lists no objectives")


MODELS: list[tuple[str, dict[str, Any]]] = [
    *((objective, {}) for objective in list_objectives()),
    *((objective, {"booster": "dart", "rate_drop": 0.3}) for objective in list_objectives()),
    ("reg:logistic", {"base_score": 0.4}),
    ("reg:squarederror", {"categorical": True}),
    ("reg:squarederror", {"categorical": True, "max_cat_to_onehot": 100}),
    ("binary:logistic", {"num_parallel_tree": 3, "subsample": 0.5}),
    ("multi:softprob", {"num_parallel_tree": 2, "subsample": 0.5}),
]
COUNTS = (1, 2, 63, 64, 65, 1023, 1025, 10_000)  # the library works in blocks of 64 rows, the buffer holds 1024


def load_engine(bundle: Any) -> Engine:
    return Engine((bundle.directory / "model.ubj").read_bytes())


def float_bytes(values: Any) -> bytes:
    return np.asarray(values, dtype=np.float32).tobytes()


def test_objective_list_covers_every_family() -> None:
    """The list that the next test walks has one of each family that SageMaker's algorithm can train."""
    assert set(list_objectives()) >= {
        *("reg:squarederror", "binary:logistic", "multi:softprob", "multi:softmax", "count:poisson"),
        *("rank:ndcg", "survival:aft", "survival:cox"),
    }


@pytest.mark.parametrize(("objective", "options"), MODELS)
def test_predictions_equal_xgboost_bit_for_bit(train_bundle: Any, objective: str, options: dict[str, Any]) -> None:
    """Whatever the objective, with missing values, 1 to 10,000 rows, across the buffer's edge: the same floats in
    order.
    """
    bundle = train_bundle(objective, **options)
    engine = models.load(bundle.directory).engine
    rows = np.resize(bundle.rows, (10_000, engine.width))
    assert np.isnan(rows[0]).any()
    expected = bundle.predict(rows, strict_shape=True)
    assert engine.outputs == expected.shape[1]
    for count in COUNTS:
        assert float_bytes(engine.predict(rows[:count].tobytes(), count)) == float_bytes(expected[:count]), count
    assert float_bytes(engine.predict(rows[7].tobytes(), 1)) == float_bytes(
        bundle.predict(rows[7:8], strict_shape=True)
    )


def test_library_threads_do_not_change_predictions(housing_bundle: Any) -> None:
    """With several of libxgboost's own threads: the same bits."""
    engine = Engine((housing_bundle.directory / "model.ubj").read_bytes(), threads=3)
    assert float_bytes(engine.predict(housing_bundle.rows.tobytes(), len(housing_bundle.rows))) == float_bytes(
        housing_bundle.predict(housing_bundle.rows)
    )


@pytest.mark.parametrize("options", [{}, {"booster": "dart", "rate_drop": 0.3}])
def test_concurrent_threads_get_their_own_values(train_bundle: Any, options: dict[str, Any]) -> None:
    """Many threads at once on one engine, predicting and explaining: each gets its own rows' values."""
    bundle = train_bundle("reg:squarederror", **options)
    engine = load_engine(bundle)
    predicted, explained = bundle.predict(bundle.rows), bundle.predict(bundle.rows, pred_contribs=True)

    def work(start: int) -> bool:
        part = slice(start, start + 7)
        rows = bundle.rows[part].tobytes()
        return all(
            float_bytes(engine.predict(rows, 7)) == float_bytes(predicted[part])
            and float_bytes(engine.contributions(rows, 7)) == float_bytes(explained[part])
            for _ in range(10)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(0, 560, 7)))


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("reg:squarederror", {}),
        ("binary:logistic", {}),
        ("multi:softprob", {}),
        ("reg:squarederror", {"booster": "dart", "rate_drop": 0.3}),
    ],
)
def test_contributions_equal_xgboost_and_sum_to_the_margin(
    train_bundle: Any, objective: str, options: dict[str, Any]
) -> None:
    """SHAP contributions are the library's own, and their sum is the margin."""
    bundle = train_bundle(objective, **options)
    engine, rows = load_engine(bundle), bundle.rows[:20]
    found = np.asarray(engine.contributions(rows.tobytes(), 20), dtype=np.float32)
    assert float_bytes(found) == float_bytes(bundle.predict(rows, pred_contribs=True).ravel())
    margin = engine.margin(rows.tobytes(), 20)
    np.testing.assert_allclose(found.reshape(-1, rows.shape[1] + 1).sum(axis=1), margin, rtol=1e-4, atol=1e-4)


def test_unsupported_models_are_rejected(housing_bundle: Any) -> None:
    """A linear booster, a damaged model and one of a newer library end the start with the reason."""
    matrix = xgb.DMatrix(np.nan_to_num(housing_bundle.rows), np.zeros(len(housing_bundle.rows)))
    linear = xgb.train({"booster": "gblinear", "nthread": 1}, matrix, 2)
    with pytest.raises(StartupError, match="'gblinear' is not supported"):
        Engine(bytes(linear.save_raw("ubj")))
    raw = (housing_bundle.directory / "model.ubj").read_bytes()
    with pytest.raises(StartupError, match="can't read it"):
        Engine(raw[: len(raw) // 2])
    head, version, tail = raw.rpartition(b"i\x03i\x02i\x00")
    assert version
    with pytest.raises(StartupError, match=r"trained by xgboost 3\.9\.0, newer than this server's 3\.2\.0"):
        Engine(head + b"i\x03i\x09i\x00" + tail)


@pytest.mark.parametrize(
    ("objective", "label", "options", "words"),
    [
        ("reg:squarederror", 2, {}, r"number of outputs of reg:squarederror: .* 1, model\.ubj has 2"),
        ("reg:quantileerror", 1, {"quantile_alpha": [0.2, 0.8]}, r"number of outputs of reg:quantileerror: .* has 2"),
        (
            "multi:softprob",
            1,
            {"num_class": 3, "multi_strategy": "multi_output_tree"},
            "multi_output_tree is not supported",
        ),
    ],
)
def test_multi_target_models_are_rejected(
    housing_bundle: Any, tmp_path: Path, objective: str, label: int, options: dict[str, Any], words: str
) -> None:
    """Several targets, several quantiles, leaves of several values: what has no one answer per row ends the start."""
    matrix = xgb.DMatrix(housing_bundle.rows, np.arange(600 * label).reshape(600, label) % 3, feature_names=list(NAMES))
    train_bundle = xgb.train({"objective": objective, "tree_method": "hist", "nthread": 1, **options}, matrix, 2)
    raw = bytes(train_bundle.save_raw("ubj"))
    manifest = replace(
        housing_bundle.manifest,
        model=ModelFile(hashlib.sha256(raw).hexdigest(), len(raw)),
        objective=objective,
        num_class=options.get("num_class", 0),
        canaries=(),
    )
    with pytest.raises(StartupError, match=words):
        models.load(housing_bundle.write(tmp_path, manifest, raw))


def test_newer_trainer_is_rejected() -> None:
    """The manifest's trainer version counts as well; the same and older ones pass."""
    check_version("3.2.0")
    check_version("3.0.5")
    for newer in ("3.2.1", "3.10.0", "4.0.0"):
        with pytest.raises(StartupError, match="use a newer server image"):
            check_version(newer)


def test_numpy_scipy_and_xgboost_are_not_imported() -> None:
    """Neither numpy, scipy nor the xgboost package comes in with a loaded library."""
    code = "import sys; from inference_server import _capi, model; _capi.load(); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "scipy", "xgboost", "pandas"} & set(out.split())
