"""The two kinds a spec file may hold, and every section of them. Checks that need a file's positions live in `load`.

A model that exists is valid: types, ranges, hyperparameters and the rules between fields are checked when it is made.
Python spells fields in snake_case, YAML in camelCase; CPU is in Fargate units, memory in MiB, volumes in GiB,
durations in seconds. `model_dump(mode="json", by_alias=True)` can be loaded again.
"""

from __future__ import annotations

from controller.spec.environment import Edge, Environment, EnvironmentSpec, Network
from controller.spec.modelservice import ModelService, ModelServiceSpec
from controller.spec.service import Api, Cors, Deletion, Health, Image, Policy, Route, Secret, Service, Throttle
from controller.spec.strict import API_VERSION, Metadata
from controller.spec.training import Algorithm, Channels, Data, Gate, Instance, Model, Split, Spot, Stopping, Training

KINDS: dict[str, type[Environment | ModelService]] = {"Environment": Environment, "ModelService": ModelService}

__all__ = [
    "API_VERSION",
    "KINDS",
    "Algorithm",
    "Api",
    "Channels",
    "Cors",
    "Data",
    "Deletion",
    "Edge",
    "Environment",
    "EnvironmentSpec",
    "Gate",
    "Health",
    "Image",
    "Instance",
    "Metadata",
    "Model",
    "ModelService",
    "ModelServiceSpec",
    "Network",
    "Policy",
    "Route",
    "Secret",
    "Service",
    "Split",
    "Spot",
    "Stopping",
    "Throttle",
    "Training",
]
