"""What is refused, by name, and what is told of what a spec can't say; from answers as AWS gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, cast

import pytest

from controller.aws import AwsClient
from controller.errors import FailedError, MissingError
from controller.imports.draft import Draft, spec_name
from controller.imports.importer import import_api, import_service
from controller.imports.training_job import add_job

REGISTRY = "arn:aws:servicediscovery:us-east-1:123456789012:service/srv-abc"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"


def service(**more: Any) -> dict[str, Any]:
    network = {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
    return {
        "serviceName": "churn",
        "serviceArn": "arn:aws:ecs:us-east-1:123456789012:service/prod/churn",
        "status": "ACTIVE",
        "launchType": "FARGATE",
        "desiredCount": 2,
        "taskDefinition": "arn:…/churn:3",
        "networkConfiguration": {"awsvpcConfiguration": network},
        "serviceRegistries": [{"registryArn": REGISTRY}],
        **more,
    }


def definition(*containers: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    one = {"name": "app", "image": "churn:latest", "portMappings": [{"containerPort": 5000}]}
    return {
        "family": "churn",
        "revision": 3,
        "cpu": "512",
        "memory": "1024",
        "containerDefinitions": list(containers or [one]),
        **more,
    }


def channel(name: str, **more: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://strangers/{name}/"}
    return {"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": source}, **more}


def job(**more: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "churn-2026",
        "TrainingJobArn": "arn:…/churn-2026",
        "AlgorithmSpecification": {"TrainingImage": IMAGE},
        "RoleArn": "arn:…/trainer",
        "HyperParameters": {"num_round": "10", "eta": "0.30"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "TrainingJobStatus": "Completed",
        "InputDataConfig": [channel("train")],
        **more,
    }


@dataclass
class FakeAccount:
    """The answers of an account; what isn't in it is missing."""

    service: dict[str, Any] = field(default_factory=service)
    definition: dict[str, Any] = field(default_factory=definition)
    job: dict[str, Any] = field(default_factory=job)
    apis: list[dict[str, Any]] = field(default_factory=list)
    routes: list[dict[str, Any]] = field(default_factory=list)
    integrations: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    rows: bytes = b"1,2,3\n4,5,6\n"
    targets: list[dict[str, Any]] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)
    region: str = "us-east-1"
    account: str = "123456789012"

    def read(self, service: str, operation: str, **_: Any) -> Any:
        answers = {
            "describe_services": {"services": [self.service]},
            "describe_task_definition": {"taskDefinition": self.definition},
            "describe_clusters": {"clusters": [{"clusterName": "prod"}]},
            "describe_training_job": self.job,
            "get_object": {"Body": BytesIO(self.rows)},
        }
        if operation not in answers:
            raise MissingError(f"{service} has no {operation} here")
        return answers[operation]

    def iter_items(self, service: str, operation: str, _: str, **__: Any) -> Iterator[Any]:
        del service
        stages = [{"StageName": "live", "AutoDeploy": False}, {"StageName": "other", "AutoDeploy": True}]
        answers = {
            "get_apis": self.apis,
            "get_routes": self.routes,
            "get_integrations": self.integrations,
            "get_stages": stages,
            "list_clusters": ["arn:…/prod"],
            "list_services": ["arn:…/churn"],
            "describe_security_groups": self.groups,
            "list_objects_v2": [{"Key": "train/", "Size": 0}, {"Key": "train/a.csv", "Size": 9}],
            "describe_scalable_targets": self.targets,
            "describe_scaling_policies": self.policies,
        }
        return iter(answers.get(operation, []))


def read(account: FakeAccount, **more: str) -> Draft:
    return import_service(cast("AwsClient", account), "prod", "churn", **more)


