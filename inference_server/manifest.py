"""The manifest of a bundle: everything that the server must know about a model besides the model itself.

A bundle is `model.ubj` and `manifest.json`. Only this module defines the manifest; code that builds bundles imports it.
It is on the server's start-up path, so it needs only the standard library. It opens no files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar

SCHEMA: Final = 1
MODEL_FILE: Final = "model.ubj"
MANIFEST_FILE: Final = "manifest.json"

_T = TypeVar("_T")
_Read = Callable[[object, str], _T]


class ManifestError(ValueError):
    """An invalid manifest. The message names the field: `features[2].min: must be …`."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of values between adjacent edges: `len(edges) == len(counts) + 1`.

    The last bin includes its right edge.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Feature:
    """One input column, in the model's order. Statistics are of the training rows, None if unknown."""

    name: str
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    missing: int | None = None
    histogram: Histogram | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The column that the model predicts. `predictions` is the histogram of its predictions for the training rows."""

    name: str
    predictions: Histogram | None = None


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The expected content of `model.ubj`: its SHA-256 in lower-case hex and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Canary:
    """One row, None for a missing value, and the prediction of the trainer's library: one value, or one per class."""

    row: tuple[float | None, ...]
    prediction: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of one built model.

    `version` is the model package's version, None until registered. `num_class` is 0 unless the objective is
    multi-class. `xgboost_version` is the trainer's. `metrics` is dataset (train, validation, test) → metric → value.
    """

    name: str
    model: ModelFile
    features: tuple[Feature, ...]
    target: Target
    objective: str
    xgboost_version: str
    version: int | None = None
    num_class: int = 0
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    canaries: tuple[Canary, ...] = ()
    schema: int = SCHEMA

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the input columns, in the model's order."""
        return tuple(feature.name for feature in self.features)

    @property
    def outputs(self) -> int:
        """Number of values per prediction: the number of classes for `multi:softprob`, else 1."""
        return self.num_class if self.objective == "multi:softprob" else 1


def dumps(manifest: Manifest) -> bytes:
    """Serialize as JSON with sorted keys: equal manifests give equal bytes. Raise ManifestError if it is invalid."""
    # Parsing the result checks every rule and gives 41 and 41.0 the same bytes.
    return _encode(loads(_encode(manifest)))


def loads(text: bytes | str) -> Manifest:
    """Parse and check a manifest. Raise ManifestError for unknown, missing, ill-typed or contradictory fields."""
    try:
        document = json.loads(text, object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant)
    except ManifestError:
        raise
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not JSON: {error}") from None
    if isinstance(document, dict) and isinstance(found := document.get("schema"), int) and found > SCHEMA:
        raise ManifestError(f"schema: {found} is newer than this server reads ({SCHEMA}); use a newer server")
    manifest = Manifest(**_object(_MANIFEST)(document, ""))
    _check_consistency(manifest)
    return manifest


