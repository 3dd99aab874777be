"""Artifact bytes in; a verified model bundle and image layers out.

The order of things: `read_artifact` streams a training job's model.tar.gz (or `read_model` a file), `build` measures the
model and writes its manifest, `layers` packs it, and `image` puts the layers onto a base image. Everything is a function
of bytes and paths: fetching and pushing them is for whoever calls.
"""

from controller.bundle.artifact import read_artifact, read_model
from controller.bundle.build import Bundle, build
from controller.bundle.model_file import ModelFile

__all__ = ["Bundle", "ModelFile", "build", "read_artifact", "read_model"]