def account_with_api(**more: Any) -> FakeAccount:
    led = {"IntegrationId": "i1", "IntegrationUri": REGISTRY, "ConnectionType": "VPC_LINK", "ConnectionId": "link1"}
    return FakeAccount(
        apis=[{"ApiId": "a1", "Name": "churn", "ProtocolType": "HTTP"}],
        routes=[{"RouteKey": "POST /predict", "Target": "integrations/i1", "AuthorizationType": "NONE"}],
        integrations=[led | more],
    )


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (FakeAccount(service(loadBalancers=[{"targetGroupArn": "arn:tg"}])), "it is behind a load balancer (arn:tg)"),
        (FakeAccount(service(launchType="EC2")), "its launch type is EC2"),
        (
            FakeAccount(service(launchType=None, capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT"}])),
            "its capacity is from FARGATE_SPOT, not from the launch type FARGATE",
        ),
        (FakeAccount(service(deploymentController={"type": "CODE_DEPLOY"})), "CODE_DEPLOY deploys it, not ECS"),
        (FakeAccount(service(schedulingStrategy="DAEMON")), "its scheduling strategy is DAEMON"),
        (
            FakeAccount(service(deployments=[{"serviceConnectConfiguration": {"enabled": True}}])),
            "it uses Service Connect",
        ),
        (
            FakeAccount(definition=definition({"name": "app"}, {"name": "nginx"})),
            "its tasks have 2 containers: app, nginx",
        ),
        (FakeAccount(definition=definition(volumes=[{"name": "models"}])), "its tasks mount volumes: models"),
        (
            FakeAccount(definition=definition(ephemeralStorage={"sizeInGiB": 50})),
            "its tasks have 50 GiB of ephemeral storage",
        ),
        (
            FakeAccount(definition=definition(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"})),
            "its tasks run on WINDOWS_SERVER_2022_CORE",
        ),
    ],
)
def test_unmanageable_settings_are_refused_by_name(account: FakeAccount, expected: str) -> None:
    """Each thing that stands in the way is named; nothing is written wrongly."""
    with pytest.raises(FailedError) as refused:
        read(account)
    assert refused.value.why == expected


def test_all_obstacles_are_reported_together() -> None:
    """Whoever asks needn't ask again for each of them."""
    with pytest.raises(FailedError) as refused:
        read(FakeAccount(service(launchType="EC2"), definition(volumes=[{"name": "models"}])))
    assert refused.value.why == "its launch type is EC2; its tasks mount volumes: models"


def test_differences_from_moorage_tasks_are_reported() -> None:
    """Another port must be let in, roles and image change."""
    draft = read(FakeAccount(definition=definition(taskRoleArn="arn:…/may-read-s3")))
    assert draft.model_sections["service"]["cpu"] == "0.5 vCPU"
    assert draft.environment["policy"] == {"adopt": True}
    assert draft.open_items == [
        "the container listens on 5000, Moorage's on 8080, which the security groups (sg-1) don't let in yet"
    ]
    assert any(line.startswith("the image: churn:latest serves until") for line in draft.changes)
    assert any("take the place of arn:…/may-read-s3" in line for line in draft.changes)


@pytest.mark.parametrize(
    "rule",
    [{"IpProtocol": "-1"}, {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 9000}],
    ids=["all", "a range"],
)
def test_allowed_port_needs_no_note(rule: dict[str, Any]) -> None:
    """What the security groups say is read, and not guessed."""
    assert read(FakeAccount(groups=[{"IpPermissions": [rule]}])).open_items == []


def test_service_spec_names_the_live_revision() -> None:
    """The spec names the live revision, and says nothing that the revision says already."""
    draft = read(FakeAccount())
    assert draft.spec == {
        "service": {"name": "churn", "discovery": "srv-abc", "desiredCount": 2, "taskDefinition": "churn:3"},
        "policy": {"adopt": True},
    }
    assert draft.is_served_as_is
    draft.train_model(data="rows.csv", target="churned")
    assert not draft.is_served_as_is
    assert "taskDefinition" not in draft.spec["service"]


def test_a_count_that_is_scaled_is_left_out() -> None:
    """Two would set it, turn by turn; who does is named with all that moves it."""
    target = {"MinCapacity": 1, "MaxCapacity": 4}
    draft = read(FakeAccount(targets=[target], policies=[{"PolicyName": "cpu-60"}]))
    assert "desiredCount" not in draft.spec["service"]
    assert "desiredCount" not in draft.model_sections["service"]
    scaled = "how many tasks run, which is set by Application Auto Scaling, from 1 to 4 (cpu-60)"
    assert f"{scaled}; so desiredCount is left out" in draft.unmanaged


def test_a_secret_without_its_arn_is_to_be_filled_in() -> None:
    """A parameter that is named only, as ECS allows in the same region, isn't written as if it were an ARN."""
    container = {"name": "server", "image": "x", "portMappings": [{"containerPort": 8080}]}
    draft = read(FakeAccount(definition=definition(container | {"secrets": [{"name": "SALT", "valueFrom": "/salt"}]})))
    assert "secrets" not in draft.model_sections["service"]
    assert draft.open_items == ["spec.service.secrets: SALT is named /salt; a spec takes its ARN"]


def test_apparent_secret_is_not_written() -> None:
    """A password in a plain variable doesn't get into a file for Git; that it is missing is said."""
    variables = [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "LOG_LEVEL", "value": "info"}]
    container = {"name": "server", "image": "x", "portMappings": [{"containerPort": 8080}], "environment": variables}
    draft = read(FakeAccount(definition=definition(container)))
    assert draft.model_sections["service"]["env"] == {"LOG_LEVEL": "info"}
    assert draft.open_items[0].startswith("spec.service.secrets: the variable DB_PASSWORD looks like a secret")
    assert "hunter2" not in str(draft)


def test_api_is_found_and_described() -> None:
    """Route, stage and link are the live ones; the other stage stays, and what changes of this one is told."""
    draft = read(account_with_api())
    assert draft.spec["api"] == {"id": "a1", "stage": "live", "routes": [{"method": "POST", "path": "/predict"}]}
    assert draft.environment["edge"] == {"type": "cloudMap", "vpcLink": "link1"}
    assert "the stage other of the API" in draft.unmanaged
    assert [reported.partition(";")[0] for reported in draft.checks] == [
        "the stage live deploys changes by itself from then on"
    ]
    assert import_api(cast("AwsClient", account_with_api()), "a1").spec == draft.spec


def test_cors_settings_are_imported() -> None:
    """What the API has is taken over whole; a remembrance that is forbidden is the one thing that is told instead."""
    account = account_with_api()
    cors = {"AllowOrigins": ["https://a.example"], "AllowCredentials": True, "ExposeHeaders": ["x-id"], "MaxAge": 300}
    account.apis[0]["CorsConfiguration"] = cors
    said = {"allowOrigins": ["https://a.example"], "allowMethods": [], "allowHeaders": []}
    more = {"allowCredentials": True, "exposeHeaders": ["x-id"], "maxAge": "300s"}
    assert read(account).spec["api"]["cors"] == said | more
    account.apis[0]["CorsConfiguration"] = {"AllowOrigins": ["*"], "MaxAge": -1}
    draft = read(account)
    assert "maxAge" not in draft.spec["api"]["cors"]
    assert draft.checks[0].startswith("its CORS forbids browsers to remember it (MaxAge -1)")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"ConnectionType": "INTERNET", "IntegrationUri": "https://a.example"},
            "it leads to https://a.example, not over",
        ),
        ({"IntegrationUri": "arn:aws:elasticloadbalancing:…/listener"}, "it leads to arn:aws:elasticloadbalancing"),
    ],
)
def test_an_api_that_leads_elsewhere_is_refused(changed: dict[str, str], expected: str) -> None:
    """Only what goes over a VPC link to Cloud Map can be said."""
    with pytest.raises(FailedError) as refused:
        import_api(cast("AwsClient", account_with_api(**changed)), "a1")
    assert refused.value.why.startswith(expected)


