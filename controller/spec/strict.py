"""What every model of a spec has in common, and the few field types that several of them use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict
from pydantic.alias_generators import to_camel

from controller.spec.findings import finding_error

API_VERSION: Final = "moorage/v1alpha1"

T = TypeVar("T")
# A YAML list. Strictness is for its elements.
Items = Annotated[tuple[T, ...], Strict(strict=False)]

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", min_length=1, max_length=40)]
RoleArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", max_length=2048)]


def _not_reserved(key: str) -> str:
    if key.lower().startswith(("aws:", "moorage:")):
        raise finding_error(f"label '{key}' begins with a reserved prefix", "choose another key")
    return key


# What every AWS service takes in a tag.
LabelKey = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9 +=._:/@-]+$", min_length=1, max_length=128), AfterValidator(_not_reserved)
]
LabelValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9 +=._:/@-]*$", max_length=256)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]


class StrictModel(BaseModel):
    """A mapping of a spec: unknown fields are errors, types aren't coerced, nothing changes after loading."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Metadata(StrictModel):
    """What identifies a document."""

    name: Name
    """DNS label of at most 40 characters, unique among documents of its kind; AWS names derive from it."""
    labels: Annotated[Mapping[LabelKey, LabelValue], Field(max_length=40)] = {}
    """Free key-value pairs, put on every AWS resource as tags."""


def find_duplicates(values: tuple[Any, ...]) -> list[int]:
    """Indexes of the elements that equal an earlier one."""
    return [index for index, value in enumerate(values) if value in values[:index]]
