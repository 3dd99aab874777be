"""AWS as its own documentation shows it: recorded answers, served through the door's seam. Nothing is sent anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

from controller.aws import AwsClient
from controller.aws.session import SessionClientFactory
from controller.core.graph import Target
from controller.core.values import Key

RECORDED = Path(__file__).parent / "recorded"
_MODELS = botocore.session.Session()


@dataclass(frozen=True)
class Recording:
    """One object's answers, and what finds it in them."""

    name: str
    kind: str
    identity: Mapping[str, Any]
    known: Mapping[str, Any]
    answers: Mapping[str, Any]
    listed: Mapping[str, Any]
    skipped_reads: frozenset[str]
    foreign: frozenset[str]
    genuine: bool

    @property
    def target(self) -> Target:
        """Where the type is to look."""
        return Target(Key("default", self.kind, "recorded"), self.identity, self.known)

    def aws_client(self) -> AwsClient:
        """The real door, onto these answers."""
        return recorded_client(self.answers)

    def listing_client(self) -> AwsClient:
        """The door onto what is asked where the object is one of many, and is as it was applied: nothing that is
        spared.
        """
        asked = {**self.answers, **self.listed}
        return recorded_client({name: answer for name, answer in asked.items() if name not in self.skipped_reads})


def recorded_client(answers: Mapping[str, Any]) -> AwsClient:
    """The real door, onto some answers by the names of their calls; one that is a list has several pages."""
    return AwsClient(_RecordedClients({**answers, "sts.get_caller_identity": {"Account": "123456789012"}}))


def recordings(kinds: tuple[str, ...]) -> list[Recording]:
    """Every file, under the kind that its folder is named after."""
    folders = {kind.replace("/", "_").replace("-", "_"): kind for kind in kinds}
    return [_load(path, folders[path.parent.name]) for path in sorted(RECORDED.glob("*/*.json"))]


def _load(path: Path, kind: str) -> Recording:
    said = json.loads(path.read_text())
    return Recording(
        f"{path.parent.name}/{path.stem}",
        kind,
        said["identity"],
        said.get("known", {}),
        said["answers"] | said.get("added", {}),
        said.get("listed", {}),
        frozenset(said.get("spared", ())),
        frozenset(said.get("foreign", ())),
        not any("no sample" in note for note in said.get("adjusted", ())),
    )


class _RecordedClients:
    """In the place of the sessions that make clients."""

    region, partition = "us-west-2", "aws"

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers
        self._real = SessionClientFactory(_MODELS, region=self.region, endpoint="http://127.0.0.1:9")

    def client(self, service: str) -> Any:
        return _Client(service, self._answers)

    def paginator(self, service: str, operation: str) -> Any:
        return self._real.paginator(service, operation)


class _Client:
    def __init__(self, service: str, answers: Mapping[str, Any]) -> None:
        self._service, self._answers = service, answers

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**params: Any) -> Any:
            answer = self._answers[f"{self._service}.{operation}"]
            if isinstance(answer, list):
                answer = _page(answer, params)
            if "Error" in answer:
                raise ClientError(answer, operation)
            model = _MODELS.get_service_model(self._service)
            name = next(name for name in model.operation_names if xform_name(name) == operation)
            return as_botocore_parses(answer, model.operation_model(name).output_shape)

        return call


def _page(pages: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The page after the one whose token a call brings along; the first one for a call without."""
    tokens = [value for page in pages for value in page.values() if isinstance(value, str)]
    asked = next((number for number, token in enumerate(tokens, 1) if token in params.values()), 0)
    return pages[asked]


def as_botocore_parses(answer: Any, shape: Any) -> Any:
    """An answer as botocore's parser gives it: what the model doesn't know is left out, times are times."""
    if shape is None:
        return {}
    if shape.type_name == "structure":
        return {
            name: as_botocore_parses(answer[name], member) for name, member in shape.members.items() if name in answer
        }
    if shape.type_name == "list":
        return [as_botocore_parses(element, shape.member) for element in answer]
    if shape.type_name == "map":
        return {name: as_botocore_parses(value, shape.value) for name, value in answer.items()}
    if shape.type_name == "timestamp":
        return parse_timestamp(answer)
    return int(answer) if shape.type_name in ("integer", "long") else answer
