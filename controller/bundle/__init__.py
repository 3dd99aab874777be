"""From artifact bytes to a verified model bundle and image layers.

`read_artifact` streams a training job's model.tar.gz (or `read_model` a file), `build` measures the model and writes
its manifest, `layers` packs it, `image` puts the layers onto a base image, and `publish` pushes that to a repository:
ECR's, which `controller.aws` talks to, or any registry's (`oci`).
"""

from controller.bundle.artifact import read_artifact, read_model
from controller.bundle.build import Bundle, build_bundle
from controller.bundle.xgboost_model import XgboostModel

__all__ = ["Bundle", "XgboostModel", "build_bundle", "read_artifact", "read_model"]
