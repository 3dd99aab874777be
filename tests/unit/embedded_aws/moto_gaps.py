"""Gaps of moto: what it accepts, drops or lacks and AWS doesn't. Each case is a short script of calls.

A script returns whether it met AWS's behaviour. It uses names of its own, on any endpoint, and raises when it can't
even set up its resources.
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
    """Scripts by `service/case`. Call it with that name to register a script."""

    def __call__(self, name: str) -> Callable[[Script], Script]:
        def register(script: Script) -> Script:
            self[name] = script
            return script

        return register


case = Cases()


def error_code(call: Callable[..., Any], **arguments: Any) -> str:
    """Return the error code that refuses a call, or "" when the call succeeds."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def unique_name(stem: str) -> str:
    """Return an unused name."""
    return f"{stem}-{next(_numbers)}"


def create_role(aws: EmbeddedAws, service: str) -> str:
    """Create a role that the service may assume; return its ARN."""
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    made = aws.client("iam").create_role(RoleName=unique_name("role"), AssumeRolePolicyDocument=document)
    return str(made["Role"]["Arn"])


# --- SageMaker ------------------------------------------------------------------------------------------------------


def job_request(aws: EmbeddedAws, **changes: Any) -> dict[str, Any]:
    """Return a CreateTrainingJob request that AWS would accept, and upload its data."""
    s3, bucket = aws.client("s3"), unique_name("data")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(
        Bucket=bucket, Key="train/rows.csv", Body="".join(f"{3 * n % 17},{n % 13},{n % 7}\n" for n in range(90))
    )
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/train/"}
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
    return {
        "TrainingJobName": unique_name("job"),
        "HyperParameters": {"num_round": "2", "objective": "reg:squarederror", "nthread": "1"},
        "RoleArn": create_role(aws, "sagemaker.amazonaws.com"),
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "InputDataConfig": [
            {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/output/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    } | changes


def run_job(aws: EmbeddedAws, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run a job and return its description once it has ended."""
    sagemaker, name = aws.client("sagemaker"), request["TrainingJobName"]
    sagemaker.create_training_job(**request)

    def ended() -> Any:
        found = sagemaker.describe_training_job(TrainingJobName=name)
        return found if found["TrainingJobStatus"] != "InProgress" else None

    found: dict[str, Any] = until(ended, 60)
    return found


@case("sagemaker/a-job-is-in-progress-first")
def _(aws: EmbeddedAws) -> bool:
    endless = {"num_round": "1000000", "objective": "reg:squarederror", "nthread": "1"}
    sagemaker, request = aws.client("sagemaker"), job_request(aws, HyperParameters=endless)
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
        request = job_request(aws)
        request["HyperParameters"]["num_round"] = rounds
        found = run_job(aws, request).get("FinalMetricDataList", [])
        metrics.append({metric["MetricName"]: metric["Value"] for metric in found}.get("train:rmse"))
    return None not in metrics and metrics[0] != metrics[1]


@case("sagemaker/a-job-leaves-an-artifact")
def _(aws: EmbeddedAws) -> bool:
    place = run_job(aws, job_request(aws)).get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bool(key) and error_code(aws.client("s3").head_object, Bucket=bucket, Key=key) == ""


@case("sagemaker/a-job-name-is-used-once")
def _(aws: EmbeddedAws) -> bool:
    sagemaker, request = aws.client("sagemaker"), job_request(aws)
    sagemaker.create_training_job(**request)
    return error_code(sagemaker.create_training_job, **request) == "ResourceInUse"


@case("sagemaker/a-role-must-exist")
def _(aws: EmbeddedAws) -> bool:
    request = job_request(aws, RoleArn="arn:aws:iam::123456789012:role/nobody")
    return error_code(aws.client("sagemaker").create_training_job, **request) == "ValidationException"


@case("sagemaker/a-job-keeps-its-environment")
def _(aws: EmbeddedAws) -> bool:
    sagemaker, request = aws.client("sagemaker"), job_request(aws, Environment={"STAGE": "test"})
    sagemaker.create_training_job(**request)
    found = sagemaker.describe_training_job(TrainingJobName=request["TrainingJobName"])
    return bool(found.get("Environment") == {"STAGE": "test"})


@case("sagemaker/a-job-can-be-stopped")
def _(aws: EmbeddedAws) -> bool:
    sagemaker, request = aws.client("sagemaker"), job_request(aws)
    request["HyperParameters"]["num_round"] = "1000000"
    sagemaker.create_training_job(**request)
    return error_code(sagemaker.stop_training_job, TrainingJobName=request["TrainingJobName"]) == ""


@case("sagemaker/a-finished-job-can-be-deleted")
def _(aws: EmbeddedAws) -> bool:
    request = job_request(aws)
    name = run_job(aws, request)["TrainingJobName"]
    return error_code(aws.client("sagemaker").delete_training_job, TrainingJobName=name) == ""


@case("sagemaker/lists-are-filtered-before-they-are-paged")
def _(aws: EmbeddedAws) -> bool:
    sagemaker = aws.client("sagemaker")
    for _ in range(2):
        sagemaker.create_training_job(**job_request(aws))
    name = unique_name("wanted")
    sagemaker.create_training_job(**job_request(aws, TrainingJobName=name))
    found = sagemaker.list_training_jobs(NameContains=name, MaxResults=1)["TrainingJobSummaries"]
    return [item["TrainingJobName"] for item in found] == [name]


# --- ECS ------------------------------------------------------------------------------------------------------------

PIXEL = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/model@sha256:{'a' * 64}"


def task_definition_request(aws: EmbeddedAws, **settings: Any) -> dict[str, Any]:
    """Return a RegisterTaskDefinition request that AWS would accept."""
    return {
        "family": unique_name("family"),
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": create_role(aws, "ecs-tasks.amazonaws.com"),
        "containerDefinitions": [{"name": "server", "image": PIXEL, "portMappings": [{"containerPort": 8080}]}],
    } | settings


def service_request(aws: EmbeddedAws, **settings: Any) -> dict[str, Any]:
    """Return a CreateService request that AWS would accept, in a new cluster.

    It names a security group, as moto needs one.
    """
    ecs, ec2, cluster = aws.client("ecs"), aws.client("ec2"), unique_name("cluster")
    ecs.create_cluster(clusterName=cluster)
    made = ecs.register_task_definition(**task_definition_request(aws))["taskDefinition"]["taskDefinitionArn"]
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


def describe_service(aws: EmbeddedAws, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the service as DescribeServices shows it."""
    found = aws.client("ecs").describe_services(cluster=request["cluster"], services=[request["serviceName"]])
    described: dict[str, Any] = found["services"][0]
    return described


def becomes_true(aws: EmbeddedAws, condition: Callable[[], Any]) -> bool:
    """Return whether the condition becomes true in time.

    In plain moto nothing happens by itself, so a short timeout is as good as a long one.
    """
    patience = 30 if fetch(f"{aws.endpoint}/_moorage/health")[0] == 200 else 0.2
    try:
        return bool(until(condition, patience))
    except AssertionError:
        return False


@case("ecs/the-deployment-configuration-is-kept")
def _(aws: EmbeddedAws) -> bool:
    breaker = {"enable": True, "rollback": True}
    request = service_request(aws, deploymentConfiguration={"deploymentCircuitBreaker": breaker, "maximumPercent": 150})
    aws.client("ecs").create_service(**request)
    kept = describe_service(aws, request).get("deploymentConfiguration", {})
    return kept.get("maximumPercent") == 150 and breaker.items() <= kept["deploymentCircuitBreaker"].items()


@case("ecs/a-service-is-created-once")
def _(aws: EmbeddedAws) -> bool:
    request = service_request(aws)
    aws.client("ecs").create_service(**request)
    return error_code(aws.client("ecs").create_service, **{**request, "desiredCount": 2}) == "InvalidParameterException"


@case("ecs/a-client-token-returns-the-same-service")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service_request(aws, clientToken="once")
    first = ecs.create_service(**request)["service"]["deployments"][0]["id"]
    return bool(ecs.create_service(**request)["service"]["deployments"][0]["id"] == first)


@case("ecs/services-run-tasks")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service_request(aws)
    ecs.create_service(**request)
    cluster = request["cluster"]
    return becomes_true(
        aws, lambda: ecs.list_tasks(cluster=cluster)["taskArns"] and describe_service(aws, request)["runningCount"] == 1
    )


@case("ecs/deployments-complete-with-events")
def _(aws: EmbeddedAws) -> bool:
    request = service_request(aws)
    aws.client("ecs").create_service(**request)

    def complete() -> bool:
        found = describe_service(aws, request)
        return [item.get("rolloutState") for item in found["deployments"]] == ["COMPLETED"] and bool(found["events"])

    return becomes_true(aws, complete)


@case("ecs/a-cluster-with-services-is-not-deleted")
def _(aws: EmbeddedAws) -> bool:
    request = service_request(aws)
    aws.client("ecs").create_service(**request)
    return (
        error_code(aws.client("ecs").delete_cluster, cluster=request["cluster"]) == "ClusterContainsServicesException"
    )


@case("ecs/a-deleted-service-is-not-updated")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service_request(aws, desiredCount=0)
    ecs.create_service(**request)
    where = {"cluster": request["cluster"], "service": request["serviceName"]}
    ecs.delete_service(**where, force=True)
    return error_code(ecs.update_service, **where, desiredCount=1) == "ServiceNotActiveException"


@case("ecs/a-deleted-service-drains")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service_request(aws)
    ecs.create_service(**request)
    absent = ecs.delete_service(cluster=request["cluster"], service=request["serviceName"], force=True)["service"]
    return bool(absent["status"] == "DRAINING")


@case("ecs/service-deployments-and-revisions-are-listed")
def _(aws: EmbeddedAws) -> bool:
    ecs, request = aws.client("ecs"), service_request(aws)
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
    request = service_request(aws)
    del request["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"]
    if error_code(aws.client("ecs").create_service, **request):
        return False
    placement = describe_service(aws, request)["networkConfiguration"]["awsvpcConfiguration"]
    return len(placement["securityGroups"]) == 1


@case("ecs/cpu-and-memory-must-match")
def _(aws: EmbeddedAws) -> bool:
    return (
        error_code(aws.client("ecs").register_task_definition, **task_definition_request(aws, memory="8192"))
        == "ClientException"
    )


# --- ECR ------------------------------------------------------------------------------------------------------------


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def upload_layer(aws: EmbeddedAws, repository: str, content: bytes) -> dict[str, Any]:
    """Upload a blob; return its descriptor."""
    ecr = aws.client("ecr")
    upload = {
        "repositoryName": repository,
        "uploadId": ecr.initiate_layer_upload(repositoryName=repository)["uploadId"],
    }
    ecr.upload_layer_part(**upload, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content)
    ecr.complete_layer_upload(**upload, layerDigests=[digest_of(content)])
    return {"digest": digest_of(content), "size": len(content)}


def upload_image(aws: EmbeddedAws, repository: str, content: bytes = b"layer") -> str:
    """Upload an image's blobs; return its manifest."""
    kind, config = "application/vnd.oci.image", json.dumps({"of": content.decode()}).encode()
    found = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": upload_layer(aws, repository, config) | {"mediaType": f"{kind}.config.v1+json"},
        "layers": [upload_layer(aws, repository, content) | {"mediaType": f"{kind}.layer.v1.tar+gzip"}],
    }
    return json.dumps(found)


def create_repository(aws: EmbeddedAws, **settings: Any) -> str:
    """Create a repository; return its name."""
    name = unique_name("repository")
    aws.client("ecr").create_repository(repositoryName=name, **settings)
    return name


@case("ecr/an-images-digest-is-its-manifests-digest")
def _(aws: EmbeddedAws) -> bool:
    name = create_repository(aws)
    manifest = upload_image(aws, name)
    made = aws.client("ecr").put_image(repositoryName=name, imageManifest=manifest, imageTag="v1")["image"]["imageId"]
    return bool(made["imageDigest"] == digest_of(manifest.encode()))


@case("ecr/a-manifest-needs-its-layers")
def _(aws: EmbeddedAws) -> bool:
    manifest = upload_image(aws, create_repository(aws))
    refused = error_code(
        aws.client("ecr").put_image, repositoryName=create_repository(aws), imageManifest=manifest, imageTag="v1"
    )
    return refused == "LayersNotFoundException"


@case("ecr/an-immutable-tag-does-not-move")
def _(aws: EmbeddedAws) -> bool:
    ecr, name = aws.client("ecr"), create_repository(aws, imageTagMutability="IMMUTABLE")
    ecr.put_image(repositoryName=name, imageManifest=upload_image(aws, name), imageTag="v1")
    other = upload_image(aws, name, b"another layer")
    refused = error_code(ecr.put_image, repositoryName=name, imageManifest=other, imageTag="v1")
    return refused == "ImageTagAlreadyExistsException"


@case("ecr/a-layer-can-be-downloaded")
def _(aws: EmbeddedAws) -> bool:
    name, content = create_repository(aws), b"a layer to be fetched"
    described = upload_layer(aws, name, content)
    try:
        url = aws.client("ecr").get_download_url_for_layer(repositoryName=name, layerDigest=described["digest"])
    except ClientError:
        return False
    return fetch(url["downloadUrl"]) == (200, content)


def fetch(url: str) -> tuple[int, bytes]:
    """GET a URL of this machine. Other URLs are not requested."""
    if not url.startswith("http://127.0.0.1:"):
        return 0, b""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


# --- S3 -------------------------------------------------------------------------------------------------------------


@case("s3/checksums-are-verified")
def _(aws: EmbeddedAws) -> bool:
    s3, bucket = aws.client("s3"), unique_name("bucket")
    s3.create_bucket(Bucket=bucket)
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    return error_code(s3.put_object, Bucket=bucket, Key="rows", Body=b"rows", ChecksumSHA256=wrong) == "BadDigest"
