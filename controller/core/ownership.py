"""Whose a live object is. Ownership is a tag; what can't carry one belongs to its parent's owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.core.diff import Change
from controller.core.values import ABSENT, Key, Value

PREFIX = "moorage:"
ENVIRONMENT = f"{PREFIX}environment"
OWNER = f"{PREFIX}owner"
# What failed and carries this tag may be tried again.
RETRY = f"{PREFIX}retry"


def tags(owner: Key, labels: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tags of everything made for a spec: the user's labels, the environment, and the owner as `kind/name`."""
    return {**(labels or {}), ENVIRONMENT: owner.environment, OWNER: f"{owner.kind}/{owner.name}"}


def owned_by(owner: Key, found: Mapping[str, str]) -> bool:
    """Whether a live object's tags say that it was made for this spec."""
    return all(found.get(tag) == value for tag, value in tags(owner).items())


def foreign_owner(desired: Mapping[str, Value], live: Mapping[str, Value]) -> str | None:
    """Who else owns a live object, in words; None when it is ours or its type carries no tags."""
    wanted, found = desired.get("tags"), live.get("tags")
    if not isinstance(wanted, Mapping) or OWNER not in wanted:
        return None
    found = found if isinstance(found, Mapping) else {}
    if all(found.get(tag) == wanted[tag] for tag in (ENVIRONMENT, OWNER)):
        return None
    if OWNER in found:
        return f"{found[OWNER]} of environment {found.get(ENVIRONMENT, '?')}"
    return "nobody that Moorage knows (it has no moorage:owner tag)"


def tags_of(listed: Iterable[Mapping[str, str]], name: str = "Key", value: str = "Value") -> dict[str, str]:
    """AWS's list of tags as a mapping; ECS spells the fields in lower case, SageMaker and ECR don't."""
    return {tag[name]: tag.get(value, "") for tag in listed}


def tag_list(wanted: Mapping[str, str], name: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """A mapping as AWS's list of tags."""
    return [{name: key, value: text} for key, text in sorted(wanted.items())]


def dropped_tags(changes: Iterable[Change]) -> list[str]:
    """The tags that a step takes away: we put them once, and the spec no longer has them."""
    return [
        change.path.removeprefix("tags.")
        for change in changes
        if change.path.startswith("tags.") and change.new is ABSENT
    ]
