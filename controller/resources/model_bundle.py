"""Model bundles: what the server needs of a trained model, verified and measured, kept in the artifact bucket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controller.aws import Aws
from controller.aws.clock import AnswerTime
from controller.aws.marks import mark_read, marks_below
from controller.bundle import build, read_artifact
from controller.bundle.rows import joined
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Waiting
from controller.core.values import Key, Ref, Value
from controller.core.wanted import Wanted
from controller.errors import BundleError, MissingError
from controller.resources.base import Resource, Scope
from controller.spec.models import Data

CHANNELS = ("train", "validation", "test")
_PREFIX = "bundles/"
_MANIFEST, _MODEL = "manifest.json", "model.ubj"


class Bundle(Resource):
    """Two objects under one prefix: `model.ubj` and, written last, so that a bundle with a manifest is whole, `manifest.json`."""

    kind = "model/bundle"
    condition = "Trained"
    superseded = "collect"
    handles = frozenset({"url"})
    retain = "artifacts"
    consequence = "measures the model on the training, validation and test rows"
    # The prefix holds the fingerprint, so what is there is what was wanted.
    policy = FieldPolicy(revisioned=True, ignore=frozenset({"*"}))
    permissions = {
        "s3.list_objects_v2": frozenset({"s3:ListBucket"}),
        "s3.get_object": frozenset({"s3:GetObject"}),
        "s3.put_object": frozenset({"s3:PutObject"}),
        "s3.delete_object": frozenset({"s3:DeleteObject"}),
    }
    scopes = {
        "s3:": (Scope("s3:::{bucket}/bundles/{owner}/*"),),
        "s3:ListBucket": (Scope("s3:::{bucket}"), *(Scope(f"s3:::{{{name}_bucket}}") for name in CHANNELS)),
        "s3:GetObject": (
            # SageMaker writes OUTPUT/JOB/output/model.tar.gz; where the output of a named job is, the job tells.
            Scope("s3:::*/{job}/output/model.tar.gz"),
            *(Scope(f"s3:::{{{name}}}*") for name in CHANNELS),
            Scope("s3:::{bucket}/bundles/{owner}/*"),
            Scope("s3:::{bucket}/datasets/{owner}/*"),
            Scope("s3:::{bucket}/training/moorage-{owner}-????????/*"),
        ),
    }

    def names(self, want: Wanted, node: Node) -> Mapping[str, Value]:
        """Its place; and where the spec names a job, that and what it has read."""
        names: dict[str, Value] = dict(node.identity)
        if want.trained is not None and want.trained.data.channels is not None:
            places = {name: url.removeprefix("s3://") for name, url in want.trained.data.channels.given.items()}
            buckets = {f"{name}_bucket": place.partition("/")[0] for name, place in places.items()}
            names |= {"job": want.trained.training.job, **places, **buckets}
        return names

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One bundle for the spec's fingerprint."""
        trained = want.trained
        if trained is None:
            return
        job = want.own("sagemaker/training-job")
        identity = {
            "bucket": Ref(want.shared("s3/bucket"), "name"),
            "prefix": f"{_PREFIX}{want.owner.name}/{want.fingerprint}/",
        }
        desired = {
            "name": want.owner.name,
            "artifact": Ref(job, "artifact"),
            **_rows(want, trained.data),
            "features": list(want.inputs.features),
            "target": trained.data.target,
            "lineage": {
                "training_job": Ref(job, "arn"),
                "data_digest": want.inputs.data_digest,
                "fingerprint": want.fingerprint,
                "commit": want.inputs.commit,
                "artifact": Ref(job, "artifact"),
            },
        }
        yield Node(want.own(self.kind), identity, desired)

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Each bundle by its manifest. One whose manifest is still as it was isn't read again, but it must be there."""
        buckets = sorted({target.identity["bucket"] for target in targets}) if self.many(targets) else []
        marks = {(bucket, key): mark for bucket in buckets for key, mark in marks_below(aws, bucket, _PREFIX).items()}
        found: dict[Key, Observed] = {}
        for target in targets:
            mark = marks.get((target.identity["bucket"], target.identity["prefix"] + _MANIFEST))
            if buckets and mark is None:
                continue
            if mark and mark == target.known.get("mark"):
                found[target.key] = Observed({}, target.known)
            elif (read := _read(aws, target.identity)) is not None:
                found[target.key] = read
        return found

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Read artifact and rows, measure the model, and write the bundle, its manifest last. Raises BundleError."""
        del seen
        want, place = step.node.desired, step.node.identity
        with aws.read("s3", "get_object", **_address(want["artifact"]))["Body"] as artifact:
            model = read_artifact(artifact)
        channels = {name: _get(aws, **_address(url)) for name, url in want.get("channels", {}).items()}
        for name, url in want.get("prefixes", {}).items():
            channels[name] = joined(name, _below(aws, **_address(url)), want["features"])
        lineage = {name: value for name, value in want["lineage"].items() if value}
        bundle = build(
            model,
            name=want["name"],
            features=want["features"],
            target=want["target"],
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

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Delete the two objects, the manifest first: a bundle without it doesn't count."""
        for name in (_MANIFEST, _MODEL):
            try:
                aws.write("s3", "delete_object", Bucket=target.identity["bucket"], Key=target.identity["prefix"] + name)
            except MissingError:
                continue
        return None


def _rows(want: Wanted, data: Data) -> dict[str, Value]:
    """What the model is measured on: objects of ours, or all that is below the prefixes which a named job has read."""
    if data.channels is not None:
        return {"prefixes": data.channels.given}
    return {"channels": {name: Ref(want.own("s3/object", name), "url") for name in CHANNELS}}


def _below(aws: Aws, Bucket: str, Key: str) -> Iterator[bytes]:  # noqa: N803 - as an address has it
    """Every object below a prefix, in the order of their keys."""
    for found in aws.pages("s3", "list_objects_v2", "Contents", Bucket=Bucket, Prefix=Key):
        if found["Size"]:
            yield _get(aws, Bucket, found["Key"])


def _outputs(identity: Mapping[str, Value], manifest: Mapping[str, Any]) -> dict[str, Value]:
    return {
        "url": f"s3://{identity['bucket']}/{identity['prefix']}",
        "model_sha256": manifest["model"]["sha256"],
        "metrics": manifest["metrics"],
    }


def _read(aws: Aws, identity: Mapping[str, Value]) -> Observed | None:
    time = AnswerTime()
    try:
        answer = aws.watched(time).read(
            "s3", "get_object", Bucket=identity["bucket"], Key=identity["prefix"] + _MANIFEST
        )
    except MissingError:
        return None
    with answer["Body"] as body:
        manifest = json.loads(body.read())
    return Observed({}, {**_outputs(identity, manifest), "mark": mark_read(answer, time.told)})


def _address(url: str) -> dict[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise BundleError(f"{url} is no object in S3")
    return {"Bucket": bucket, "Key": key}


def _get(aws: Aws, Bucket: str, Key: str) -> bytes:  # noqa: N803 - S3's own names, so that an address can be passed on
    with aws.read("s3", "get_object", Bucket=Bucket, Key=Key)["Body"] as body:
        content: bytes = body.read()
    return content