def _encode(manifest: Manifest) -> bytes:
    try:
        text = json.dumps(asdict(manifest), sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return f"{text}\n".encode()
    except (TypeError, ValueError) as error:
        raise ManifestError(f"can't be written as JSON: {error}") from None


# --- checks across fields ---


def _check_consistency(manifest: Manifest) -> None:
    """Check rules across fields: widths, uniqueness, and the number of classes of a multi-class objective."""
    if len(set(manifest.feature_names)) != len(manifest.features):
        raise ManifestError("features: two have the same name")
    if manifest.objective.startswith("multi:") != (manifest.num_class > 1):
        raise ManifestError(f"num_class: {manifest.num_class} does not go with objective {manifest.objective!r}")
    for index, canary in enumerate(manifest.canaries):
        if len(canary.row) != len(manifest.features):
            raise ManifestError(
                f"canaries[{index}].row: has {len(canary.row)} values for {len(manifest.features)} features"
            )
        if len(canary.prediction) != manifest.outputs:
            raise ManifestError(
                f"canaries[{index}].prediction: has {len(canary.prediction)} values, "
                f"the objective has {manifest.outputs}"
            )


def _feature(value: object, where: str) -> Feature:
    feature = Feature(**_object(_FEATURE)(value, where))
    known = [number for number in (feature.min, feature.mean, feature.max) if number is not None]
    if known != sorted(known):
        raise ManifestError(f"{where}: must have min ≤ mean ≤ max")
    return feature


def _histogram(value: object, where: str) -> Histogram:
    histogram = Histogram(**_object(_HISTOGRAM)(value, where))
    if len(histogram.edges) != len(histogram.counts) + 1:
        raise ManifestError(f"{where}: must have one edge more than counts")
    if any(left >= right for left, right in zip(histogram.edges, histogram.edges[1:], strict=False)):
        raise ManifestError(f"{where}.edges: must rise")
    return histogram


# --- readers: (value, position) → checked value ---


def _reject_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise ManifestError(f"{key}: is duplicated")
        document[key] = value
    return document


def _reject_constant(word: str) -> None:
    raise ManifestError(f"not JSON: {word} is not a number")


def _type_error(where: str, must: str, value: object) -> ManifestError:
    shown = repr(value)
    return ManifestError(
        f"{where or 'manifest'}: must be {must}, is {shown if len(shown) <= 60 else shown[:57] + '...'}"
    )


def _object(readers: Mapping[str, _Read[Any]]) -> _Read[dict[str, Any]]:
    def read(value: object, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _type_error(where, "an object", value)
        prefix = f"{where}." if where else ""
        for key in value.keys() - readers.keys():
            raise ManifestError(f"{prefix}{key}: is not a field of the manifest")
        for key in readers.keys() - value.keys():
            raise ManifestError(f"{prefix}{key}: is missing")
        return {key: reader(value[key], prefix + key) for key, reader in readers.items()}

    return read


def _map(reader: _Read[_T]) -> _Read[dict[str, _T]]:
    def read(value: object, where: str) -> dict[str, _T]:
        if not isinstance(value, dict):
            raise _type_error(where, "an object", value)
        return {key: reader(item, f"{where}.{key}") for key, item in value.items()}

    return read


def _list(reader: _Read[_T], at_least: int = 0) -> _Read[tuple[_T, ...]]:
    def read(value: object, where: str) -> tuple[_T, ...]:
        if not isinstance(value, list) or len(value) < at_least:
            raise _type_error(where, f"a list of {at_least} or more" if at_least else "a list", value)
        return tuple(reader(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read


def _optional(reader: _Read[_T]) -> _Read[_T | None]:
    def read(value: object, where: str) -> _T | None:
        return None if value is None else reader(value, where)

    return read


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _type_error(where, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _type_error(where, "a finite number", value)
    return number


def _count(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _type_error(where, "a whole number, 0 or more", value)
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _type_error(where, "a string", value)
    return value


def _matching(pattern: str, must: str) -> _Read[str]:
    matches = re.compile(pattern).fullmatch

    def read(value: object, where: str) -> str:
        if not isinstance(value, str) or not matches(value):
            raise _type_error(where, must, value)
        return value

    return read


_name = _matching(r"[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*", "a name without control characters")
_HISTOGRAM = {"edges": _list(_number, 2), "counts": _list(_count, 1)}
_FEATURE = {
    "name": _name,
    "min": _optional(_number),
    "max": _optional(_number),
    "mean": _optional(_number),
    "missing": _optional(_count),
    "histogram": _optional(_histogram),
}
_TARGET = {"name": _name, "predictions": _optional(_histogram)}
_MODEL = {"sha256": _matching(r"[0-9a-f]{64}", "a SHA-256 in lower-case hex"), "size": _count}
_CANARY = {"row": _list(_optional(_number), 1), "prediction": _list(_number, 1)}
_MANIFEST: Mapping[str, _Read[Any]] = {
    "schema": _count,
    "name": _name,
    "version": _optional(_count),
    "model": lambda value, where: ModelFile(**_object(_MODEL)(value, where)),
    "features": _list(_feature, 1),
    "target": lambda value, where: Target(**_object(_TARGET)(value, where)),
    "objective": _name,
    "num_class": _count,
    "xgboost_version": _matching(r"\d+\.\d+\.\d+", "a version like 3.2.0"),
    "metrics": _map(_map(_number)),
    "lineage": _map(_text),
    "canaries": _list(lambda value, where: Canary(**_object(_CANARY)(value, where))),
}
