"""An ECR repository with the images of one model. Its tags are immutable, and pushed images are scanned.

Its encryption is fixed at creation: another key makes another repository, and the old one stays while a rollback leads
to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import find_dropped_tags, parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key, Value
from controller.errors import MissingError
from controller.resources.base import PermissionScope, Resource, iter_batches


class ImageRepository(Resource):
    """One repository for each ModelService."""

    kind = "ecr/repository"
    superseded_policy = "collect"
    reference_outputs = frozenset({"arn"})
    policy = FieldPolicy(
        immutable=frozenset({"encryptionConfiguration.*"}),
        defaults={"encryptionConfiguration.encryptionType": "AES256"},
    )
    permissions = {
        "ecr.describe_repositories": frozenset({"ecr:DescribeRepositories"}),
        "resourcegroupstaggingapi.get_resources": frozenset({"tag:GetResources"}),
        "ecr.list_tags_for_resource": frozenset({"ecr:ListTagsForResource"}),
        # The last three for a key: https://docs.aws.amazon.com/AmazonECR/latest/userguide/encryption-at-rest.html
        "ecr.create_repository": frozenset(
            {"ecr:CreateRepository", "ecr:TagResource", "kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"}
        ),
        "ecr.put_image_tag_mutability": frozenset({"ecr:PutImageTagMutability"}),
        "ecr.put_image_scanning_configuration": frozenset({"ecr:PutImageScanningConfiguration"}),
        "ecr.tag_resource": frozenset({"ecr:TagResource"}),
        "ecr.untag_resource": frozenset({"ecr:UntagResource"}),
        "ecr.delete_repository": frozenset({"ecr:DeleteRepository"}),
    }
    scopes = {
        # If one of several is missing, all are listed.
        "ecr:DescribeRepositories": (PermissionScope("ecr:{region}:{account}:repository/*"),),
        "ecr:": (PermissionScope("ecr:{region}:{account}:repository/{name}"),),
        "kms:": (PermissionScope("{key}"),),
    }
    retention_category = "registry"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one repository with immutable tags."""
        trained = context.trainable_spec
        if trained is None:
            return
        chosen = trained.spec.image.encryption
        encryption = {"encryptionType": "KMS", "kmsKey": chosen.key} if chosen else {"encryptionType": "AES256"}
        desired = {
            "imageTagMutability": "IMMUTABLE",
            "imageScanningConfiguration": {"scanOnPush": True},
            "encryptionConfiguration": encryption,
            "tags": context.tags(),
        }
        # 256 is ECR's limit: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
        name = context.physical_name(*((chosen.key,) if chosen else ()), limit=256)
        yield Node(context.own_key(self.kind), {"name": name}, desired)

    def scope_variables(self, context: SpecContext, node: Node) -> Mapping[str, Value]:
        """Return its name, and the key that encrypts it."""
        del context
        return {**node.identity, "key": node.desired["encryptionConfiguration"].get("kmsKey", "")}

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Find the repositories by name."""
        found = {
            live["repositoryName"]: live
            for live in _describe_repositories(aws, [target.identity["name"] for target in targets])
        }
        live = {target.key: found[name] for target in targets if (name := target.identity["name"]) in found}
        arns = {key: repository["repositoryArn"] for key, repository in live.items()}
        tags = self.fetch_tags_by_key(aws, arns, targets, lambda arn: _fetch_tags(aws, arn))
        return {key: _observed(repository, tags[key]) for key, repository in live.items()}

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the repository, or set what differs: each setting has a call of its own."""
        name, desired = step.node.identity["name"], step.node.desired
        if seen is None:
            settings = {field: value for field, value in desired.items() if field != "tags"}
            made = aws.write(
                "ecr", "create_repository", repositoryName=name, tags=to_tag_list(desired["tags"]), **settings
            )
            return _observed(made["repository"], desired["tags"])
        for field, operation in _UPDATE_CALLS.items():
            if seen.fields[field] != desired[field]:
                aws.write("ecr", operation, repositoryName=name, **{field: desired[field]})
        arn, dropped = seen.outputs["arn"], find_dropped_tags(step.changes)
        if not desired["tags"].items() <= seen.fields["tags"].items():
            aws.write("ecr", "tag_resource", resourceArn=arn, tags=to_tag_list(desired["tags"]))
        if dropped:
            aws.write("ecr", "untag_resource", resourceArn=arn, tagKeys=dropped)
        return Observed(desired, seen.outputs)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the repository with every image in it."""
        with contextlib.suppress(MissingError):
            aws.write("ecr", "delete_repository", repositoryName=target.identity["name"], force=True)
        return None


_UPDATE_CALLS = {
    "imageTagMutability": "put_image_tag_mutability",
    "imageScanningConfiguration": "put_image_scanning_configuration",
}


def _describe_repositories(aws: AwsClient, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the repositories of these names. One that is missing fails the whole call; then all are listed."""
    for batch in iter_batches(names, 100):
        try:
            yield from aws.read("ecr", "describe_repositories", repositoryNames=list(batch))["repositories"]
        except MissingError:
            if len(batch) > 1:
                yield from aws.list_items("ecr", "describe_repositories", "repositories")


def _fetch_tags(aws: AwsClient, arn: str) -> dict[str, str]:
    return parse_tags(aws.read("ecr", "list_tags_for_resource", resourceArn=arn)["tags"])


def _observed(live: Mapping[str, Any], tags: Mapping[str, str]) -> Observed:
    fields = {name: live.get(name) for name in (*_UPDATE_CALLS, "encryptionConfiguration")}
    outputs = {"name": live["repositoryName"], "uri": live["repositoryUri"], "arn": live["repositoryArn"]}
    return Observed({**fields, "tags": dict(tags)}, outputs)
