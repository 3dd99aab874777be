"""The protocol of a resource type: one AWS type, described once, from which plan, apply, docs and tests follow.

A file in this package defines one subclass of `Resource`; `discover_resources` finds it. The class returns what a spec
needs of its type (`expand`), observes AWS (`observe`), judges the result (`ready`), and changes AWS (`apply`,
`delete`). It doesn't compare: its `policy` tells the single diff what it must know.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from controller.aws import AwsClient
from controller.aws.tags import fetch_tags_by_arn
from controller.core.diff import diff
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import ENVIRONMENT_TAG
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Ready, Verdict, Waiting
from controller.core.values import Key, Value
from controller.errors import NotReadyError

Item = TypeVar("Item")


@dataclass(frozen=True)
class ResourceContext:
    """What a type may use besides AWS.

    `cache_directory` holds results that are costly to compute twice. From `list_threshold` objects on, a listing of all
    objects is cheaper than a call for each.
    """

    cache_directory: Path
    list_threshold: int = 10


@dataclass(frozen=True)
class PermissionScope:
    """Where an IAM action is needed.

    It is an ARN without its `arn:PARTITION:`, and the condition keys that must have a value. Both may contain
    `{names}`: `partition`, `region`, `account`, `environment`, `owner`, `bucket` and the fields of a node's identity.
    If such a field is empty or missing, the permission isn't needed. A field may also be a whole ARN.
    """

    arn: str
    conditions: Mapping[str, str] = field(default_factory=dict)


# An object whose id AWS chooses can't be named beforehand; where AWS supports conditions on tags, its tag identifies
# it.
OWNED_RESOURCE_CONDITION = {f"aws:ResourceTag/{ENVIRONMENT_TAG}": "{environment}"}
OWNED_REQUEST_CONDITION = {f"aws:RequestTag/{ENVIRONMENT_TAG}": "{environment}"}


class Resource:
    """One AWS type.

    kind: the name, `service/type` (`ecs/service`).
    policy: how its fields are compared.
    permissions: each call it makes (`ecs.create_service`) → the IAM actions that the call needs, PassRole included.
    scopes: an IAM action, or `ecs:` for all other ones of a service → where it is needed. An action without a scope has
        no resource-level permissions (`UNSCOPED`).
    condition_type: the condition of a spec's status that it contributes to, if any.
    read_only: it is only observed (a default VPC, the selected model), and has no steps.
    superseded_policy: what happens to an object whose identity is no longer desired. `delete`: deleted once its
        successor works.
        `keep`: never. `collect`: once no rollback can reach it. `stop`: at once, unless its output `finished` says that
        there is nothing to stop; after that, `collect`.
    revision_output: the output that numbers the revisions of one identity (`revision`). The record of a superseded
        revision has it in its identity.
    reference_outputs: the outputs by which other objects refer to it, and which keep it from being collected.
    retention_category: the field of `policy.deletion` that decides whether it outlives its spec (`artifacts`,
        `registry`, `logs`, `service`).
    consequence: what its creation means beyond the object itself, for the plan (`trains a model`).
    """

    kind: ClassVar[str]
    policy: FieldPolicy = FieldPolicy()
    permissions: ClassVar[Mapping[str, frozenset[str]]] = {}
    scopes: ClassVar[Mapping[str, tuple[PermissionScope, ...]]] = {}
    condition_type: ClassVar[str] = ""
    read_only: bool = False
    superseded_policy: Literal["delete", "keep", "collect", "stop"] = "delete"
    revision_output: str = ""
    reference_outputs: frozenset[str] = frozenset()
    retention_category: str = ""
    consequence: str = ""

    def __init__(self, resource_context: ResourceContext) -> None:
        self.resource_context = resource_context

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return the nodes of this type that a spec needs. Pure."""
        raise NotImplementedError

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Return the objects of many targets at once, by reads only.

        Leaves out absent objects; raises if one can't be read.
        """
        raise NotImplementedError

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Return whether dependents may build on the object. `node` has its Refs resolved. Pure."""
        del node, seen
        return Ready()

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create or change the object. `step.node` has no Refs left; `seen` was observed just before, None if absent.

        Sends `step.node.desired` as a whole (`step.changes` are for people) and can be repeated after a crash at any
        point. Returns the object as it is then. Raises an AwsError, BundleError or FailedError.
        """
        raise NotImplementedError

    def should_list(self, targets: Sequence[Target]) -> bool:
        """Return whether there are so many targets that a listing is cheaper than a call for each."""
        return len(targets) >= self.resource_context.list_threshold

    def fetch_tags_by_key(
        self,
        aws: AwsClient,
        arns: Mapping[Key, str],
        targets: Sequence[Target],
        fetch_tags: Callable[[str], dict[str, str]],
    ) -> dict[Key, dict[str, str]]:
        """Return the tags of the existing objects (`arns`); `fetch_tags` reads one object's from the service itself.

        The tags of many objects come from one index of all services. It may lag behind, so objects that it doesn't
        know, or whose tags differ from the last applied ones, are read from their service.
        """
        known = fetch_tags_by_arn(aws, list(arns.values())) if self.should_list(targets) else {}
        applied = {target.key: target.applied_fields.get("tags") for target in targets}
        return {
            key: known[arn] if arn in known and known[arn] == applied[key] else fetch_tags(arn)
            for key, arn in arns.items()
        }

    def matches_applied(self, target: Target, fields: Mapping[str, Value]) -> bool:
        """Return whether a listing, which may lag behind, shows what was last applied.

        Otherwise the object must be read itself.
        """
        return bool(target.applied_fields) and not diff(
            target.applied_fields, fields, target.applied_fields, self.policy
        )

    def confirm(
        self,
        aws: AwsClient,
        step: Step,
        known_outputs: Mapping[str, Value] | None = None,
        *,
        returned_outputs: Mapping[str, Value] | None = None,
    ) -> Observed:
        """Return the object after a call created or changed it, for `apply` to return. `known_outputs` are certain.

        AWS's reads may not show its writes yet. A change counts as made because AWS has answered, and so does an object
        with all its outputs in `returned_outputs`. Raises NotReadyError for a created object that isn't shown and whose
        outputs aren't known; the next pass observes it.
        """
        key = step.node.key
        found = self.observe(aws, [Target(key, step.node.identity, known_outputs or {})]).get(key)
        desired = step.node.desired
        if found is None and returned_outputs is not None:
            return Observed(desired, returned_outputs)
        if found is None:
            raise NotReadyError("it was made, and AWS doesn't show it yet", where=str(key))
        late = diff(desired, found.fields, desired, self.policy)
        return Observed({**found.fields, **desired}, found.outputs) if late else found

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the object, or find it absent. A Waiting verdict says that AWS is still deleting it.

        Can be repeated.
        """
        raise NotImplementedError

    def scope_variables(self, context: SpecContext, node: Node) -> Mapping[str, Value]:
        """Return the names that its scopes may use. Pure.

        They are the identity's fields, with Refs resolved as far as that is possible without AWS.
        """
        del context
        return node.identity

    def retry(self, aws: AwsClient, node: Node, seen: Observed) -> str:
        """Mark an object that failed for good, so that the next pass tries again; AWS keeps the mark.

        Returns what was marked, in words; empty if nothing failed. `node` has its Refs resolved as far as they are
        known.
        """
        del aws, node, seen
        return ""

    def status_facts(self, seen: Observed) -> Mapping[str, Value]:
        """Return the object's facts for the spec's status (`endpoint`, `model`, `image`)."""
        del seen
        return {}


ResourceRegistry = Mapping[str, Resource]


def iter_batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield pieces of at most `size`, as many as AWS takes in one call."""
    return (items[start : start + size] for start in range(0, len(items), size))


def discover_resources(resource_context: ResourceContext) -> ResourceRegistry:
    """Return every resource type of this package, by kind, in alphabetical order."""
    package = importlib.import_module("controller.resources")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"controller.resources.{module.name}")
    ours = [cls for cls in Resource.__subclasses__() if cls.__module__.startswith(f"{package.__name__}.")]
    found = {cls.kind: cls(resource_context) for cls in ours}
    return dict(sorted(found.items()))
