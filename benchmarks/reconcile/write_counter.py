"""Which AWS object a write is about, so that one that is written twice is found out.

A blob takes three calls, or more when it is large: an upload is opened, filled and completed. It is the object of the
last of them, which names its digest. What AWS takes in a call of its own beside the object that it belongs to (a role's
inline policy, a log group's retention, an image's tag) is an object here.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Final

from controller.aws.calls import AwsCall, Hook

OPENED, FILLED, COMPLETED = "ecr.initiate_layer_upload", "ecr.upload_layer_part", "ecr.complete_layer_upload"
# What names the object of a write, among its parameters.
_IDENTIFYING_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "apigatewayv2.create_api": ("Name",),
    "apigatewayv2.create_integration": ("ApiId",),
    "apigatewayv2.create_route": ("ApiId", "RouteKey"),
    "apigatewayv2.create_stage": ("ApiId", "StageName"),
    "apigatewayv2.create_vpc_link": ("Name",),
    "ec2.authorize_security_group_ingress": ("GroupId",),
    "ec2.create_security_group": ("GroupName",),
    COMPLETED: ("repositoryName", "layerDigests"),
    "ecr.create_repository": ("repositoryName",),
    "ecr.put_image": ("repositoryName", "imageDigest", "imageTag"),
    "ecs.create_cluster": ("clusterName",),
    "ecs.create_service": ("cluster", "serviceName"),
    "ecs.register_task_definition": ("family",),
    "iam.create_role": ("RoleName",),
    "iam.put_role_policy": ("RoleName", "PolicyName"),
    "logs.create_log_group": ("logGroupName",),
    "logs.put_retention_policy": ("logGroupName",),
    "s3.create_bucket": ("Bucket",),
    "s3.put_bucket_encryption": ("Bucket",),
    "s3.put_bucket_policy": ("Bucket",),
    "s3.put_bucket_versioning": ("Bucket",),
    "s3.put_public_access_block": ("Bucket",),
    "s3.put_object": ("Bucket", "Key"),
    "sagemaker.create_model_package": ("ModelPackageGroupName",),
    "sagemaker.create_model_package_group": ("ModelPackageGroupName",),
    "sagemaker.create_training_job": ("TrainingJobName",),
    "servicediscovery.create_private_dns_namespace": ("Name",),
    "servicediscovery.create_service": ("NamespaceId", "Name"),
}


class WriteCounter(Hook):
    """Counts how often each object is written. What a creation has no need to call is an object without a name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter()

    def before(self, call: AwsCall) -> None:
        """Count a write; the parts of a blob are none by themselves."""
        if call.kind == "write" and call.name not in (OPENED, FILLED):
            identity = (str(call.params.get(name, "")) for name in _IDENTIFYING_PARAMETERS.get(call.name, ()))
            with self._lock:
                self._counts[call.name, *identity] += 1

    def take(self) -> tuple[int, dict[str, int]]:
        """What was written since the last time: how many objects, and how often those that were written
        more than once.
        """
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return len(counts), {" ".join(identity): count for identity, count in sorted(counts.items()) if count > 1}
