"""What moto lets through, drops or lacks, and AWS doesn't: a small script of calls for each, and what they must come
to.

A script gives whether AWS's behaviour was met. It works on names of its own, on any endpoint; what it can't even begin
with raises.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from tests.conftest import EmbeddedAws
from tests.unit.embedded_aws.conftest import until

Script = Callable[[EmbeddedAws], bool]
_numbers = itertools.count()


class Cases(dict[str, Script]):
    """Scripts by `service/what`; called with that name, it registers one."""

    def __call__(self, name: str) -> Callable[[Script], Script]:
        def register(script: Script) -> Script:
            self[name] = script
            return script

        return register


case = Cases()


def refusal(call: Callable[..., Any], **arguments: Any) -> str:
    """The code that a call is refused with; nothing when it is taken."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def fresh(stem: str) -> str:
    """A name that nothing has yet."""
    return f"{stem}-{next(_numbers)}"


def role(aws: EmbeddedAws, service: str) -> str:
    """A role that the service may assume."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    made = aws.client("iam").create_role(RoleName=fresh("role"), AssumeRolePolicyDocument=document)
    return str(made["Role"]["Arn"])


# --- SageMaker ------------------------------------------------------------------------------------------------------


def job(aws: EmbeddedAws, **changes: Any) -> dict[str, Any]:
    """A CreateTrainingJob request that AWS would take, its data in place."""
    s3, bucket = aws.client("s3"), fresh("data")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(
        Bucket=bucket, Key="train/rows.csv", Body="".join(f"{3 * n % 17},{n % 13},{n % 7}\n" for n in range(90))
    )
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/train/"}
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
    return {
        "TrainingJobName": fresh("job"),
        "HyperParameters": {"num_round": "2", "objective": "reg:squarederror", "nthread": "1"},
        "RoleArn": role(aws, "sagemaker.amazonaws.com"),
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "InputDataConfig": [
            {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/output/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    } | changes


def trained(aws: EmbeddedAws, request: Mapping[str, Any]) -> dict[str, Any]:
    """The job, once it is over."""
    sagemaker, name = aws.client("sagemaker"), request["TrainingJobName"]
    sagemaker.create_training_job(**request)

    def over() -> Any:
        found = sagemaker.describe_training_job(TrainingJobName=name)
        return found if found["TrainingJobStatus"] != "InProgress" else None

    found: dict[str, Any] = until(over, 60)
    return found


@case("sagemaker/a-job-takes-its-time")
def _(aws: EmbeddedAws) -> bool:
    endless = {"num_round": "1000000", "objective": "reg:squarederror", "nthread": "1"}
    sagemaker, request = aws.client("sagemaker"), job(aws, HyperParameters=endless)
    name = request["TrainingJobName"]
    sagemaker.create_training_job(**request)
    found = sagemaker.describe_training_job(TrainingJobName=name)
    if found["TrainingJobStatus"] == "InProgress":
        sagemaker.stop_training_job(TrainingJobName=name)
        return True
    return False


@case("sagemaker/metrics-are-measured")
def _(aws: EmbeddedAws) -> bool:
    metrics = []
    for rounds in ("2", "9"):
        request = job(aws)
        request["HyperParameters"]["num_round"] = rounds
        found = trained(aws, request).get("FinalMetricDataList", [])
        metrics.append({metric["MetricName"]: metric["Value"] for metric in found}.get("train:rmse"))
    return None not in metrics and metrics[0] != metrics[1]


@case("sagemaker/a-job-leaves-an-artifact")
def _(aws: EmbeddedAws) -> bool:
    place = trained(aws, job(aws)).get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bool(key) and refusal(aws.client("s3").head_object, Bucket=bucket, Key=key) == ""


@case("sagemaker/a-job-name-is-used-once")
def _(aws: EmbeddedAws) -> bool:
    sagemaker, request = aws.client("sagemaker"), job(aws)
    sagemaker.create_training_job(**request)
    return refusal(sagemaker.create_training_job, **request) == "ResourceInUse"


@case("sagemaker/a-role-must-exist")
def _(aws: EmbeddedAws) -> bool:
    request = job(aws, RoleArn="arn:aws:iam::123456789012:role/nobody")
    return refusal(aws.client("sagemaker").create_training_job, **request) == "ValidationException"


@case("sagemaker/a-job-keeps-its-environment")
def _(aws: EmbeddedAws) -> bool:
    sagemaker, request = aws.client("sagemaker"), job(aws, Environment={"STAGE": "test"})
    sagemaker.create_training_job(**request)
    found = sagemaker.describe_training_job(TrainingJobName=request["TrainingJobName"])
    return bool(found.get("Environment") == {"STAGE": "test"})


@case("sagemaker/a-job-can-be-stopped")
def _(aws: EmbeddedAws) -> bool:
    sagemaker, request = aws.client("sagemaker"), job(aws)
    request["HyperParameters"]["num_round"] = "1000000"
    sagemaker.create_training_job(**request)
    return refusal(sagemaker.stop_training_job, TrainingJobName=request["TrainingJobName"]) == ""


@case("sagemaker/a-job-can-be-deleted-once-it-is-over")
def _(aws: EmbeddedAws) -> bool:
    request = job(aws)
    name = trained(aws, request)["TrainingJobName"]
    return refusal(aws.client("sagemaker").delete_training_job, TrainingJobName=name) == ""


@case("sagemaker/lists-are-filtered-before-they-are-paged")
def _(aws: EmbeddedAws) -> bool:
    sagemaker = aws.client("sagemaker")
    for _ in range(2):
        sagemaker.create_training_job(**job(aws))
    name = fresh("wanted")
    sagemaker.create_training_job(**job(aws, TrainingJobName=name))
    found = sagemaker.list_training_jobs(NameContains=name, MaxResults=1)["TrainingJobSummaries"]
    return [item["TrainingJobName"] for item in found] == [name]


# --- ECS ------------------------------------------------------------------------------------------------------------

PIXEL = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/model@sha256:{'a' * 64}"


def definition(aws: EmbeddedAws, **settings: Any) -> dict[str, Any]:
    """A RegisterTaskDefinition request that AWS would take."""
    return {
        "family": fresh("family"),
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": role(aws, "ecs-tasks.amazonaws.com"),
        "containerDefinitions": [{"name": "server", "image": PIXEL, "portMappings": [{"containerPort": 8080}]}],
    } | settings


def service(aws: EmbeddedAws, **settings: Any) -> dict[str, Any]:
    """A CreateService request that AWS would take, in a cluster of its own; a group is named, as moto needs one."""
    ecs, ec2, cluster = aws.client("ecs"), aws.client("ec2"), fresh("cluster")
    ecs.create_cluster(clusterName=cluster)
    made = ecs.register_task_definition(**definition(aws))["taskDefinition"]["taskDefinitionArn"]
    subnet = ec2.describe_subnets()["Subnets"][0]
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}])["SecurityGroups"]
    placement = {"subnets": [subnet["SubnetId"]], "securityGroups": [groups[0]["GroupId"]]}
    return {
        "cluster": cluster,
        "serviceName": "model",
        "taskDefinition": made,
        "desiredCount": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": placement},
    } | settings


def shown(aws: EmbeddedAws, request: Mapping[str, Any]) -> dict[str, Any]:
    """The service as it is described."""
    found = aws.client("ecs").describe_services(cluster=request["cluster"], services=[request["serviceName"]])
    described: dict[str, Any] = found["services"][0]
    return described


def comes_true(aws: EmbeddedAws, condition: Callable[[], Any]) -> bool:
    """Whether it does in time. In plain moto nothing happens by itself, so that a moment is as good as a minute."""
    patience = 30 if fetch(f"{aws.endpoint}/_moorage/health")[0] == 200 else 0.2
    try:
        return bool(until(condition, patience))
    except AssertionError:
        return False


@case("ecs/the-deployment-configuration-is-kept")
def _(aws: EmbeddedAws) -> bool:
    breaker = {"enable": True, "rollback": True}
    request = service(aws, deploymentConfiguration={"deploymentCircuitBreaker": breaker, "maximumPercent": 150})
    aws.client("ecs").create_service(**request)
    kept = shown(aws, request).get("deploymentConfiguration", {})
    return kept.get("maximumPercent") == 150 and breaker.items() <= kept["deploymentCircuitBreaker"].items()


@case("ecs/a-service-is-created-once")
def _(aws: EmbeddedAws) -> bool:
    request = service(aws)
    aws.client("ecs").create_service(**request)
    return refusal(aws.client("ecs").create_service, **{**request, "desiredCount": 2}) == "InvalidParameterException"


@case("ecs/a-client-token-finds-what-it-made")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service(aws, clientToken="once")
    first = ecs.create_service(**request)["service"]["deployments"][0]["id"]
    return bool(ecs.create_service(**request)["service"]["deployments"][0]["id"] == first)


@case("ecs/services-run-tasks")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service(aws)
    ecs.create_service(**request)
    cluster = request["cluster"]
    return comes_true(
        aws, lambda: ecs.list_tasks(cluster=cluster)["taskArns"] and shown(aws, request)["runningCount"] == 1
    )


@case("ecs/deployments-complete-and-tell")
def _(aws: EmbeddedAws) -> bool:
    request = service(aws)
    aws.client("ecs").create_service(**request)

    def complete() -> bool:
        found = shown(aws, request)
        return [item.get("rolloutState") for item in found["deployments"]] == ["COMPLETED"] and bool(found["events"])

    return comes_true(aws, complete)


@case("ecs/a-cluster-with-services-stays")
def _(aws: EmbeddedAws) -> bool:
    request = service(aws)
    aws.client("ecs").create_service(**request)
    return refusal(aws.client("ecs").delete_cluster, cluster=request["cluster"]) == "ClusterContainsServicesException"


@case("ecs/a-deleted-service-is-not-updated")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service(aws, desiredCount=0)
    ecs.create_service(**request)
    where = {"cluster": request["cluster"], "service": request["serviceName"]}
    ecs.delete_service(**where, force=True)
    return refusal(ecs.update_service, **where, desiredCount=1) == "ServiceNotActiveException"


@case("ecs/a-deleted-service-drains")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service(aws)
    ecs.create_service(**request)
    absent = ecs.delete_service(cluster=request["cluster"], service=request["serviceName"], force=True)["service"]
    return bool(absent["status"] == "DRAINING")


@case("ecs/service-deployments-and-revisions-are-told")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service(aws)
    ecs.create_service(**request)
    try:
        listed = ecs.list_service_deployments(cluster=request["cluster"], service="model")["serviceDeployments"]
        revisions = [item["targetServiceRevisionArn"] for item in listed]
        reported = ecs.describe_service_revisions(serviceRevisionArns=revisions)["serviceRevisions"]
    except ClientError:
        return False
    return [item["taskDefinition"] for item in reported] == [request["taskDefinition"]]


@case("ecs/security-groups-may-be-left-out")
def _(aws: EmbeddedAws) -> bool:
    request = service(aws)
    del request["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"]
    if refusal(aws.client("ecs").create_service, **request):
        return False
    placement = shown(aws, request)["networkConfiguration"]["awsvpcConfiguration"]
    return len(placement["securityGroups"]) == 1


@case("ecs/cpu-and-memory-go-together")
def _(aws: EmbeddedAws) -> bool:
    return refusal(aws.client("ecs").register_task_definition, **definition(aws, memory="8192")) == "ClientException"


# --- ECR ------------------------------------------------------------------------------------------------------------


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(aws: EmbeddedAws, repository: str, content: bytes) -> dict[str, Any]:
    """Upload a blob; gives its descriptor."""
    ecr = aws.client("ecr")
    upload = {
        "repositoryName": repository,
        "uploadId": ecr.initiate_layer_upload(repositoryName=repository)["uploadId"],
    }
    ecr.upload_layer_part(**upload, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content)
    ecr.complete_layer_upload(**upload, layerDigests=[digest_of(content)])
    return {"digest": digest_of(content), "size": len(content)}


def image(aws: EmbeddedAws, repository: str, content: bytes = b"layer") -> str:
    """A manifest whose blobs are there."""
    kind, config = "application/vnd.oci.image", json.dumps({"of": content.decode()}).encode()
    found = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": layer(aws, repository, config) | {"mediaType": f"{kind}.config.v1+json"},
        "layers": [layer(aws, repository, content) | {"mediaType": f"{kind}.layer.v1.tar+gzip"}],
    }
    return json.dumps(found)


def repository_of(aws: EmbeddedAws, **settings: Any) -> str:
    """A new repository."""
    name = fresh("repository")
    aws.client("ecr").create_repository(repositoryName=name, **settings)
    return name


@case("ecr/a-digest-is-its-manifests")
def _(aws: EmbeddedAws) -> bool:
    name = repository_of(aws)
    manifest = image(aws, name)
    made = aws.client("ecr").put_image(repositoryName=name, imageManifest=manifest, imageTag="v1")["image"]["imageId"]
    return bool(made["imageDigest"] == digest_of(manifest.encode()))


@case("ecr/a-manifest-needs-its-layers")
def _(aws: EmbeddedAws) -> bool:
    manifest = image(aws, repository_of(aws))
    refused = refusal(
        aws.client("ecr").put_image, repositoryName=repository_of(aws), imageManifest=manifest, imageTag="v1"
    )
    return refused == "LayersNotFoundException"


@case("ecr/an-immutable-tag-stays")
def _(aws: EmbeddedAws) -> bool:
    ecr, name = aws.client("ecr"), repository_of(aws, imageTagMutability="IMMUTABLE")
    ecr.put_image(repositoryName=name, imageManifest=image(aws, name), imageTag="v1")
    other = image(aws, name, b"another layer")
    refused = refusal(ecr.put_image, repositoryName=name, imageManifest=other, imageTag="v1")
    return refused == "ImageTagAlreadyExistsException"


@case("ecr/a-layer-can-be-fetched")
def _(aws: EmbeddedAws) -> bool:
    name, content = repository_of(aws), b"a layer to be fetched"
    described = layer(aws, name, content)
    try:
        url = aws.client("ecr").get_download_url_for_layer(repositoryName=name, layerDigest=described["digest"])
    except ClientError:
        return False
    return fetch(url["downloadUrl"]) == (200, content)


def fetch(url: str) -> tuple[int, bytes]:
    """GET what is on this machine; nothing else is asked."""
    if not url.startswith("http://127.0.0.1:"):
        return 0, b""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


# --- S3 -------------------------------------------------------------------------------------------------------------


@case("s3/checksums-are-compared")
def _(aws: EmbeddedAws) -> bool:
    s3, bucket = aws.client("s3"), fresh("bucket")
    s3.create_bucket(Bucket=bucket)
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    return refusal(s3.put_object, Bucket=bucket, Key="rows", Body=b"rows", ChecksumSHA256=wrong) == "BadDigest"
