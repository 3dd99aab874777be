"""Model bundles: what the server needs of a trained model, verified and measured, in the artifact bucket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.aws.object_version import list_object_versions, object_version
from controller.aws.server_date import ServerDateHook
from controller.bundle import build_bundle, read_artifact
from controller.bundle.channel_rows import join_channel
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key, Ref, Value
from controller.errors import BundleError, MissingError
from controller.resources.base import PermissionScope, Resource
from controller.spec.models import Data

CHANNELS = ("train", "validation", "test")
_PREFIX = "bundles/"
_MANIFEST, _MODEL = "manifest.json", "model.ubj"


class ModelBundle(Resource):
    """Two objects under one prefix: `model.ubj` and `manifest.json`.

    The manifest is written last, so that a bundle with a manifest is complete.
    """

    kind = "model/bundle"
    condition_type = "Trained"
    superseded_policy = "collect"
    reference_outputs = frozenset({"url"})
    retention_category = "artifacts"
    consequence = "measures the model on the training, validation and test rows"
    # The prefix contains the fingerprint, so an existing bundle is the desired one.
    policy = FieldPolicy(revisioned=True, ignore=frozenset({"*"}))
    permissions = {
        "s3.list_objects_v2": frozenset({"s3:ListBucket"}),
        "s3.get_object": frozenset({"s3:GetObject"}),
        "s3.put_object": frozenset({"s3:PutObject"}),
        "s3.delete_object": frozenset({"s3:DeleteObject"}),
    }
    scopes = {
        "s3:": (PermissionScope("s3:::{bucket}/bundles/{owner}/*"),),
        "s3:ListBucket": (
            PermissionScope("s3:::{bucket}"),
            *(PermissionScope(f"s3:::{{{name}_bucket}}") for name in CHANNELS),
        ),
        "s3:GetObject": (
            # SageMaker writes OUTPUT/JOB/output/model.tar.gz; an adopted job names its output itself.
            PermissionScope("s3:::*/{job}/output/model.tar.gz"),
            *(PermissionScope(f"s3:::{{{name}}}*") for name in CHANNELS),
            PermissionScope("s3:::{bucket}/bundles/{owner}/*"),
            PermissionScope("s3:::{bucket}/datasets/{owner}/*"),
            PermissionScope("s3:::{bucket}/training/moorage-{owner}-????????/*"),
        ),
    }

    def scope_variables(self, context: SpecContext, node: Node) -> Mapping[str, Value]:
        """Return the prefix of the bundle; if the spec names a job, also the job and its channels."""
        names: dict[str, Value] = dict(node.identity)
        if context.trainable_spec is not None and context.trainable_spec.data.channels is not None:
            places = {
                name: url.removeprefix("s3://")
                for name, url in context.trainable_spec.data.channels.prefixes_by_name.items()
            }
            buckets = {f"{name}_bucket": place.partition("/")[0] for name, place in places.items()}
            names |= {"job": context.trainable_spec.training.job, **places, **buckets}
        return names

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one bundle for the spec's fingerprint."""
        trained = context.trainable_spec
        if trained is None:
            return
        job = context.own_key("sagemaker/training-job")
        identity = {
            "bucket": Ref(context.shared_key("s3/bucket"), "name"),
            "prefix": f"{_PREFIX}{context.owner.name}/{context.fingerprint}/",
        }
        desired = {
            "name": context.owner.name,
            "artifact": Ref(job, "artifact"),
            **_row_sources(context, trained.data),
            "features": list(context.inputs.features),
            "target": trained.data.target,
            "lineage": {
                "training_job": Ref(job, "arn"),
                "data_digest": context.inputs.data_digest,
                "fingerprint": context.fingerprint,
                "commit": context.inputs.commit,
                "artifact": Ref(job, "artifact"),
            },
        }
        yield Node(context.own_key(self.kind), identity, desired)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Read each bundle's manifest. An unchanged manifest isn't read again, but it must exist."""
        buckets = sorted({target.identity["bucket"] for target in targets}) if self.should_list(targets) else []
        marks = {
            (bucket, key): mark
            for bucket in buckets
            for key, mark in list_object_versions(aws, bucket, _PREFIX).items()
        }
        found: dict[Key, Observed] = {}
        for target in targets:
            mark = marks.get((target.identity["bucket"], target.identity["prefix"] + _MANIFEST))
            if buckets and mark is None:
                continue
            if mark and mark == target.known_outputs.get("mark"):
                found[target.key] = Observed({}, target.known_outputs)
            elif (read := _read_bundle(aws, target.identity)) is not None:
                found[target.key] = read
        return found

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Read artifact and rows, measure the model, and write the bundle, its manifest last. Raises BundleError."""
        del seen
        context, place = step.node.desired, step.node.identity
        with aws.read("s3", "get_object", **_parse_s3_url(context["artifact"]))["Body"] as artifact:
            model = read_artifact(artifact)
        channels = {name: _get_object(aws, **_parse_s3_url(url)) for name, url in context.get("channels", {}).items()}
        for name, url in context.get("prefixes", {}).items():
            channels[name] = join_channel(name, _read_prefix(aws, **_parse_s3_url(url)), context["features"])
        lineage = {name: value for name, value in context["lineage"].items() if value}
        bundle = build_bundle(
            model,
            name=context["name"],
            features=context["features"],
            target=context["target"],
            channels=channels,
            lineage=lineage,
        )
        files = bundle.files()
        for name in (_MODEL, _MANIFEST):
            aws.write(
                "s3",
                "put_object",
                Bucket=place["bucket"],
                Key=place["prefix"] + name,
                Body=files[name],
                ChecksumAlgorithm="SHA256",
            )
        return Observed({}, _outputs(place, json.loads(files[_MANIFEST])))

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the two objects, the manifest first: a bundle without it doesn't count."""
        for name in (_MANIFEST, _MODEL):
            try:
                aws.write("s3", "delete_object", Bucket=target.identity["bucket"], Key=target.identity["prefix"] + name)
            except MissingError:
                continue
        return None