def test_an_authorizer_is_refused() -> None:
    """A route that asks who calls would stop asking; so it is named."""
    account = account_with_api()
    account.routes[0]["AuthorizationType"] = "JWT"
    with pytest.raises(FailedError) as refused:
        import_api(cast("AwsClient", account), "a1")
    assert refused.value.why == "its route POST /predict asks for JWT authorization"


def test_several_apis_have_to_be_chosen_from() -> None:
    """None of them is taken by chance."""
    account = account_with_api()
    account.apis.append(account.apis[0] | {"ApiId": "a2"})
    with pytest.raises(FailedError) as refused:
        read(account)
    assert (refused.value.why, refused.value.hint) == ("a1, a2", "choose one with --api")


def test_job_settings_are_imported_unchanged() -> None:
    """A number that would be spelled differently stays text; what the job has read is named, column by column."""
    reported = job(
        HyperParameters={"num_round": "10", "eta": "0.30", "max_depth": "6", "_tuning_objective_metric": "rmse"},
        InputDataConfig=[channel("train"), channel("validation", ContentType="text/csv; label_size=1")],
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 900},
        VpcConfig={"Subnets": ["subnet-1"]},
    )
    draft = add_job(cast("AwsClient", FakeAccount(job=reported)), "churn-2026")
    assert draft.spec["training"]["hyperparameters"] == {"num_round": 10, "eta": "0.30", "max_depth": 6}
    assert draft.spec["training"]["spot"] == {"enabled": True, "maxWait": "900s"}
    assert draft.spec["training"]["job"] == "churn-2026"
    assert draft.spec["data"] == {
        "channels": {"train": "s3://strangers/train/", "validation": "s3://strangers/validation/"},
        "target": "target",
        "features": ["f0", "f1"],
    }
    assert "it ran inside a VPC (VpcConfig)" in draft.unmanaged


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"TrainingJobStatus": "Failed"}, "it is Failed"),
        ({"InputDataConfig": []}, "it has no channel train"),
        (
            {"InputDataConfig": [channel("train", ContentType="")]},
            "its channel train is libsvm, as nothing else is said, not text/csv",
        ),
        (
            {"InputDataConfig": [channel("train", CompressionType="Gzip")]},
            "its channel train is compressed (Gzip)",
        ),
        (
            {"InputDataConfig": [channel("train"), channel("model")]},
            "it read a channel model; a spec has train, validation, test",
        ),
        (
            {"InputDataConfig": [channel("train", DataSource={"FileSystemDataSource": {}})]},
            "its channel train is no prefix in S3 but FileSystemDataSource",
        ),
        (
            {"HyperParameters": {"num_round": "1", "csv_weights": "1"}},
            "its second column has weights (csv_weights), which a spec doesn't know",
        ),
    ],
)
def test_unusable_job_model_is_refused(more: dict[str, Any], expected: str) -> None:
    """Each reason is named, with the way that is left: the settings alone, on a table."""
    account = cast("AwsClient", FakeAccount(job=job(**more)))
    with pytest.raises(FailedError) as refused:
        add_job(account, "churn-2026")
    assert refused.value.why == expected
    assert refused.value.hint.startswith("with --data FILE --target COLUMN")
    assert "job" not in add_job(account, "churn-2026", settings_only=True).spec["training"]


