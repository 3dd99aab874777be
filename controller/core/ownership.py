"""The owner of a live object. Ownership is a tag; an object that can't have tags belongs to its parent's owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.core.diff import Change
from controller.core.values import ABSENT, Key, Value

TAG_PREFIX = "moorage:"
ENVIRONMENT_TAG = f"{TAG_PREFIX}environment"
OWNER_TAG = f"{TAG_PREFIX}owner"
# A failed object with this tag may be tried again.
RETRY_TAG = f"{TAG_PREFIX}retry"


def build_tags(owner: Key, labels: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the tags of a spec's objects: the user's labels, the environment, and the owner as `kind/name`."""
    return {**(labels or {}), ENVIRONMENT_TAG: owner.environment, OWNER_TAG: f"{owner.kind}/{owner.name}"}


def is_owned_by(owner: Key, live_tags: Mapping[str, str]) -> bool:
    """Return whether a live object's tags name this spec as its owner."""
    return all(live_tags.get(tag) == value for tag, value in build_tags(owner).items())


def find_foreign_owner(desired: Mapping[str, Value], live: Mapping[str, Value]) -> str | None:
    """Return the foreign owner of a live object, in words; None if it is ours or its type has no tags."""
    wanted, found = desired.get("tags"), live.get("tags")
    if not isinstance(wanted, Mapping) or OWNER_TAG not in wanted:
        return None
    found = found if isinstance(found, Mapping) else {}
    if all(found.get(tag) == wanted[tag] for tag in (ENVIRONMENT_TAG, OWNER_TAG)):
        return None
    if OWNER_TAG in found:
        return f"{found[OWNER_TAG]} of environment {found.get(ENVIRONMENT_TAG, '?')}"
    return "nobody that Moorage knows (it has no moorage:owner tag)"


def parse_tags(listed: Iterable[Mapping[str, str]], name: str = "Key", value: str = "Value") -> dict[str, str]:
    """Return AWS's list of tags as a mapping; ECS spells the fields in lower case, SageMaker and ECR don't."""
    return {tag[name]: tag.get(value, "") for tag in listed}


def to_tag_list(tags: Mapping[str, str], name: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Return a mapping as AWS's list of tags."""
    return [{name: key, value: text} for key, text in sorted(tags.items())]


def find_dropped_tags(changes: Iterable[Change]) -> list[str]:
    """Return the tags that a step removes: Moorage set them once, and the spec no longer has them."""
    return [
        change.path.removeprefix("tags.")
        for change in changes
        if change.path.startswith("tags.") and change.new is ABSENT
    ]