def _row_sources(context: SpecContext, data: Data) -> dict[str, Value]:
    """Return the rows that the model is measured on: our objects, or everything below an adopted job's prefixes."""
    if data.channels is not None:
        return {"prefixes": data.channels.prefixes_by_name}
    return {"channels": {name: Ref(context.own_key("s3/object", name), "url") for name in CHANNELS}}


def _read_prefix(aws: AwsClient, Bucket: str, Key: str) -> Iterator[bytes]:  # noqa: N803 - as an address has it
    """Yield every object below a prefix, in the order of their keys."""
    for found in aws.iter_items("s3", "list_objects_v2", "Contents", Bucket=Bucket, Prefix=Key):
        if found["Size"]:
            yield _get_object(aws, Bucket, found["Key"])


def _outputs(identity: Mapping[str, Value], manifest: Mapping[str, Any]) -> dict[str, Value]:
    return {
        "url": f"s3://{identity['bucket']}/{identity['prefix']}",
        "model_sha256": manifest["model"]["sha256"],
        "metrics": manifest["metrics"],
    }


def _read_bundle(aws: AwsClient, identity: Mapping[str, Value]) -> Observed | None:
    time = ServerDateHook()
    try:
        answer = aws.with_hooks(time).read(
            "s3", "get_object", Bucket=identity["bucket"], Key=identity["prefix"] + _MANIFEST
        )
    except MissingError:
        return None
    with answer["Body"] as body:
        manifest = json.loads(body.read())
    return Observed({}, {**_outputs(identity, manifest), "mark": object_version(answer, time.server_date)})


def _parse_s3_url(url: str) -> dict[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise BundleError(f"{url} is no object in S3")
    return {"Bucket": bucket, "Key": key}


def _get_object(aws: AwsClient, Bucket: str, Key: str) -> bytes:  # noqa: N803 - S3's own names, so that an address can be passed on
    with aws.read("s3", "get_object", Bucket=Bucket, Key=Key)["Body"] as body:
        content: bytes = body.read()
    return content
