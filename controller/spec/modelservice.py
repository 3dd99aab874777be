"""The kind `ModelService`: one model, from its data to its API."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from controller.spec.findings import Finding, demand
from controller.spec.service import Api, Image, Policy, Service
from controller.spec.strict import Block, Metadata, Name
from controller.spec.training import Data, Model, Training, measured


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

    @model_validator(mode="after")
    def _gates(self) -> ModelServiceSpec:
        objective = str(self.training.hyperparameters.get("objective", "reg:squarederror"))
        known = measured(objective)
        demand(
            Finding(
                f"{gate.metric} is not measured for objective {objective}",
                f"measured are {', '.join(known)}"
                if known
                else "gates need a reg:, count:, binary: or multi: objective",
                ("model", "gates", index, "metric"),
            )
            for index, gate in enumerate(self.model.gates)
            if gate.metric not in known
        )
        return self


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
