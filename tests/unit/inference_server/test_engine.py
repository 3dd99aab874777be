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
from inference_server.errors import StartError
from inference_server.manifest import ModelFile

from .bundles import NAMES


def objectives() -> list[str]:
    """Every objective that the library knows, as it lists them to whoever asks for another."""
    try:
        xgb.train({"objective": "?"}, xgb.DMatrix(np.zeros((1, 1)), np.zeros(1)), 1)
    except xgb.core.XGBoostError as error:
        return sorted(re.findall(r"^Objective candidate: (\S+)$", str(error), re.MULTILINE))
    raise AssertionError("the library lists no objectives")


MODELS: list[tuple[str, dict[str, Any]]] = [
    *((objective, {}) for objective in objectives()),
    *((objective, {"booster": "dart", "rate_drop": 0.3}) for objective in objectives()),
    ("reg:logistic", {"base_score": 0.4}),
    ("reg:squarederror", {"categorical": True}),
    ("reg:squarederror", {"categorical": True, "max_cat_to_onehot": 100}),
    ("binary:logistic", {"num_parallel_tree": 3, "subsample": 0.5}),
    ("multi:softprob", {"num_parallel_tree": 2, "subsample": 0.5}),
]
COUNTS = (1, 2, 63, 64, 65, 1023, 1025, 10_000)  # the library works in blocks of 64 rows, the buffer holds 1024


def engine_of(bundle: Any) -> Engine:
    return Engine((bundle.directory / "model.ubj").read_bytes())


def bits(values: Any) -> bytes:
    return np.asarray(values, dtype=np.float32).tobytes()


def test_the_library_still_lists_its_objectives() -> None:
    """The list that the next test walks has one of each family that SageMaker's algorithm can train."""
    assert set(objectives()) >= {
        *("reg:squarederror", "binary:logistic", "multi:softprob", "multi:softmax", "count:poisson"),
        *("rank:ndcg", "survival:aft", "survival:cox"),
    }


@pytest.mark.parametrize(("objective", "options"), MODELS)
def test_predictions_equal_the_packages_bit_for_bit(trained: Any, objective: str, options: dict[str, Any]) -> None:
    """Whatever the objective, with missing values, 1 to 10,000 rows, across the buffer's edge: the same floats in order."""
    bundle = trained(objective, **options)
    engine = models.load(bundle.directory).engine
    rows = np.resize(bundle.rows, (10_000, engine.width))
    assert np.isnan(rows[0]).any()
    expected = bundle.predict(rows, strict_shape=True)
    assert engine.outputs == expected.shape[1]
    for count in COUNTS:
        assert bits(engine.predict(rows[:count].tobytes(), count)) == bits(expected[:count]), count
    assert bits(engine.predict(rows[7].tobytes(), 1)) == bits(bundle.predict(rows[7:8], strict_shape=True))


def test_more_threads_in_the_library_change_nothing(housing: Any) -> None:
    """With several of libxgboost's own threads: the same bits."""
    engine = Engine((housing.directory / "model.ubj").read_bytes(), threads=3)
    assert bits(engine.predict(housing.rows.tobytes(), len(housing.rows))) == bits(housing.predict(housing.rows))


@pytest.mark.parametrize("options", [{}, {"booster": "dart", "rate_drop": 0.3}])
def test_threads_do_not_mix_up_their_rows(trained: Any, options: dict[str, Any]) -> None:
    """Many threads at once on one engine, predicting and explaining: each gets its own rows' values."""
    bundle = trained("reg:squarederror", **options)
    engine = engine_of(bundle)
    predicted, explained = bundle.predict(bundle.rows), bundle.predict(bundle.rows, pred_contribs=True)

    def work(start: int) -> bool:
        part = slice(start, start + 7)
        rows = bundle.rows[part].tobytes()
        return all(
            bits(engine.predict(rows, 7)) == bits(predicted[part])
            and bits(engine.contributions(rows, 7)) == bits(explained[part])
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
def test_contributions_equal_the_packages_and_sum_to_the_margin(
    trained: Any, objective: str, options: dict[str, Any]
) -> None:
    """SHAP contributions are the library's own, and their sum is the margin."""
    bundle = trained(objective, **options)
    engine, rows = engine_of(bundle), bundle.rows[:20]
    found = np.asarray(engine.contributions(rows.tobytes(), 20), dtype=np.float32)
    assert bits(found) == bits(bundle.predict(rows, pred_contribs=True).ravel())
    margin = engine.margin(rows.tobytes(), 20)
    np.testing.assert_allclose(found.reshape(-1, rows.shape[1] + 1).sum(axis=1), margin, rtol=1e-4, atol=1e-4)


def test_what_it_does_not_serve_is_refused_by_name(housing: Any) -> None:
    """A linear booster, a damaged model and one of a newer library end the start with the reason."""
    matrix = xgb.DMatrix(np.nan_to_num(housing.rows), np.zeros(len(housing.rows)))
    linear = xgb.train({"booster": "gblinear", "nthread": 1}, matrix, 2)
    with pytest.raises(StartError, match="'gblinear' isn't served"):
        Engine(bytes(linear.save_raw("ubj")))
    raw = (housing.directory / "model.ubj").read_bytes()
    with pytest.raises(StartError, match="can't read it"):
        Engine(raw[: len(raw) // 2])
    head, version, tail = raw.rpartition(b"i\x03i\x02i\x00")
    assert version
    with pytest.raises(StartError, match=r"trained by xgboost 3\.9\.0, newer than this server's 3\.2\.0"):
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
            "multi_output_tree isn't served",
        ),
    ],
)
def test_models_of_several_targets_are_refused_by_name(
    housing: Any, tmp_path: Path, objective: str, label: int, options: dict[str, Any], words: str
) -> None:
    """Several targets, several quantiles, leaves of several values: what has no one answer per row ends the start."""
    matrix = xgb.DMatrix(housing.rows, np.arange(600 * label).reshape(600, label) % 3, feature_names=list(NAMES))
    trained = xgb.train({"objective": objective, "tree_method": "hist", "nthread": 1, **options}, matrix, 2)
    raw = bytes(trained.save_raw("ubj"))
    manifest = replace(
        housing.manifest,
        model=ModelFile(hashlib.sha256(raw).hexdigest(), len(raw)),
        objective=objective,
        num_class=options.get("num_class", 0),
        canaries=(),
    )
    with pytest.raises(StartError, match=words):
        models.load(housing.write(tmp_path, manifest, raw))


def test_a_newer_trainer_is_refused() -> None:
    """The manifest's trainer version counts as well; the same and older ones pass."""
    check_version("3.2.0")
    check_version("3.0.5")
    for newer in ("3.2.1", "3.10.0", "4.0.0"):
        with pytest.raises(StartError, match="use a newer server image"):
            check_version(newer)


def test_nothing_heavy_is_imported() -> None:
    """Neither numpy, scipy nor the xgboost package comes in with a loaded library."""
    code = "import sys; from inference_server import _capi, model; _capi.load(); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "scipy", "xgboost", "pandas"} & set(out.split())
