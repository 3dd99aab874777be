"""A draft of a spec for existing objects: its sections, and notes on what they can't express. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controller.core.values import Value
from controller.spec.strict import API_VERSION


@dataclass
class Draft:
    """What is known so far of a ModelService and of its Environment.

    `spec` adopts the existing objects unchanged. `own` are the sections that replace them if a trained model is to
    serve; `open` is then what a person must fill in or check, and `changes` what changes of the running objects.
    `takes` are the objects that `policy.adopt` adopts, `checks` what a person should check in any case, and `left` what
    no spec can express, and what stays as it is.
    """

    imported_from: str
    name: str
    environment: dict[str, Value] = field(default_factory=dict)
    spec: dict[str, Value] = field(default_factory=dict)
    model_sections: dict[str, Value] = field(default_factory=dict)
    adopted: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    open_items: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    unmanaged: list[str] = field(default_factory=list)

    @property
    def is_served_as_is(self) -> bool:
        """Whether the running revision keeps serving unchanged."""
        return "training" not in self.spec

    def train_model(self, *, data: str, target: str) -> None:
        """Switch the draft to a trained model.

        The table and, without a job, the training are filled in as examples, because they can't be found.
        """
        if "data" in self.spec:
            rows: dict[str, Value] = self.spec["data"]
            self.spec = {**self.spec, "data": {**rows, "target": target or rows["target"]}}
        elif not (data and target):
            reported = "name a CSV file with a header beside this spec, and the column to predict"
            self.open_items.append(f"spec.data: what the model learns from is not to be seen; {reported}")
        if "training" not in self.spec:
            self.open_items.append(
                "spec.training: no training job was named (--training-job), so these settings are an example"
            )
        example: dict[str, Value] = {
            "data": {"source": data or "data.csv", "target": target or "target"},
            "training": {
                "algorithm": {"name": "xgboost", "version": "3.2-0"},
                "hyperparameters": {"objective": "reg:squarederror", "num_round": 100},
            },
        }
        self.spec = {**example, **self.spec, **self.model_sections}

    def documents(self, environment: str, *, declared: bool) -> Iterator[dict[str, Value]]:
        """Yield the Environment, unless it is declared elsewhere, and the ModelService."""
        if not declared:
            yield _document("Environment", environment, self.environment)
        yield _document("ModelService", self.name, {"environment": environment, **self.spec})

    def notes(self) -> Iterator[str]:
        """Yield the notes above the documents, line by line."""
        yield f"Written for {self.imported_from}."
        first = (
            ("policy.adopt takes over, by tags of Moorage:", self.adopted),
            (
                "To be looked at before the first reconcile:",
                [*self.checks, *([] if self.is_served_as_is else self.open_items)],
            ),
        )
        change = ("What the first reconcile changes of it besides, none of it by an interruption:", self.changes)
        last = ("What no spec can say, and what stays as it is:", self.unmanaged)
        for heading, lines in (*first, last) if self.is_served_as_is else (*first, change, last):
            if lines:
                yield heading
                yield from (f"- {line}" for line in lines)

    def training_notes(self) -> Iterator[str]:
        """Yield the notes on a later trained model, line by line; none if the draft has one."""
        if self.is_served_as_is and (self.open_items or self.changes):
            yield "What is to be done and what changes with that, none of it by an interruption:"
            yield from (f"- {line}" for line in (*self.open_items, *self.changes))


def spec_name(live: str) -> str:
    """Return a document's name near to the name of a live object: `Churn_API` → `churn-api`."""
    return re.sub(r"[^a-z0-9]+", "-", live.lower()).strip("-")[:40].strip("-") or "model"


def _document(kind: str, name: str, spec: Mapping[str, Value]) -> dict[str, Value]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}
