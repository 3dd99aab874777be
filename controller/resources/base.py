"""What a resource type is: one AWS type, described once, so that plan, apply, docs and tests follow by themselves.

A file in this package defines one subclass of `Resource`; `discover` finds it. It says what a spec wants of its type
(`expand`), what is there (`observe`), when that is good (`ready`), and how to make it so (`apply`, `delete`). The
comparison is not its business: its `policy` tells the one diff what it must know.
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

    `cache` is a directory for what is costly to make twice; from `many` objects on, a listing of all that there are costs
    less than asking for each.
    """

    cache_directory: Path
    list_threshold: int = 10


@dataclass(frozen=True)
class PermissionScope:
    """Where an IAM action is needed: an ARN without its `arn:PARTITION:`, and the condition keys that must have a value.

    Both may hold `{names}`: of `partition`, `region`, `account`, `environment`, `owner`, `bucket` and of the fields of a
    node's identity; where such a field is empty or missing, nothing is needed. A field may also be the whole ARN.
    """

    arn: str
    conditions: Mapping[str, str] = field(default_factory=dict)


# What has an id of AWS's choice can't be named beforehand; where AWS takes conditions on tags, its tag tells it apart.
OWNED_RESOURCE_CONDITION = {f"aws:ResourceTag/{ENVIRONMENT_TAG}": "{environment}"}
OWNED_REQUEST_CONDITION = {f"aws:RequestTag/{ENVIRONMENT_TAG}": "{environment}"}


class Resource:
    """One AWS type.

    kind:        its name, `service/type` (`ecs/service`)
    policy:      how its fields are compared
    permissions: each call it makes (`ecs.create_service`) → the IAM actions that call needs, PassRole included
    scopes:      an IAM action, or `ecs:` for all other ones of a service → where it is needed; what isn't named here
                 knows no resources (`controller.permissions.UNSCOPED`)
    condition:   the aspect of a spec's status that it stands for, if any
    read_only:   it is only looked at (a default VPC, the selected model); no step is ever planned for it
    superseded:  what becomes of one whose identity is no longer wanted: deleted once its successor works; kept for good;
                 kept as history and collected once no rollback can lead to it; or stopped at once, unless its output
                 `finished` says that there is nothing to stop, and then history too
    serial:      the output that numbers the revisions under one identity (`revision`). A superseded one is remembered, and
                 deleted, by an identity that has it too
    handles:     the outputs by which others name it; whoever holds one of them keeps it from being collected
    retain:      the field of `policy.deletion` that decides whether it outlives its spec (`artifacts`, `registry`, `logs`, `service`)
    consequence: what making one means beyond the object itself, for the plan (`trains a model`)
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
        """The nodes of this type that a spec wants. Pure."""
        raise NotImplementedError

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """What is there, for many targets at once, by reads only. What is missing is left out; what can't be read raises."""
        raise NotImplementedError

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Whether what is there can be built upon. `node` has its Refs resolved. Pure."""
        del node, seen
        return Ready()

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Make it so. `step.node` has no Refs left; `seen` is what was there a moment ago, None if nothing was.

        Sends `step.node.desired` as a whole (`step.changes` are for people) and can be repeated after a crash anywhere.
        Returns what is there now. Raises an AwsError, BundleError or FailedError.
        """
        raise NotImplementedError

    def should_list(self, targets: Sequence[Target]) -> bool:
        """Whether these are so many that they are better listed than asked for one by one."""
        return len(targets) >= self.resource_context.list_threshold

    def fetch_tags_by_key(
        self,
        aws: AwsClient,
        arns: Mapping[Key, str],
        targets: Sequence[Target],
        fetch_tags: Callable[[str], dict[str, str]],
    ) -> dict[Key, dict[str, str]]:
        """The tags of the objects that are there (`arns`); `ask` gives one object's from the service itself.

        Those of many come from one index of all services. It may lag behind, so what it tells otherwise than was
        applied, or doesn't know, is asked for.
        """
        known = fetch_tags_by_arn(aws, list(arns.values())) if self.should_list(targets) else {}
        applied = {target.key: target.applied_fields.get("tags") for target in targets}
        return {
            key: known[arn] if arn in known and known[arn] == applied[key] else fetch_tags(arn)
            for key, arn in arns.items()
        }

    def matches_applied(self, target: Target, fields: Mapping[str, Value]) -> bool:
        """Whether a listing, which may lag, tells what was applied last; what it tells otherwise has to be asked for."""
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
        """What is there after a call made or changed it, for `apply` to return. `known` are outputs it surely has.

        AWS's reads may not show yet what its writes have done: a change counts as made, since AWS has answered, and so
        does an object whose outputs are all `answered`. Raises NotReadyError for what was made and isn't shown, where its
        outputs aren't known; the next pass looks again.
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
        """Remove it, or find it gone. A Waiting says that AWS is still at it. Can be repeated."""
        raise NotImplementedError

    def scope_variables(self, context: SpecContext, node: Node) -> Mapping[str, Value]:
        """What its scopes may name: the identity's fields, whose Refs are resolved as far as that needs no AWS. Pure."""
        del context
        return node.identity

    def retry(self, aws: AwsClient, node: Node, seen: Observed) -> str:
        """Mark what failed and stays failed, so that the next pass tries again; AWS keeps the mark.

        Returns what was marked, in words; nothing where nothing failed. `node` has its Refs resolved as far as they are known.
        """
        del aws, node, seen
        return ""

    def status_facts(self, seen: Observed) -> Mapping[str, Value]:
        """What of it belongs into the spec's status (`endpoint`, `model`, `image`)."""
        del seen
        return {}


ResourceRegistry = Mapping[str, Resource]


def iter_batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Pieces of at most `size`: what AWS takes in one call."""
    return (items[start : start + size] for start in range(0, len(items), size))


def discover_resources(resource_context: ResourceContext) -> ResourceRegistry:
    """Every resource type of this package, by kind, in alphabetical order."""
    package = importlib.import_module("controller.resources")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"controller.resources.{module.name}")
    ours = [cls for cls in Resource.__subclasses__() if cls.__module__.startswith(f"{package.__name__}.")]
    found = {cls.kind: cls(resource_context) for cls in ours}
    return dict(sorted(found.items()))
