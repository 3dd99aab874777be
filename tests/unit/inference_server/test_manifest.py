"""The manifest is strict, round-trips, and has one byte form."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_server.manifest import (
    Canary,
    Feature,
    Histogram,
    Manifest,
    ManifestError,
    ModelFile,
    Target,
    dumps,
    loads,
)

MANIFEST = Manifest(
    name="housing-model",
    version=7,
    model=ModelFile(sha256="ab" * 32, size=1234),
    features=(
        Feature("median_income", 0.5, 15.0, 3.87, 0, Histogram((0.5, 5.0, 15.0), (10, 3))),
        Feature("households"),
    ),
    target=Target("median_house_value", Histogram((0.0, 1e5, 5e5), (1, 2))),
    objective="reg:squarederror",
    xgboost_version="3.2.0",
    metrics={"test": {"rmse": 49610.0}},
    lineage={"commit": "0f3a", "data": "sha256:51"},
    canaries=(Canary((8.3252, None), (452600.0,)),),
)


def manifest_json(**changes: Any) -> bytes:
    """Write the housing manifest with some top-level fields changed; a change to ... drops the field."""
    document = json.loads(dumps(MANIFEST)) | changes
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


def test_round_trip() -> None:
    """What was written is read back equal, and writing it again gives the same bytes."""
    assert loads(dumps(MANIFEST)) == MANIFEST
    assert dumps(loads(dumps(MANIFEST))) == dumps(MANIFEST)


def test_equal_manifests_have_one_byte_form() -> None:
    """Key order and int against float leave no trace; keys are sorted."""
    other = replace(
        MANIFEST,
        metrics={"test": {"rmse": 49610}},
        lineage=dict(reversed(MANIFEST.lineage.items())),
        canaries=(Canary((8.3252, None), (452600,)),),
    )
    assert dumps(other) == dumps(MANIFEST)
    keys = list(json.loads(dumps(MANIFEST)))
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema: 2 is newer than this server reads"),
        ({"name": ...}, "name: is missing"),
        ({"colour": "red"}, "colour: is not a field"),
        ({"name": " "}, "name: must be a name"),
        ({"version": True}, "version: must be a whole number"),
        ({"version": "7"}, "version: must be a whole number"),
        ({"model": {"sha256": "AB" * 32, "size": 1}}, "model.sha256: must be a SHA-256"),
        ({"features": []}, "features: must be a list of 1 or more"),
        ({"num_class": 3}, "num_class: 3 does not go with"),
        ({"xgboost_version": "3.2"}, "xgboost_version: must be a version"),
        ({"metrics": {"test": {"rmse": "low"}}}, "metrics.test.rmse: must be a number"),
        ({"metrics": {"test": {"rmse": 10**400}}}, "metrics.test.rmse: must be a finite number"),
        ({"lineage": {"commit": 5}}, "lineage.commit: must be a string"),
        ({"canaries": [{"row": [1], "prediction": [1]}]}, "canaries[0].row: has 1 values for 2 features"),
        ({"canaries": [{"row": [1, 2], "prediction": [1, 2]}]}, "canaries[0].prediction: has 2 values"),
        ({"target": {"name": "y"}}, "target.predictions: is missing"),
    ],
)
def test_invalid_fields_are_named(changes: dict[str, Any], message: str) -> None:
    """Each wrong field is named, with what it must be."""
    with pytest.raises(ManifestError) as caught:
        loads(manifest_json(**changes))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"min": 2, "mean": 1, "max": 3}, "features[0]: must have min ≤ mean ≤ max"),
        ({"histogram": {"edges": [0, 1], "counts": [1, 2]}}, "features[0].histogram: must have one edge more"),
        ({"histogram": {"edges": [1, 1], "counts": [1]}}, "features[0].histogram.edges: must rise"),
        ({"name": "households"}, "features: two have the same name"),
        ({"missing": -1}, "features[0].missing: must be a whole number"),
    ],
)
def test_contradictory_features_are_rejected(feature: dict[str, Any], message: str) -> None:
    """Statistics that contradict themselves are refused, with the feature's place."""
    features = json.loads(dumps(MANIFEST))["features"]
    features[0] |= feature
    with pytest.raises(ManifestError) as caught:
        loads(manifest_json(features=features))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": NaN}', '{"a": 1, "a": 2}', "[" * 100_000, b"\xff"])
def test_non_manifests_are_rejected(text: bytes | str) -> None:
    """Anything but one JSON object is refused with the module's own error."""
    with pytest.raises(ManifestError):
        loads(text)


def test_unreadable_manifests_are_never_written() -> None:
    """A manifest that could not be read back can't be written either."""
    for wrong in (
        replace(MANIFEST, metrics={"test": {"rmse": float("nan")}}),
        replace(MANIFEST, canaries=(Canary((1.0,), (1.0,)),)),
        replace(MANIFEST, lineage={"commit": object()}),  # type: ignore[dict-item]
    ):
        with pytest.raises(ManifestError):
            dumps(wrong)


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(json.loads(dumps(MANIFEST)))), inner),
    )
)
def test_any_json_raises_only_manifest_errors(document: object) -> None:
    """No JSON document makes the reader fail in any other way than by ManifestError."""
    with pytest.raises(ManifestError):
        loads(json.dumps(document))


def test_import_needs_only_the_standard_library() -> None:
    """Start-up stays cheap: no third-party module comes in with the manifest."""
    code = "import sys, inference_server.manifest; print(*{name.partition('.')[0] for name in sys.modules})"
    out = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"pydantic", "numpy", "xgboost", "aiohttp", "orjson", "controller"} & set(out.split())
