"""What strangers made is imported, planned, taken over while it is asked without a pause, and deleted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.demo import rows
from tests.e2e.test_api_rolling_update import SERVER, RequestLoop

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ADOPTED = {"ecs/cluster", "ecs/service", "servicediscovery/service", "apigatewayv2/api", "apigatewayv2/stage"}


@dataclass
class ForeignService:
    """What somebody made by hand: a service, its place in Cloud Map, an API, a training job."""

    containers: Any
    directory: Path
    url: str = ""
    api: str = ""
    link: str = ""
    registry: str = ""

    def moorage(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        home = {"MOORAGE_HOME": str(self.containers.aws.home), "MOORAGE_LOCAL": "1", "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-c", "from controller.cli import main; main()", *words],
            cwd=self.directory,
            env=os.environ | home | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        return done.returncode, done.stdout, done.stderr

    def plan(self) -> Any:
        code, out, err = self.moorage("plan", "-o", "json")
        assert code == 0, err
        return json.loads(out)

    @contextmanager
    def spec_edited(self, old: str, new: str) -> Iterator[None]:
        """The spec with something else in it for a while."""
        spec = self.directory / "specs/churn.yaml"
        text = spec.read_text()
        assert old in text
        spec.write_text(text.replace(old, new))
        yield
        spec.write_text(text)

    def tasks(self) -> list[tuple[str, str]]:
        """The tasks that run, with the revision of each."""
        return [(task["taskArn"], task["taskDefinitionArn"]) for task in self.containers.tasks("churn")]

    def make(self) -> None:
        """A namespace, a registry, a VPC link, an API with two routes and a limit, a service, a job."""
        aws = self.containers.aws
        api, cloud_map, ec2 = (aws.client(name) for name in ("apigatewayv2", "servicediscovery", "ec2"))
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        cloud_map.create_private_dns_namespace(Name="prod.internal", Vpc=vpc)
        discovery = cloud_map.create_service(
            Name="churn",
            NamespaceId=cloud_map.list_namespaces()["Namespaces"][0]["Id"],
            DnsConfig={"DnsRecords": [{"Type": "SRV", "TTL": 10}]},
            HealthCheckCustomConfig={"FailureThreshold": 1},
        )["Service"]
        self.registry = discovery["Id"]
        self.link = api.create_vpc_link(Name="edge", SubnetIds=self.containers.subnets)["VpcLinkId"]
        cors = {
            "AllowOrigins": ["https://a.example"],
            "AllowCredentials": True,
            "ExposeHeaders": ["x-id"],
            "MaxAge": 60,
        }
        made = api.create_api(Name="churn", ProtocolType="HTTP", CorsConfiguration=cors)
        self.api, self.url = made["ApiId"], made["ApiEndpoint"]
        integration = api.create_integration(
            ApiId=self.api,
            IntegrationType="HTTP_PROXY",
            IntegrationMethod="ANY",
            IntegrationUri=discovery["Arn"],
            ConnectionType="VPC_LINK",
            ConnectionId=self.link,
            PayloadFormatVersion="1.0",
        )["IntegrationId"]
        for route in ("POST /predict", "GET /livez"):
            api.create_route(ApiId=self.api, RouteKey=route, Target=f"integrations/{integration}")
        limits = {"ThrottlingRateLimit": 9000.0, "ThrottlingBurstLimit": 4000}  # clients that never pause stay below
        api.create_stage(ApiId=self.api, StageName="$default", AutoDeploy=True, DefaultRouteSettings=limits)
        self.containers.until(lambda: api.get_vpc_link(VpcLinkId=self.link)["VpcLinkStatus"] == "AVAILABLE")
        definition = self.containers.register_task_definition(
            self.containers.push_image("theirs", Cmd=["-c", SERVER]), {"GREETING": "hello"}
        )
        registries = [{"registryArn": discovery["Arn"], "containerName": "server", "containerPort": 8080}]
        self.containers.create_service("churn", definition, 1, serviceRegistries=registries)
        self.containers.wait_until_stable("churn")

    def train(self) -> None:
        """A job of the built-in algorithm on two channels of a stranger's."""
        s3, sagemaker = self.containers.aws.client("s3"), self.containers.aws.client("sagemaker")
        iam = self.containers.aws.client("iam")
        s3.create_bucket(Bucket="strangers")
        lines = rows(120).splitlines()[1:]
        s3.put_object(Bucket="strangers", Key="train/a.csv", Body="\n".join(lines).encode())
        trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = iam.create_role(RoleName="trainer", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        source = {
            "S3DataType": "S3Prefix",
            "S3Uri": "s3://strangers/train/",
            "S3DataDistributionType": "FullyReplicated",
        }
        sagemaker.create_training_job(
            TrainingJobName="churn-2026",
            AlgorithmSpecification={
                "TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0",
                "TrainingInputMode": "File",
            },
            RoleArn=role,
            HyperParameters={"num_round": "5", "eta": "0.30", "max_depth": "3", "objective": "reg:squarederror"},
            InputDataConfig=[
                {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
            ],
            OutputDataConfig={"S3OutputPath": "s3://strangers/out/"},
            ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 1800},
        )


@pytest.fixture(scope="module")
def foreign_service(containers: Any, tmp_path_factory: pytest.TempPathFactory) -> ForeignService:
    """All of it, and a directory for specs with a table in it."""
    directory = tmp_path_factory.mktemp("imported")
    (directory / "specs").mkdir()
    (directory / "specs/rows.csv").write_text(rows())
    made = ForeignService(containers, directory)
    made.make()
    made.train()
    # The controller that takes it over gets the run's weather again.
    containers.aws.call_admin_endpoint("weather", "DELETE")
    return made


@pytest.fixture(scope="module")
def clients(foreign_service: ForeignService) -> Iterator[list[RequestLoop]]:
    """Two that ask the API all the time, from before the import to the end of the take-over."""
    started = [RequestLoop(foreign_service.url, json.dumps({"instances": [[3, 4]]}).encode()) for _ in range(2)]
    yield started
    for client in started:
        client.stop()


def test_import_writes_the_live_configuration(foreign_service: ForeignService) -> None:
    """The live revision, network, routes, limits and CORS; what a model of its own would be given is a comment."""
    code, out, err = foreign_service.moorage("import", "service", "models/churn", "--out", "specs/churn.yaml")
    assert (code, out, err) == (0, "", "wrote specs/churn.yaml\n")
    text = (foreign_service.directory / "specs/churn.yaml").read_text()
    for line in (
        "  name: churn",
        "    taskDefinition: model:1",
        f"    discovery: {foreign_service.registry}",
        f"    id: {foreign_service.api}",
        f"    vpcLink: {foreign_service.link}",
        "      rate: 9000.0",
        "      - https://a.example",
        "      allowCredentials: true",
        "      maxAge: 60s",
        "# To serve a model that Moorage trains, add data and training, and replace service with this:",
        "#     cpu: 0.25 vCPU",
        "#     memory: 512 MiB",
        "#       GREETING: hello",
    ):
        assert line in text.splitlines(), f"{line!r} is not in\n{text}"
    assert "    path: /predict\n" in text
    assert foreign_service.moorage("import", "service", "models/churn", "--out", "specs/churn.yaml")[0] == 2


def test_import_accepts_an_api_or_a_training_job(foreign_service: ForeignService) -> None:
    """From the API the same service is found; a job gives a spec that loads."""
    code, by_api, err = foreign_service.moorage("import", "api", foreign_service.api)
    assert (code, by_api) == (0, (foreign_service.directory / "specs/churn.yaml").read_text()), err
    code, by_job, err = foreign_service.moorage("import", "training-job", "churn-2026", "--name", "churn")
    assert code == 0, err
    assert "max_depth: 3" in by_job
    assert "service:" not in by_job


def test_unknown_import_source_is_reported(foreign_service: ForeignService) -> None:
    """6 for what doesn't exist, 2 for what isn't a service's name."""
    for words in (("service", "models/nobody"), ("service", "nowhere/churn"), ("api", "abc"), ("training-job", "none")):
        code, _, err = foreign_service.moorage("import", *words)
        assert (code, "there is no" in err) == (6, True), err
    assert foreign_service.moorage("import", "service", "churn")[0] == 2


def test_foreign_service_is_refused_without_adopt(foreign_service: ForeignService) -> None:
    """What isn't ours is refused, and nothing of it is changed."""
    with foreign_service.spec_edited("adopt: true", "adopt: false"):
        refused = {refusal["resource"] for refusal in foreign_service.plan()["refusals"]}
    assert refused == ADOPTED


def test_a_revision_that_is_not_there_is_refused(foreign_service: ForeignService) -> None:
    """Nothing can be made in its place, so the plan says where to correct it, and a pass touches nothing."""
    with foreign_service.spec_edited("taskDefinition: model:1", "taskDefinition: model:99"):
        [refusal] = foreign_service.plan()["refusals"]
        code, _, err = foreign_service.moorage("reconcile", "--once")
    assert (refusal["resource"], refusal["message"]) == (
        "ecs/task-definition",
        "there is none with family model, revision 99",
    )
    assert refusal["hint"] == "correct spec.service.taskDefinition, or leave it out"
    assert (code, "spec.service.taskDefinition" in err) == (4, True), err


def test_plan_after_import_only_adds_ownership_tags(foreign_service: ForeignService) -> None:
    """Nothing is changed, made or trained: what is there gets the tags that say whose it is."""
    plan = foreign_service.plan()
    assert plan["refusals"] == plan["costs"] == plan["trains"] == []
    assert {step["action"] for step in plan["steps"]} == {"adopt"}
    assert {step["resource"] for step in plan["steps"]} <= ADOPTED
    for step in plan["steps"]:
        assert {change["path"].split(".")[0] for change in step["changes"]} == {"tags"}
    assert (plan["summary"]["changes"], plan["summary"]["now"]) == (0, {"adopt": len(plan["steps"])})
    _, text, _ = foreign_service.moorage("plan")
    assert f"Plan: nothing changes; {len(plan['steps'])} to adopt." in text


def test_adoption_leaves_running_tasks_unchanged(foreign_service: ForeignService, clients: list[RequestLoop]) -> None:
    """The same tasks of the same revision answer on, and the next plan is empty; adopt may go then."""
    before = foreign_service.tasks()
    code, _, err = foreign_service.moorage("reconcile", "--once")
    assert code == 0, err
    assert foreign_service.tasks() == before
    assert foreign_service.plan()["steps"] == []
    with foreign_service.spec_edited("adopt: true", "adopt: false"):
        assert (foreign_service.plan()["refusals"], foreign_service.plan()["steps"]) == ([], [])
    assert all("predictions" not in client.answers[-1][1] for client in clients)


def test_status_reports_a_foreign_image(foreign_service: ForeignService) -> None:
    """Its status has the image and no model; `why` says that the image isn't ours; there is nothing to roll back to."""
    code, out, err = foreign_service.moorage("get", "churn", "-o", "json")
    assert code == 0, err
    status = json.loads(out)["status"]
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert conditions["Ready"] == conditions["Deployed"] == conditions["Exposed"] == "True"
    assert conditions.keys().isdisjoint({"Trained", "Approved"})
    assert "/model@sha256:" in status["image"]
    assert "model" not in status
    code, out, err = foreign_service.moorage("why", "churn")
    assert (code, "Moorage didn't make it" in out) == (6, True), err
    assert foreign_service.moorage("history", "churn")[0] == 0
    code, _, err = foreign_service.moorage("rollback", "churn", "--dry-run")
    assert code != 0
    assert "no other model has served before" in err


def test_imported_job_settings_on_new_data_train_anew(foreign_service: ForeignService) -> None:
    """The job's settings on other rows are another training, and the plan says so."""
    words = ("--training-job", "churn-2026", "--data", "rows.csv", "--target", "value")
    code, text, err = foreign_service.moorage("import", "service", "models/churn", *words)
    assert code == 0, err
    with foreign_service.spec_edited((foreign_service.directory / "specs/churn.yaml").read_text(), text):
        plan = foreign_service.plan()
    assert plan["trains"] == ["churn"]
    changed = {step["resource"]: step for step in plan["steps"] if step["action"] == "update"}
    assert "taskDefinition" in {change["path"] for change in changed["ecs/service"]["changes"]}


def test_job_that_contradicts_the_spec_is_refused(foreign_service: ForeignService) -> None:
    """What the spec says and what the job had are both named, and how to go on."""
    words = ("--training-job", "churn-2026", "--target", "value", "--out", "specs/own.yaml")
    code, _, err = foreign_service.moorage("import", "service", "models/churn", *words)
    assert code == 0, err
    (foreign_service.directory / "specs/churn.yaml").replace(foreign_service.directory / "found.yaml")
    (foreign_service.directory / "specs/own.yaml").replace(foreign_service.directory / "specs/churn.yaml")
    for old, new, reported in (
        ("eta: '0.30'", "eta: 0.2", "eta was 0.30 and is 0.2 in the spec"),
        ("version: 3.2-0", "version: 3.0-5", "and the spec says XGBoost 3.0-5"),
    ):
        with foreign_service.spec_edited(old, new):
            code, _, err = foreign_service.moorage("plan")
        assert (code, reported in err, "take spec.training.job out" in err) == (4, True, True), err
    with foreign_service.spec_edited("job: churn-2026", "job: nobodys"):
        [refusal] = foreign_service.plan()["refusals"]
    assert refusal["message"].startswith("there is none with name nobodys")
    assert refusal["hint"] == "correct spec.training.job, or leave it out"


def test_job_model_rolls_out_without_interruption(foreign_service: ForeignService, clients: list[RequestLoop]) -> None:
    """Nothing is trained.

    Clients at the same address are answered by the stranger's image, then by the job's model, without an error.
    """
    plan = foreign_service.plan()
    steps = {step["resource"]: step for step in plan["steps"]}
    assert plan["trains"] == []
    assert steps.keys().isdisjoint({"sagemaker/training-job", "s3/object"})
    assert steps["ecs/service"]["action"] == "update"
    code, _, err = foreign_service.moorage("reconcile", "--once")
    assert code == 0, err
    foreign_service.containers.until(lambda: all("predictions" in client.answers[-1][1] for client in clients))
    for client in clients:
        client.stop()
        assert {status for status, _ in client.answers} == {200}
        assert "predictions" not in client.answers[0][1]
    assert foreign_service.plan()["steps"] == []
    jobs = foreign_service.containers.aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    assert [job["TrainingJobName"] for job in jobs] == ["churn-2026"]
    code, out, err = foreign_service.moorage("why", "churn", "-o", "json")
    hops = {hop["hop"]: hop for hop in json.loads(out)["ways"][0]}
    assert (hops["version"]["id"], hops["job"]["id"], hops["job"]["problem"]) == ("1", "churn-2026", None), err
    assert hops["data"]["channels"] == {"train": "s3://strangers/train/"}


def test_original_revision_can_be_restored(foreign_service: ForeignService) -> None:
    """With the first spec again the old revision serves.

    What was registered of ours stays, and its roles and images go.
    """
    sagemaker = foreign_service.containers.aws.client("sagemaker")
    [group] = sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    spec = foreign_service.directory / "specs/churn.yaml"
    spec.write_text((foreign_service.directory / "found.yaml").read_text())
    absent = {step["resource"] for step in foreign_service.plan()["steps"] if step["action"] == "delete"}
    assert absent >= {"iam/role", "ecr/image"}
    kept = {"sagemaker/model-package-group", "sagemaker/model-package", "model/bundle", "logs/log-group", "s3/bucket"}
    assert absent.isdisjoint(kept)
    code, _, err = foreign_service.moorage("reconcile", "--once")
    assert code == 0, err
    assert [definition.rpartition("/")[2] for _, definition in foreign_service.tasks()] == ["model:1"]
    assert foreign_service.plan()["steps"] == []
    assert sagemaker.list_model_packages(ModelPackageGroupName=group["ModelPackageGroupName"])[
        "ModelPackageSummaryList"
    ]


def test_adopted_resources_are_deleted_and_shared_ones_stay(foreign_service: ForeignService) -> None:
    """Service, registry and API go; the cluster and the VPC link, which others may use, stay."""
    spec = foreign_service.directory / "specs/churn.yaml"
    spec.write_text(spec.read_text().partition("---\n")[0])
    code, _, err = foreign_service.moorage("delete", "churn", "--yes")
    assert code == 0, err
    aws = foreign_service.containers.aws
    with aws.without_faults():
        assert foreign_service.containers.describe_service("churn")["status"] != "ACTIVE"
        assert aws.client("apigatewayv2").get_apis()["Items"] == []
        left = {one["Id"] for one in aws.client("servicediscovery").list_services()["Services"]}
        assert foreign_service.registry not in left
        assert aws.client("apigatewayv2").get_vpc_link(VpcLinkId=foreign_service.link)["VpcLinkStatus"] == "AVAILABLE"