def test_missing_training_data_is_reported() -> None:
    """Without them nothing tells how many columns there are."""
    with pytest.raises(FailedError) as refused:
        add_job(cast("AwsClient", FakeAccount(rows=b"")), "churn-2026")
    assert (refused.value.what, refused.value.where) == (
        "the rows that the training job churn-2026 has read are gone, or no CSV",
        "s3://strangers/train/",
    )


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/my-trainer:1", "it ran 123456789012"),
        (IMAGE.replace("3.2-0", "1.7-1"), "XGBoost 1.7-1 writes a binary format"),
        (IMAGE.replace("683313688378", "123456789012"), "it ran 123456789012"),
    ],
)
def test_a_job_of_another_algorithm_is_refused(image: str, expected: str) -> None:
    """An image that isn't the built-in algorithm, or a version of it whose models can't be served."""
    with pytest.raises(FailedError) as refused:
        add_job(cast("AwsClient", FakeAccount(job=job(AlgorithmSpecification={"TrainingImage": image}))), "churn-2026")
    assert refused.value.why.startswith(expected)


def test_names_are_converted_to_spec_names() -> None:
    """What ECS allows and a document doesn't is replaced; there is always a name."""
    assert [spec_name(live) for live in ("Churn_API", "-x-", "___", "a" * 60)] == ["churn-api", "x", "model", "a" * 40]
