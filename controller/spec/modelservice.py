"""The kind `ModelService`: one model, from its data to its API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from controller.spec.findings import Finding, demand
from controller.spec.service import DEFINED, Api, Image, Policy, Service
from controller.spec.strict import Block, Metadata, Name
from controller.spec.training import Data, Model, Training, measured

# What says how a model and its image are made.
_MAKING = ("data", "training", "model", "image")
_OWN: JsonDict = {"required": ["data", "training"]}
_FOUND: JsonDict = {"required": ["service"], "properties": {"service": {"required": ["taskDefinition"]}}}


class ModelServiceSpec(Block):
    """One model: what it learns from, how, which version serves, where, and how it is reached."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_OWN, _FOUND]})

    environment: Name = "default"
    """Name of the Environment it lives in."""
    data: Data | None = None
    """The table the model learns from; needed, unless `service.taskDefinition` is served."""
    training: Training | None = None
    """How the model is trained; needed, unless `service.taskDefinition` is served."""
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
    def _agrees(self) -> ModelServiceSpec:
        named = self.service.task_definition
        own = (*self._missing(), *self._wrong_job(), *self._wrong_gates())
        demand(own if named is None else self._beside(named))
        return self

    def _missing(self) -> Iterator[Finding]:
        for name in ("data", "training"):
            if getattr(self, name) is None:
                yield Finding(f"'{name}' is missing in spec", f"(moorage explain modelservice.spec.{name})", name=True)

    def _wrong_job(self) -> Iterator[Finding]:
        """A job that ran and the rows that it read go together; what trains here deals its rows itself."""
        if self.data is None or self.training is None:
            return
        if self.training.job is not None and self.data.channels is None:
            hint = "name what it read as data.channels, or take 'job' out, so that it is trained on data.source"
            yield Finding(f"training.job {self.training.job} didn't learn from data.source", hint, ("training", "job"))
        if self.data.channels is not None and self.training.job is None:
            hint = "name the job as training.job, or a CSV file with a header as data.source"
            told = "data.channels are what a training job has read, and none is named"
            yield Finding(told, hint, ("data", "channels"), name=True)

    def _wrong_gates(self) -> Iterator[Finding]:
        given = self.training.hyperparameters if self.training else {}
        objective = str(given.get("objective", "reg:squarederror"))
        known = measured(objective)
        for index, gate in enumerate(self.model.gates):
            if gate.metric not in known:
                yield Finding(
                    f"{gate.metric} is not measured for objective {objective}",
                    f"measured are {', '.join(known)}"
                    if known
                    else "gates need a reg:, count:, binary: or multi: objective",
                    ("model", "gates", index, "metric"),
                )

    def _beside(self, named: str) -> Iterator[Finding]:
        """What can't stand beside a task definition that is served as it is."""
        for name in _MAKING:
            # What has the default says nothing, as in a spec that was printed with all its fields.
            if getattr(self, name) != type(self).model_fields[name].default:
                told = f"'{name}' makes a model of its own, and service.taskDefinition serves {named} as it is"
                yield Finding(told, "take one of the two out", (name,), name=True)
        for name in sorted(DEFINED & self.service.model_fields_set):
            told = f"'{to_camel(name)}' is said by the task definition {named} already"
            hint = "take it out, or taskDefinition, so that a model of your own serves"
            yield Finding(told, hint, ("service", to_camel(name)), name=True)
        if self.service.name is None:
            hint = "add 'name', of the ECS service that runs it"
            yield Finding("service.taskDefinition needs service.name", hint, ("service", "taskDefinition"))
        if self.api is not None and self.service.discovery is None:
            hint = "add 'discovery' to service: the Cloud Map service that its tasks are registered in"
            yield Finding("api leads to what is served as it is only over service.discovery", hint, ("api",), name=True)
        if self.policy.max_monthly_cost is not None:
            told = f"what {named} costs isn't estimated, so maxMonthlyCost can't be held"
            yield Finding(told, "take it out", ("policy", "maxMonthlyCost"))


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
