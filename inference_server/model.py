"""The served model: the two files of a bundle, checked against each other, loaded, and verified on the canary rows.

Any error here ends the process before it takes traffic. This module knows no HTTP.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from inference_server import manifest as manifests
from inference_server.engine import Engine, check_version
from inference_server.errors import RequestError, StartupError
from inference_server.manifest import Manifest, ManifestError
from inference_server.signature import Signature

# The same library gives the same bits; exp() of another CPU or a newer library may differ in the last few.
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Model:
    """The served model: `manifest` describes it, `signature` converts input to rows, `engine` predicts them."""

    manifest: Manifest
    signature: Signature
    engine: Engine


def load(directory: Path, threads: int = 1) -> Model:
    """Load and verify the bundle in `directory`. Raise StartupError with the reason."""
    try:
        manifest = manifests.loads((directory / manifests.MANIFEST_FILE).read_bytes())
        raw = (directory / manifests.MODEL_FILE).read_bytes()
    except ManifestError as error:
        raise StartupError(f"{directory / manifests.MANIFEST_FILE}: {error}") from None
    except OSError as error:
        raise StartupError(
            f"{error.filename}: {error.strerror}; a bundle has {manifests.MODEL_FILE} and {manifests.MANIFEST_FILE}"
        ) from None
    if len(raw) != manifest.model.size or hashlib.sha256(raw).hexdigest() != manifest.model.sha256:
        raise StartupError(
            f"{directory / manifests.MODEL_FILE}: is not the file that the manifest describes (SHA-256 differs)"
        )
    check_version(manifest.xgboost_version)
    engine = Engine(raw, threads)
    _check_manifest(manifest, engine)
    signature = Signature(manifest.feature_names, categorical=engine.feature_types)
    _check_canaries(manifest, signature, engine)
    return Model(manifest, signature, engine)


def _check_manifest(manifest: Manifest, engine: Engine) -> None:
    """Compare the manifest with the model's own properties."""
    pairs: dict[str, tuple[object, object]] = {
        "number of features": (len(manifest.features), engine.width),
        "objective": (manifest.objective, engine.objective),
        f"number of outputs of {engine.objective}": (manifest.outputs, engine.outputs),
    }
    if engine.feature_names:
        pairs["feature names"] = (manifest.feature_names, engine.feature_names)
    for what, (promised, found) in pairs.items():
        if promised != found:
            raise StartupError(f"{what}: the manifest says {promised}, model.ubj has {found}; build the bundle again")


def _check_canaries(manifest: Manifest, signature: Signature, engine: Engine) -> None:
    """Predict the canary rows and compare with the predictions of the trainer's library."""
    for index, canary in enumerate(manifest.canaries):
        try:
            rows = signature.rows([list(canary.row)], f"canaries[{index}].row")
        except RequestError as error:
            raise StartupError(f"{error.field}: {error.message}; build the bundle again") from None
        found = engine.predict(rows.data, rows.count)
        if not all(map(_is_close, found, canary.prediction)):
            raise StartupError(
                f"canary row {index}: expected {list(canary.prediction)}, this server predicts {found}; "
                "the model would predict wrongly, so the server stops"
            )


def _is_close(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=_TOLERANCE, abs_tol=1e-7)
