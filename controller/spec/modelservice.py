"""The kind `ModelService`: one model, from its data to its API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from controller.spec.findings import Finding, raise_findings
from controller.spec.service import TASK_DEFINITION_FIELDS, Api, Image, Policy, Service
from controller.spec.strict import Metadata, Name, StrictModel
from controller.spec.training import Data, Model, Training, metrics_for

# What says how a model and its image are made.
_MODEL_SECTIONS = ("data", "training", "model", "image")
_TRAINED_SCHEMA: JsonDict = {"required": ["data", "training"]}
_SERVED_AS_IS_SCHEMA: JsonDict = {"required": ["service"], "properties": {"service": {"required": ["taskDefinition"]}}}


class ModelServiceSpec(StrictModel):
    """One model: what it learns from, how, which version serves, where, and how it is reached."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_TRAINED_SCHEMA, _SERVED_AS_IS_SCHEMA]})

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
    def _check_consistency(self) -> ModelServiceSpec:
        named = self.service.task_definition
        own = (*self._missing_sections(), *self._invalid_job(), *self._invalid_gates())
        raise_findings(own if named is None else self._conflicts_with_task_definition(named))
        return self

    def _missing_sections(self) -> Iterator[Finding]:
        for name in ("data", "training"):
            if getattr(self, name) is None:
                yield Finding(
                    f"'{name}' is missing in spec", f"(moorage explain modelservice.spec.{name})", at_key=True
                )

    def _invalid_job(self) -> Iterator[Finding]:
        """Check that an adopted job comes with its channels, and that a spec that trains has its own data."""
        if self.data is None or self.training is None:
            return
        if self.training.job is not None and self.data.channels is None:
            hint = "name what it read as data.channels, or take 'job' out, so that it is trained on data.source"
            yield Finding(f"training.job {self.training.job} didn't learn from data.source", hint, ("training", "job"))
        if self.data.channels is not None and self.training.job is None:
            hint = "name the job as training.job, or a CSV file with a header as data.source"
            reported = "data.channels are what a training job has read, and none is named"
            yield Finding(reported, hint, ("data", "channels"), at_key=True)

    def _invalid_gates(self) -> Iterator[Finding]:
        given = self.training.hyperparameters if self.training else {}
        objective = str(given.get("objective", "reg:squarederror"))
        known = metrics_for(objective)
        for index, gate in enumerate(self.model.gates):
            if gate.metric not in known:
                yield Finding(
                    f"{gate.metric} is not measured for objective {objective}",
                    f"measured are {', '.join(known)}"
                    if known
                    else "gates need a reg:, count:, binary: or multi: objective",
                    ("model", "gates", index, "metric"),
                )

    def _conflicts_with_task_definition(self, named: str) -> Iterator[Finding]:
        """Check that no section contradicts an imported task definition."""
        for name in _MODEL_SECTIONS:
            # What has the default says nothing, as in a spec that was printed with all its fields.
            if getattr(self, name) != type(self).model_fields[name].default:
                reported = f"'{name}' makes a model of its own, and service.taskDefinition serves {named} as it is"
                yield Finding(reported, "take one of the two out", (name,), at_key=True)
        for name in sorted(TASK_DEFINITION_FIELDS & self.service.model_fields_set):
            reported = f"'{to_camel(name)}' is said by the task definition {named} already"
            hint = "take it out, or taskDefinition, so that a model of your own serves"
            yield Finding(reported, hint, ("service", to_camel(name)), at_key=True)
        if self.service.name is None:
            hint = "add 'name', of the ECS service that runs it"
            yield Finding("service.taskDefinition needs service.name", hint, ("service", "taskDefinition"))
        if self.api is not None and self.service.discovery is None:
            hint = "add 'discovery' to service: the Cloud Map service that its tasks are registered in"
            yield Finding(
                "api leads to what is served as it is only over service.discovery", hint, ("api",), at_key=True
            )
        if self.policy.max_monthly_cost is not None:
            reported = f"what {named} costs isn't estimated, so maxMonthlyCost can't be held"
            yield Finding(reported, "take it out", ("policy", "maxMonthlyCost"))


class ModelService(StrictModel):
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
