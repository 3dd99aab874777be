"""Whose a live object is. Ownership is a tag; what can't carry one belongs to its parent's owner."""

from __future__ import annotations

from collections.abc import Mapping

from controller.core.values import Key, Value

ENVIRONMENT = "moorage:environment"
OWNER = "moorage:owner"


def tags(owner: Key, labels: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tags of everything made for a spec: the user's labels, the environment, and the owner as `kind/name`."""
    return {**(labels or {}), ENVIRONMENT: owner.environment, OWNER: f"{owner.kind}/{owner.name}"}


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
