"""Build a `Bundle` from a model's bytes and its channels: everything that the server in the image needs to know.

XGBoost measures the model in a separate process (`evaluation`), the training channel is profiled (`profile`), and both
become a manifest (`inference_server.manifest`), which also checks itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.metadata import version as installed
from pathlib import Path

from controller.bundle import profile
from controller.bundle.evaluation import evaluate_model
from controller.bundle.xgboost_model import XgboostModel
from controller.errors import BundleError
from inference_server import manifest as manifests
from inference_server.manifest import Canary, Feature, Manifest, ManifestError, Target

CHANNELS = ("train", "validation", "test")


@dataclass(frozen=True)
class Bundle:
    """A model that can be served. `model` is UBJSON, `manifest` describes exactly these bytes."""

    model: bytes = field(repr=False)
    manifest: Manifest

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, version: int) -> Bundle:
        """Read a bundle's two files back, and give it the version that it is registered under.

        Raises BundleError if the manifest can't be trusted or describes another model.
        """
        try:
            manifest = replace(manifests.loads(files[manifests.MANIFEST_FILE]), version=version)
        except ManifestError as error:
            raise BundleError("the bundle's manifest can't be trusted", why=str(error)) from error
        model = files[manifests.MODEL_FILE]
        if manifest.model != manifests.ModelFile(sha256(model).hexdigest(), len(model)):
            raise BundleError("the bundle's model isn't the one that its manifest describes", hint="build it again")
        return cls(model, manifest)

    def files(self) -> dict[str, bytes]:
        """Return the bundle's two files, by name."""
        return {manifests.MODEL_FILE: self.model, manifests.MANIFEST_FILE: manifests.dumps(self.manifest)}

    def write(self, directory: Path) -> None:
        """Write the two files, and create the directory if necessary. Raises BundleError if that isn't possible."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name, content in self.files().items():
                (directory / name).write_bytes(content)
        except OSError as error:
            raise BundleError("the bundle can't be written", where=str(directory), why=error.strerror or "") from error


def build_bundle(
    model: XgboostModel,
    *,
    name: str,
    features: Sequence[str],
    target: str,
    channels: Mapping[str, bytes] | None = None,
    lineage: Mapping[str, str] | None = None,
    version: int | None = None,
) -> Bundle:
    """Build the bundle of a model that `read_artifact` or `read_model` returned.

    `channels` (any of train, validation, test) hold header-less CSV: the label, then `features` in this order. Metrics
    are measured on each channel, ranges on train. A bundle without channels has canary rows all the same. `lineage` is
    copied. Equal arguments give equal bytes. Raises BundleError if anything doesn't fit.
    """
    rows = {channel: content for channel, content in (channels or {}).items() if content}
    if unknown := rows.keys() - set(CHANNELS):
        raise BundleError(f"no such channel: {', '.join(sorted(unknown))}", hint=f"there are {', '.join(CHANNELS)}")
    _check_trainer(model)
    measured = evaluate_model(model, features, rows)
    manifest = Manifest(
        name=name,
        version=version,
        model=manifests.ModelFile(sha256(measured.model).hexdigest(), len(measured.model)),
        features=profile.profile_features(features, rows["train"])
        if "train" in rows
        else tuple(map(Feature, features)),
        target=Target(target, profile.build_histogram(filter(math.isfinite, measured.predictions))),
        objective=measured.objective,
        num_class=measured.num_class,
        xgboost_version=_dotted(model.version),
        metrics=measured.metrics,
        lineage=dict(lineage or {}),
        canaries=tuple(Canary(tuple(canary["row"]), tuple(canary["prediction"])) for canary in measured.canaries),
    )
    try:
        # Serialising checks every rule; parsing again gives the one form that equal manifests have.
        return Bundle(measured.model, manifests.loads(manifests.dumps(manifest)))
    except ManifestError as error:
        raise BundleError("the bundle's manifest would be wrong", why=str(error)) from error


def _check_trainer(model: XgboostModel) -> None:
    """Refuse a model of a newer XGBoost than ours: an older library may read it and predict wrongly."""
    library = installed("xgboost-cpu")
    if model.version > tuple(map(int, library.split(".")[:3])):
        raise BundleError(
            f"the model was trained by XGBoost {_dotted(model.version)}, and is served by {library}",
            why="an older library may read it without an error and predict wrongly",
            hint="upgrade moorage, or train with an older algorithm version",
        )


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
