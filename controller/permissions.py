"""Derive the IAM policy for some specs, with least privilege, from the resource types and the graph. Pure.

A type declares which IAM actions each of its calls needs (`permissions`) and where (`scopes`); the graph knows the
names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Formatter
from typing import Any, NamedTuple

from controller.core.graph import Graph, Node
from controller.core.spec_context import SpecContext
from controller.core.values import Ref, Value, iter_refs, resolve
from controller.resources.base import PermissionScope, Resource, ResourceRegistry

# A managed policy's characters, white space not counted; a role takes ten such policies unless its quota is raised.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MAX_POLICY_SIZE = 6144
MAX_POLICIES = 10

# Actions without resource-level permissions: AWS accepts only `*` for them. Each has the reason why it is needed.
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
UNSCOPED_ACTIONS = {
    "ec2:DescribeRegions": "Cloud Map asks it when a namespace is made",
    "ec2:DescribeSecurityGroups": "security groups are found by name",
    "ec2:DescribeSubnets": "the subnets of the default VPC",
    "ec2:DescribeVpcs": "the default VPC; Cloud Map asks it too",
    "ecs:DeregisterTaskDefinition": "revisions of a model that is removed",
    "ecs:DescribeTaskDefinition": "the newest revision of each family, and the one that serves",
    "ecs:ListTaskDefinitions": "revisions of a model that is removed",
    "iam:GetAccountAuthorizationDetails": "the roles of many models, with all that they may do, in one listing",
    "logs:DescribeLogGroups": "log groups are found by name",
    "route53:CreateHostedZone": "Cloud Map makes a namespace's zone on the caller's behalf",
    "route53:ListHostedZonesByName": "Cloud Map looks for a zone of that name first",
    "sagemaker:ListModelPackageGroups": "the groups of many models in one listing",
    "sagemaker:Search": "the versions of many models, with what was measured, in one listing",
    "servicediscovery:ListNamespaces": "namespaces are found by name",
    "servicediscovery:ListServices": "services are found by name",
    "servicediscovery:ListTagsForResource": "the tags tell whose a namespace or service is",
    "servicediscovery:UntagResource": "a label that the spec dropped",
    "tag:GetResources": "the tags of many objects in one listing",
}
# The service to which a call passes a role.
_PASS_ROLE_SERVICES = {"ecs": "ecs-tasks.amazonaws.com", "sagemaker": "sagemaker.amazonaws.com"}
# The first words of calls that only read: an object that is used unchanged needs no others.
_READ_PREFIXES = ("describe_", "get_", "head_")
# Records, events and lease are kept in the artifact bucket, by conditional writes.
_STORE_SCOPES = {
    "s3:GetObject": PermissionScope("s3:::{bucket}/moorage/*"),
    "s3:ListBucket": PermissionScope("s3:::{bucket}"),
    "s3:PutObject": PermissionScope("s3:::{bucket}/moorage/*"),
}

PolicyDocument = dict[str, Any]


class Grant(NamedTuple):
    """One action, where it is allowed, and under which conditions (key, value)."""

    action: str
    arn: str
    conditions: tuple[tuple[str, str], ...]


def derive_grants(registry: ResourceRegistry, contexts: Sequence[SpecContext]) -> frozenset[Grant]:
    """Return every grant that reconciling these specs, deletion included, can need.

    `contexts` are those of one environment.

    Raises ValueError for an action that a type neither scopes nor lists in `UNSCOPED`: a defect of the type.
    """
    expanded = [
        (context, [node for resource in registry.values() for node in resource.expand(context)]) for context in contexts
    ]
    graph = Graph.build((context.owner, nodes) for context, nodes in expanded)
    found: set[Grant] = set()
    for context, nodes in expanded:
        found |= {_make_grant(action, scope, _scope_names(context)) for action, scope in _STORE_SCOPES.items()}
        for node in nodes:
            found |= set(_node_grants(registry[node.key.kind], context, _resolve_names(node, graph), graph))
    wide: dict[str, list[str]] = {}
    for grant in found:
        if grant.arn.endswith("*") and not grant.conditions:
            wide.setdefault(grant.action, []).append(grant.arn)
    return frozenset(grant for grant in found if not _is_covered(grant.arn, wide.get(grant.action, ())))


def pack_policies(grants: Iterable[Grant]) -> list[PolicyDocument]:
    """Return the grants as managed policies, each within AWS's size limit; equal grants give equal policies."""
    packed: list[list[dict[str, Any]]] = [[]]
    for statement in _statements(grants):
        if packed[-1] and policy_size(_policy_document(_add_sids([*packed[-1], statement]))) > MAX_POLICY_SIZE:
            packed.append([])
        packed[-1].append(statement)
    return [_policy_document(_add_sids(statements)) for statements in packed]


def policy_size(policy: PolicyDocument) -> int:
    """Return a policy's length as IAM counts it."""
    return len(json.dumps(policy, separators=(",", ":")))


