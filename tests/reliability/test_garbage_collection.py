"""What is collected on the embedded AWS, when, and what never is: by users' complaints about other tools.

https://github.com/hashicorp/terraform-provider-aws/issues/258 and 23353: the revision to go back to was deregistered.
https://github.com/hashicorp/terraform-provider-aws/issues/40048: what was in use was deleted before the switch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from controller.aws import AwsCall, Hook
from controller.core.plan import Action
from controller.core.status import Status
from controller.resources.base import ResourceContext, ResourceRegistry, discover_resources
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
MODEL = Model(policy="{history: 2}")
REMOVALS = ("ecs.deregister_task_definition", "ecs.delete_task_definitions", "ecr.batch_delete_image")
REMOVALS += ("s3.delete_object", "sagemaker.delete_model_package", "sagemaker.delete_training_job")


@dataclass
class RemovalRecorder(Hook):
    """Every write, and for each removal what the services deployed at that moment."""

    aws: EmbeddedAws
    writes: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unsafe: list[str] = field(default_factory=list)

    def before(self, call: AwsCall) -> None:
        if call.kind != "write":
            return
        name = f"{call.service}.{call.operation}"
        self.writes.append(name)
        if name not in REMOVALS:
            return
        self.removed.append(name)
        text = json.dumps(call.params, default=str)
        for deployment in deployments(self.aws):
            definition = deployment["taskDefinition"]
            if deployment["rolloutState"] != "COMPLETED":
                self.unsafe.append(f"{name} in mid-rollout")
            if definition.rpartition("/")[2] in text or image_of(self.aws, definition) in text:
                self.unsafe.append(f"{name} of what {definition} runs")


def deployments(aws: EmbeddedAws) -> Iterator[dict[str, Any]]:
    ecs = aws.client("ecs")
    for cluster in ecs.list_clusters()["clusterArns"]:
        names = ecs.list_services(cluster=cluster)["serviceArns"]
        for service in ecs.describe_services(cluster=cluster, services=names)["services"] if names else ():
            yield from service["deployments"]


def image_of(aws: EmbeddedAws, definition: str) -> str:
    """The tag of the image that a task definition names."""
    found = aws.client("ecs").describe_task_definition(taskDefinition=definition)["taskDefinition"]
    uri = found["containerDefinitions"][0]["image"]
    name, digest = uri.partition("/")[2].split("@")
    images = aws.client("ecr").describe_images(repositoryName=name, imageIds=[{"imageDigest": digest}])
    return str(images["imageDetails"][0]["imageTags"][0])


@dataclass
class CollectionHarness:
    """The embedded AWS, emptied, with one demo on it."""

    aws: EmbeddedAws
    demo: Demo
    removals: RemovalRecorder

    def reconcile_commit(self, **changes: Any) -> None:
        """Another commit, and what the controller does about it."""
        self.demo.models = (replace(self.demo.models[0], **changes), *self.demo.models[1:])
        self.demo.reconcile_until_settled()

    @property
    def status(self) -> Status:
        found = self.demo.store.get_status(self.demo.models[0].key)
        assert found is not None
        return found

    def active_revisions(self) -> list[int]:
        """The revisions of task definitions that a service could be put back to."""
        arns = self.aws.client("ecs").list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
        return sorted(int(arn.rpartition(":")[2]) for arn in arns)

    def images(self) -> list[str]:
        """The versions that the repository has an image of, and `beside` for what points at one."""
        repositories = self.aws.client("ecr").describe_repositories()["repositories"]
        names = [one["repositoryName"] for one in repositories if one["repositoryName"].startswith("moorage")]
        found = [
            image
            for name in names
            for image in self.aws.client("ecr").describe_images(repositoryName=name)["imageDetails"]
        ]
        tags = [image.get("imageTags", ["beside"])[0].partition("-")[0] for image in found]
        return sorted(tag for tag in tags if tag != "base")

    def object_keys(self, prefix: str) -> list[str]:
        s3 = self.aws.client("s3")
        buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
        listed = [s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ()) for bucket in buckets]
        return sorted(item["Key"] for found in listed for item in found)

    def versions(self) -> list[int]:
        sagemaker = self.aws.client("sagemaker")
        groups = sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
        names = [group["ModelPackageGroupName"] for group in groups]
        found = [sagemaker.list_model_packages(ModelPackageGroupName=name)["ModelPackageSummaryList"] for name in names]
        return sorted(package["ModelPackageVersion"] for packages in found for package in packages)


@pytest.fixture(scope="module")
def registry(resource_context: ResourceContext) -> ResourceRegistry:
    return discover_resources(resource_context)


@pytest.fixture
def open_harness(idle_aws: EmbeddedAws, registry: ResourceRegistry, tmp_path: Path) -> Callable[..., CollectionHarness]:
    """Opens an emptied AWS with these models."""

    def opened(*models: Model) -> CollectionHarness:
        idle_aws.call_admin_endpoint("reset", "POST")
        watch = RemovalRecorder(idle_aws)
        demo = Demo(EmbeddedClients(idle_aws.endpoint), registry, tmp_path, models=models, hooks=(watch,))
        return CollectionHarness(idle_aws, demo, watch)

    return opened


def test_the_rollback_target_is_never_deregistered(open_harness: Callable[..., CollectionHarness]) -> None:
    """terraform-provider-aws#258, #23353: what the last ready revisions served is all there, task definition to bundle.

    Of what is older, task definitions and images are gone, with what pointed at them; under the default policy
    versions, bundles and rows stay.
    """
    place = open_harness(MODEL)
    place.demo.reconcile_until_settled()
    place.reconcile_commit(depth=3)
    place.reconcile_commit(depth=4)
    place.reconcile_commit(service="{cpu: 0.5 vCPU, memory: 1 GB}")
    assert place.active_revisions() == [3, 4]
    assert place.images() == ["beside", "v3"]
    assert place.versions() == [1, 2, 3]
    assert len(place.object_keys("bundles/")) == 6
    ready = [revision for revision in place.status.history if revision.result == "Ready"]
    assert [revision.task_definition.rpartition(":")[2] for revision in ready] == ["3", "4"]
    assert place.removals.unsafe == []
    assert place.demo.survey().plan.steps == ()


def test_rollback_within_history_trains_and_builds_nothing(open_harness: Callable[..., CollectionHarness]) -> None:
    """The version before is served again from its own image: no job, no bundle, no push."""
    place = open_harness(MODEL)
    place.demo.reconcile_until_settled()
    place.reconcile_commit(depth=3)
    place.removals.writes.clear()
    place.reconcile_commit(depth=2)
    made = {name for name in place.removals.writes if name.split(".")[0] in ("sagemaker", "ecr", "s3")}
    assert made == set()
    assert place.status.facts["model"]["version"] == 1
    assert place.images() == ["beside", "beside", "v1", "v2"]


def test_rollback_beyond_history_rebuilds_the_image(open_harness: Callable[..., CollectionHarness]) -> None:
    """What is retained serves again though its image was collected: from its bundle, without training."""
    place = open_harness(replace(MODEL, policy="{history: 1}"))
    place.demo.reconcile_until_settled()
    place.reconcile_commit(depth=3)
    place.reconcile_commit(depth=4)
    assert place.images() == ["beside", "beside", "v2", "v3"]
    place.removals.writes.clear()
    place.reconcile_commit(depth=2)
    assert {name for name in place.removals.writes if name.startswith("sagemaker.")} == set()
    assert "ecr.put_image" in place.removals.writes
    assert place.status.facts["model"]["version"] == 1
    assert place.images() == ["beside", "beside", "v1", "v3"]


def test_nothing_deployed_is_removed_before_the_switch(open_harness: Callable[..., CollectionHarness]) -> None:
    """terraform-provider-aws#40048: whatever is removed, no deployment names it, and none is under way.

    The plan told it.
    """
    place = open_harness(replace(MODEL, policy="{history: 1, deletion: {artifacts: Delete, registry: Delete}}"))
    place.demo.reconcile_until_settled()
    for change in ({"depth": 3}, {"depth": 4}):
        place.reconcile_commit(**change)
    place.demo.models = (replace(place.demo.models[0], depth=5),)
    reported = {step.node.key.kind for step in place.demo.survey().plan.steps if step.action is Action.DELETE}
    place.removals.removed.clear()
    place.demo.reconcile_until_settled()
    assert {*REMOVALS} == {*place.removals.removed}
    kinds = {"ecs/task-definition", "ecr/image", "sagemaker/model-package", "model/bundle", "sagemaker/training-job"}
    assert reported == kinds
    assert place.removals.unsafe == []
    assert (place.active_revisions(), place.versions(), place.images()) == (
        [3, 4],
        [3, 4],
        ["beside", "beside", "v3", "v4"],
    )
    assert len(place.object_keys("bundles/")) == 4
    jobs = place.aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    assert len(jobs) == 2
    assert place.demo.survey().plan.steps == ()


def test_gated_candidate_collects_nothing(open_harness: Callable[..., CollectionHarness]) -> None:
    """A gate failed: what might be gone back to stays, though the plan for a ready spec would have it go."""
    place = open_harness(replace(MODEL, policy="{history: 1}"))
    place.demo.reconcile_until_settled()
    place.reconcile_commit(service="{cpu: 0.5 vCPU, memory: 1 GB}")
    before = place.active_revisions()
    place.reconcile_commit(depth=3, gate=0, service="{cpu: 1 vCPU, memory: 2 GB}")
    assert place.active_revisions() == [*before, 3]
    place.reconcile_commit(gate=1e9)
    assert place.active_revisions() == [3, 4]


def test_each_model_collects_only_its_own(open_harness: Callable[..., CollectionHarness]) -> None:
    """One changes often, its neighbour never: all of the neighbour's is there, and it goes with the spec."""
    other = replace(MODEL, name="other-model")
    place = open_harness(replace(MODEL, policy="{history: 1}"), other)
    place.demo.reconcile_until_settled()
    for number in "678":
        place.demo.server_digest = number * 64
        place.demo.models = (place.demo.models[0],)
        place.demo.reconcile_until_settled()
    families = place.aws.client("ecs").list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
    assert len([arn for arn in families if "other-model" in arn]) == 1
    assert len([arn for arn in families if "housing-model" in arn]) == 2
    place.demo.reconcile_until_settled(removed_specs=[other.key, MODEL.key])
    assert len(place.images()) == 4


