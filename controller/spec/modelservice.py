"""The kind `ModelService`: one model, from its data to its API."""

from __future__ import annotations

from typing import Literal

from controller.spec.service import Api, Image, Policy, Service
from controller.spec.strict import Block, Metadata, Name
from controller.spec.training import Data, Model, Training


class ModelServiceSpec(Block):
    """One model: what it learns from, how, which version serves, where, and how it is reached."""

    environment: Name = "default"
    """Name of the Environment it lives in."""
    data: Data
    """The table the model learns from."""
    training: Training
    """How the model is trained."""
    model: Model = Model()
    """Which version may serve."""
    image: Image = Image()
    """What the model is put on."""
    service: Service = Service()
    """How the model runs."""
    api: Api | None = None
    """How the world reaches the model; left out: only inside the VPC."""
    policy: Policy = Policy()
    """How far the controller may go."""


class ModelService(Block):
    """One model: `data`, `training`, `model`, `image`, `service`, `api` and `policy`."""

    api_version: Literal["moorage/v1alpha1"]
    """Always `moorage/v1alpha1`."""
    kind: Literal["ModelService"]
    """Always `ModelService`."""
    metadata: Metadata
    """What identifies the document."""
    spec: ModelServiceSpec
    """The desired state."""

    @property
    def name(self) -> str:
        """The document's name."""
        return self.metadata.name