def _is_covered(arn: str, wide: Iterable[str]) -> bool:
    """Return whether another resource pattern contains this one: `/apis/*` contains `/apis/*/routes`."""
    return any(other != arn and arn.startswith(other[:-1]) for other in wide)


def _node_grants(resource: Resource, context: SpecContext, node: Node, graph: Graph) -> Iterator[Grant]:
    names = {**_scope_names(context), **resource.scope_variables(context, node)}
    for call, actions in resource.permissions.items():
        if node.is_external and not call.partition(".")[2].startswith(_READ_PREFIXES):
            continue
        for action in actions:
            scopes = _pass_role_scopes(call, node, graph) if action == "iam:PassRole" else _scopes(resource, action)
            yield from (_make_grant(action, scope, names) for scope in scopes if _is_applicable(scope, names))


def _scopes(resource: Resource, action: str) -> Sequence[PermissionScope]:
    service = f"{action.partition(':')[0]}:"
    if action in resource.scopes:
        return resource.scopes[action]
    if action in UNSCOPED_ACTIONS:
        return (PermissionScope("*"),)
    if service not in resource.scopes:
        raise ValueError(f"{resource.kind} doesn't say where it needs {action}")
    return resource.scopes[service]


def _pass_role_scopes(call: str, node: Node, graph: Graph) -> Iterator[PermissionScope]:
    """Yield exactly the roles that a node passes: ours by their names, the user's by their ARNs."""
    when = {"iam:PassedToService": _PASS_ROLE_SERVICES[call.partition(".")[0]]}
    for ref in iter_refs(node.desired):
        if ref.key.kind == "iam/role":
            yield PermissionScope(f"iam::{{account}}:role/{graph.nodes[ref.key].identity['name']}", when)
    for value in node.desired.values():
        if isinstance(value, str) and re.fullmatch(r"arn:[^:]+:iam::\d{12}:role/.+", value):
            yield PermissionScope(value.split(":", 2)[2], when)


def _resolve_names(node: Node, graph: Graph) -> Node:
    """Return the node with every Ref to a name in another node's identity resolved.

    `*` stands for what only AWS knows.
    """

    def lookup(ref: Ref) -> Value:
        return graph.nodes[ref.key].identity.get(ref.output, "*")

    return Node(node.key, resolve(node.identity, lookup), node.desired, reference_field=node.reference_field)


def _scope_names(context: SpecContext) -> dict[str, str]:
    place, owner = context.location, context.owner
    bucket = {"bucket": context.bucket_name, "environment": owner.environment, "owner": owner.name}
    return {"partition": place.partition, "region": place.region, "account": place.account, **bucket}


def _is_applicable(scope: PermissionScope, names: Mapping[str, Value]) -> bool:
    return all(names.get(field) for _, field, _, _ in Formatter().parse(scope.arn) if field)


def _make_grant(action: str, scope: PermissionScope, names: Mapping[str, Value]) -> Grant:
    place = scope.arn.format(**names)
    arn = place if place == "*" or place.startswith("arn:") else f"arn:{names['partition']}:{place}"
    return Grant(action, arn, tuple(sorted((key, value.format(**names)) for key, value in scope.conditions.items())))


def _statements(grants: Iterable[Grant]) -> list[dict[str, Any]]:
    """Combine the grants for the same resources under the same conditions, by service."""
    places: dict[tuple[str, tuple[tuple[str, str], ...]], set[str]] = {}
    for grant in grants:
        places.setdefault((grant.action, grant.conditions), set()).add(grant.arn)
    together: dict[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]], list[str]] = {}
    for (action, when), arns in sorted(places.items()):
        for some in _split_arns(sorted(arns)):
            together.setdefault((action.partition(":")[0], some, when), []).append(action)
    return [_statement(actions, arns, when) for (_, arns, when), actions in sorted(together.items())]


def _split_arns(arns: list[str]) -> Iterator[tuple[str, ...]]:
    """Split resources over several statements: no statement may exceed a policy."""
    most = 25
    return (tuple(arns[start : start + most]) for start in range(0, len(arns), most))


def _statement(actions: Sequence[str], arns: Sequence[str], when: Sequence[tuple[str, str]]) -> dict[str, Any]:
    statement = {"Sid": "", "Effect": "Allow", "Action": sorted(actions), "Resource": list(arns)}
    return {**statement, "Condition": {"StringEquals": dict(when)}} if when else statement


def _add_sids(statements: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name each statement by its service and its number among that service's."""
    counted: dict[str, int] = {}
    named = []
    for statement in statements:
        service = statement["Action"][0].partition(":")[0].capitalize()
        counted[service] = counted.get(service, 0) + 1
        named.append({**statement, "Sid": f"{service}{counted[service]}"})
    return named


def _policy_document(statements: Sequence[dict[str, Any]]) -> PolicyDocument:
    return {"Version": "2012-10-17", "Statement": list(statements)}