def test_changed_encryption_key_uses_a_new_repository(open_harness: Callable[..., CollectionHarness]) -> None:
    """The image is built again where the key encrypts it; the old repository goes once no rollback leads there."""
    place = open_harness(replace(MODEL, policy="{history: 1, deletion: {artifacts: Delete, registry: Delete}}"))
    place.demo.reconcile_until_settled()
    ecr = place.aws.client("ecr")
    key = "arn:aws:kms:us-east-1:123456789012:key/1234"

    def encryptions() -> list[str]:
        found = [
            one for one in ecr.describe_repositories()["repositories"] if one["repositoryName"].startswith("moorage")
        ]
        return sorted(one["encryptionConfiguration"]["encryptionType"] for one in found)

    place.reconcile_commit(image=f"{{encryption: {{key: '{key}'}}}}")
    assert encryptions() == ["AES256", "KMS"]
    assert place.images() == ["beside", "beside", "v1", "v1"]
    place.reconcile_commit(service="{cpu: 0.5 vCPU, memory: 1 GB}")
    assert encryptions() == ["KMS"]
    assert place.images() == ["beside", "v1"]
    assert place.removals.unsafe == []


def test_a_suspended_spec_keeps_everything(open_harness: Callable[..., CollectionHarness]) -> None:
    """`policy.suspend` leaves everything as it is."""
    place = open_harness(replace(MODEL, policy="{history: 1}"))
    place.demo.reconcile_until_settled()
    place.reconcile_commit(service="{cpu: 0.5 vCPU, memory: 1 GB}")
    place.removals.removed.clear()
    place.reconcile_commit(policy="{history: 1, suspend: true}", service="{cpu: 1 vCPU, memory: 2 GB}")
    assert place.removals.removed == []
