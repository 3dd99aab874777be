"""ECS's API: refusals, stored settings, and what is shown and reported.

Tasks are no-ops, so every change is immediate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedded_aws import control

IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/model@sha256:{'a' * 64}"
LOGS = {"awslogs-group": "/m", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "m"}
SERVER = {"name": "server", "image": IMAGE, "portMappings": [{"containerPort": 8080}]}


def definition(role: str, container: Any = None, **settings: Any) -> dict[str, Any]:
    return {
        "family": "model",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": role,
        "containerDefinitions": [SERVER | (container or {})],
    } | settings


@pytest.fixture(scope="module")
def aws(running_aws: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yield an embedded AWS whose tasks are no-ops."""
    home = tmp_path_factory.mktemp("noop")
    root = str(Path(control.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "embedded_aws", "--home", str(home)],
        env={**os.environ, "MOORAGE_LOCAL_RUNNER": "noop", "PYTHONPATH": root},
    )
    try:
        deadline = time.monotonic() + 30
        while not (found := control.status(home)).running:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield replace(running_aws, endpoint=found.endpoint, home=home)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def role(aws: Any) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": trust})
    return aws.client("iam").create_role(RoleName="execution", AssumeRolePolicyDocument=document)["Role"]["Arn"]


@pytest.fixture(scope="module")
def ecs(aws: Any) -> Any:
    client = aws.client("ecs")
    client.create_cluster(clusterName="models")
    return client


@pytest.fixture(scope="module")
def subnet(aws: Any) -> str:
    return aws.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]


@pytest.fixture(scope="module")
def service_request(ecs: Any, role: str, subnet: str) -> dict[str, Any]:
    """Return a CreateService request without its name."""
    registered = ecs.register_task_definition(**definition(role))["taskDefinition"]["taskDefinitionArn"]
    return {
        "cluster": "models",
        "taskDefinition": registered,
        "desiredCount": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": [subnet]}},
    }


def error_of(ecs: Any, call: str, **params: Any) -> tuple[str, str]:
    """Return the code and the message that refuse a call."""
    with pytest.raises(ecs.exceptions.ClientError) as caught:
        getattr(ecs, call)(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def described(ecs: Any, name: str) -> dict[str, Any]:
    return ecs.describe_services(cluster="models", services=[name])["services"][0]


def test_a_cluster_is_created_once_and_deleted_only_empty(ecs: Any, service_request: dict[str, Any]) -> None:
    """A cluster is created once, has true counts and is deleted only when empty.

    Deleted and unknown ones aren't found.
    """
    first = ecs.create_cluster(clusterName="temporary", tags=[{"key": "a", "value": "1"}])["cluster"]
    assert ecs.create_cluster(clusterName="temporary")["cluster"]["tags"] == first["tags"]
    ecs.create_service(**service_request | {"cluster": "temporary"}, serviceName="guest")
    [cluster] = ecs.describe_clusters(clusters=["temporary"])["clusters"]
    assert (cluster["activeServicesCount"], cluster["runningTasksCount"], cluster["pendingTasksCount"]) == (1, 1, 0)
    assert error_of(ecs, "delete_cluster", cluster="temporary")[0] == "ClusterContainsServicesException"
    ecs.delete_service(cluster="temporary", service="guest", force=True)
    ran = ecs.run_task(
        cluster="temporary",
        taskDefinition=service_request["taskDefinition"],
        networkConfiguration=service_request["networkConfiguration"],
    )
    assert error_of(ecs, "delete_cluster", cluster="temporary")[0] == "ClusterContainsTasksException"
    ecs.stop_task(cluster="temporary", task=ran["tasks"][0]["taskArn"])
    assert ecs.delete_cluster(cluster="temporary")["cluster"]["status"] == "INACTIVE"
    assert first["clusterArn"] not in ecs.list_clusters()["clusterArns"]
    for cluster in ("temporary", "unknown"):
        assert error_of(ecs, "describe_services", cluster=cluster, services=["x"])[0] == "ClusterNotFoundException"
    assert ecs.describe_clusters(clusters=["unknown"])["failures"][0]["reason"] == "MISSING"


def test_task_definitions_are_shown_with_awss_defaults(ecs: Any, role: str) -> None:
    """Units are normalized to AWS's, AWS's defaults are added, and tags are stored."""
    check = {"command": ["CMD", "true"]}
    given = definition(role, {"healthCheck": check}, cpu=".25 vCPU", memory="1 GB", tags=[{"key": "a", "value": "1"}])
    registered = ecs.register_task_definition(**given)
    answer = ecs.describe_task_definition(taskDefinition="model", include=["TAGS"])
    shown = answer["taskDefinition"]
    assert {k: v for k, v in shown.items() if k != "registeredAt"} == {
        k: v for k, v in registered["taskDefinition"].items() if k != "registeredAt"
    }
    assert answer["tags"] == registered["tags"] == given["tags"]
    assert (shown["cpu"], shown["memory"], shown["status"]) == ("256", "1024", "ACTIVE")
    [container] = shown["containerDefinitions"]
    assert container["portMappings"] == [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}]
    assert container["healthCheck"] == check | {"interval": 30, "timeout": 5, "retries": 3}
    assert (container["essential"], container["environment"], container["cpu"]) == (True, [], 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"memory": "4096"}, "No Fargate configuration exists for given values: 256 CPU, 4096 memory"),
        ({"cpu": "300"}, "No Fargate configuration exists"),
        ({"cpu": "lots"}, "Invalid 'cpu' or 'memory' setting"),
        ({"networkMode": "bridge"}, "only supports network mode 'awsvpc'"),
        ({"family": "a b"}, "Family contains invalid characters"),
        ({"containerDefinitions": []}, "1 to 10 containers"),
        ({"containerDefinitions": [SERVER] * 2}, "must be unique"),
        ({"containerDefinitions": [SERVER | {"essential": False}]}, "at least one essential container"),
        ({"containerDefinitions": [SERVER | {"image": "UPPER case"}]}, "Container.image contains invalid characters"),
        ({"containerDefinitions": [SERVER | {"healthCheck": {"command": []}}]}, "command should not be null or empty"),
        (
            {"containerDefinitions": [SERVER | {"healthCheck": {"command": ["CMD", "x"], "interval": 1}}]},
            "interval must be between 5 and 300",
        ),
        ({"containerDefinitions": [SERVER | {"stopTimeout": 121}]}, "stopTimeout must be between 0 and 120"),
        (
            {"containerDefinitions": [SERVER | {"portMappings": [{"containerPort": 80, "hostPort": 81}]}]},
            "host ports and container ports",
        ),
        (
            {"containerDefinitions": [SERVER | {"logConfiguration": {"logDriver": "awslogs", "options": {}}}]},
            "awslogs-group",
        ),
        ({"executionRoleArn": "arn:aws:iam::123456789012:role/none"}, "Role is not valid"),
        ({"executionRoleArn": ""}, "execution role ARN to support ECR images"),
    ],
)
def test_task_definitions_that_fargate_refuses(ecs: Any, role: str, change: dict[str, Any], says: str) -> None:
    """Each is refused with ClientException, as AWS does, and nothing is registered."""
    before = ecs.list_task_definitions()["taskDefinitionArns"]
    code, message = error_of(ecs, "register_task_definition", **definition(role) | change)
    assert code == "ClientException"
    assert says in message
    assert ecs.list_task_definitions()["taskDefinitionArns"] == before


def test_a_role_must_trust_ecs_tasks(aws: Any, ecs: Any) -> None:
    """A role that only another service may assume is refused."""
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    other = aws.client("iam").create_role(RoleName="other", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    assert error_of(ecs, "register_task_definition", **definition(other))[0] == "ClientException"


def test_a_deregistered_definition_serves_no_new_service(ecs: Any, role: str, service_request: dict[str, Any]) -> None:
    """A family means its newest ACTIVE revision. An INACTIVE one can be described, but not used."""
    family = {"family": "short-lived"}
    arns = [
        ecs.register_task_definition(**definition(role) | family)["taskDefinition"]["taskDefinitionArn"] for _ in "ab"
    ]
    ecs.deregister_task_definition(taskDefinition=arns[1])
    assert ecs.describe_task_definition(taskDefinition="short-lived")["taskDefinition"]["taskDefinitionArn"] == arns[0]
    assert ecs.describe_task_definition(taskDefinition=arns[1])["taskDefinition"]["status"] == "INACTIVE"
    stale = service_request | {"taskDefinition": arns[1], "serviceName": "stale"}
    assert error_of(ecs, "create_service", **stale) == ("ClientException", "TaskDefinition is inactive")
    ecs.deregister_task_definition(taskDefinition=arns[0])
    assert error_of(ecs, "describe_task_definition", taskDefinition="short-lived")[0] == "ClientException"


def test_a_service_is_created_once(ecs: Any, service_request: dict[str, Any]) -> None:
    """The same request with the same token returns the same service. Any other is refused and overwrites nothing."""
    request = service_request | {"serviceName": "once", "clientToken": "t-1", "tags": [{"key": "a", "value": "1"}]}
    first = ecs.create_service(**request)["service"]
    assert ecs.create_service(**request)["service"]["createdAt"] == first["createdAt"]
    refused = ("InvalidParameterException", "Creation of service was not idempotent.")
    for change in ({"desiredCount": 2}, {"clientToken": "t-2"}, {"serviceName": "other"}):
        assert error_of(ecs, "create_service", **request | change) == refused
    assert described(ecs, "once")["desiredCount"] == 1
    assert ecs.list_tags_for_resource(resourceArn=first["serviceArn"])["tags"] == request["tags"]
    ecs.tag_resource(resourceArn=first["serviceArn"], tags=[{"key": "b", "value": "2"}])
    ecs.untag_resource(resourceArn=first["serviceArn"], tagKeys=["a"])
    [service] = ecs.describe_services(cluster="models", services=["once"], include=["TAGS"])["services"]
    assert service["tags"] == [{"key": "b", "value": "2"}]


def test_services_are_found_by_their_tags(aws: Any, ecs: Any, service_request: dict[str, Any]) -> None:
    """GetResources lists a tagged service while it exists, and its tasks carry the tags when tag propagation is on."""
    tags = [{"key": "owner", "value": "moorage"}]
    made = ecs.create_service(
        **service_request, serviceName="tagged", tags=tags, propagateTags="SERVICE", enableECSManagedTags=True
    )["service"]
    tagging = aws.client("resourcegroupstaggingapi")

    def found() -> list[str]:
        listed = tagging.get_resources(TagFilters=[{"Key": "owner"}], ResourceTypeFilters=["ecs:service"])
        return [entry["ResourceARN"] for entry in listed["ResourceTagMappingList"]]

    assert found() == [made["serviceArn"]]
    [task] = ecs.list_tasks(cluster="models", serviceName="tagged")["taskArns"]
    [shown] = ecs.describe_tasks(cluster="models", tasks=[task], include=["TAGS"])["tasks"]
    managed = {"aws:ecs:clusterName": "models", "aws:ecs:serviceName": "tagged"}
    assert {tag["key"]: tag["value"] for tag in shown["tags"]} == managed | {"owner": "moorage"}
    ecs.delete_service(cluster="models", service="tagged", force=True)
    assert found() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"networkConfiguration": None}, "InvalidParameterException"),
        (
            {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-none"]}}},
            "InvalidParameterException",
        ),
        ({"taskDefinition": "nothing:7"}, "ClientException"),
        ({"desiredCount": None}, "InvalidParameterException"),
        ({"cluster": "nowhere"}, "ClusterNotFoundException"),
        ({"launchType": "EC2"}, "InvalidParameterException"),
        (
            {"deploymentConfiguration": {"maximumPercent": 50, "minimumHealthyPercent": 100}},
            "InvalidParameterException",
        ),
        ({"deploymentConfiguration": {"strategy": "BLUE_GREEN"}}, "UnsupportedFeatureException"),
        ({"serviceRegistries": [{"registryArn": "arn:aws:servicediscovery:x"}]}, "InvalidParameterException"),
    ],
)
def test_invalid_services_are_refused(
    ecs: Any, service_request: dict[str, Any], change: dict[str, Any], code: str
) -> None:
    """An invalid request creates no service."""
    request = {name: value for name, value in (service_request | change).items() if value is not None}
    assert error_of(ecs, "create_service", **request, serviceName="never")[0] == code
    assert ecs.describe_services(cluster="models", services=["never"])["failures"][0]["reason"] == "MISSING"


def test_a_service_keeps_its_settings(aws: Any, ecs: Any, service_request: dict[str, Any], subnet: str) -> None:
    """The deployment configuration is returned with defaults, and omitted security groups are the VPC's default one."""
    breaker = {"enable": True, "rollback": True, "resetOnHealthyTask": False}
    configuration = {"deploymentCircuitBreaker": breaker, "maximumPercent": 150}
    made = ecs.create_service(**service_request, serviceName="kept", deploymentConfiguration=configuration)["service"]
    assert (made["runningCount"], made["deployments"][0]["rolloutState"]) == (0, "IN_PROGRESS")
    service = described(ecs, "kept")
    assert service["deploymentConfiguration"]["deploymentCircuitBreaker"] == breaker
    assert service["deploymentConfiguration"]["maximumPercent"] == 150
    assert service["deploymentConfiguration"]["minimumHealthyPercent"] == 100
    groups = aws.client("ec2").describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])
    placement = service["networkConfiguration"]["awsvpcConfiguration"]
    assert placement["securityGroups"] == [groups["SecurityGroups"][0]["GroupId"]]
    assert (placement["subnets"], placement["assignPublicIp"]) == ([subnet], "DISABLED")
    assert [d["rolloutState"] for d in service["deployments"]] == ["COMPLETED"]
    assert service["deployments"][0]["rolloutStateReason"].endswith("completed.")
    assert (service["runningCount"], service["pendingCount"]) == (1, 0)


def test_only_a_new_or_forced_revision_starts_a_deployment(
    ecs: Any, role: str, service_request: dict[str, Any]
) -> None:
    """A new count or configuration starts no deployment; a new task definition does, and so does forceNewDeployment."""
    ecs.create_service(**service_request, serviceName="updated")
    first = described(ecs, "updated")["deployments"][0]["id"]
    target = {"cluster": "models", "service": "updated"}
    ecs.update_service(**target, desiredCount=3, taskDefinition=service_request["taskDefinition"])
    ecs.update_service(**target, deploymentConfiguration={"maximumPercent": 150})
    ecs.update_service(**target, networkConfiguration=service_request["networkConfiguration"])
    service = described(ecs, "updated")
    assert (service["deployments"][0]["id"], service["runningCount"]) == (first, 3)
    assert error_of(ecs, "update_service", **target, taskDefinition="none:1", desiredCount=0)[0] == "ClientException"
    assert described(ecs, "updated")["desiredCount"] == 3
    newer = ecs.register_task_definition(**definition(role))["taskDefinition"]["taskDefinitionArn"]
    answer = ecs.update_service(**target, taskDefinition=newer)["service"]
    assert [d["status"] for d in answer["deployments"]] == ["PRIMARY", "ACTIVE"]
    ecs.update_service(**target, forceNewDeployment=True)
    service = described(ecs, "updated")
    assert service["taskDefinition"] == newer
    assert [d["status"] for d in service["deployments"]] == ["PRIMARY"]
    listed = ecs.list_service_deployments(**target)["serviceDeployments"]
    assert [d["status"] for d in listed] == ["SUCCESSFUL"] * 3
    arns = ecs.list_tasks(cluster="models", serviceName="updated")["taskArns"]
    tasks = ecs.describe_tasks(cluster="models", tasks=arns)["tasks"]
    assert {task["taskDefinitionArn"] for task in tasks} == {newer}
    assert {task["containers"][0]["imageDigest"] for task in tasks} == {f"sha256:{'a' * 64}"}


def test_a_blocked_deployment_is_reported_once(ecs: Any, service_request: dict[str, Any]) -> None:
    """At 100/100 one task can neither start nor stop. That is reported once, and ends when the percentages change."""
    tight = {"minimumHealthyPercent": 100, "maximumPercent": 100}
    ecs.create_service(**service_request, serviceName="stuck", deploymentConfiguration=tight)
    target = {"cluster": "models", "service": "stuck"}
    ecs.update_service(**target, forceNewDeployment=True)
    ecs.update_service(**target, desiredCount=1)
    service = described(ecs, "stuck")
    assert [d["rolloutState"] for d in service["deployments"]] == ["IN_PROGRESS", "COMPLETED"]
    messages = [e["message"] for e in service["events"]]
    assert len([m for m in messages if "because of the service deployment configuration" in m]) == 1
    ecs.update_service(**target, deploymentConfiguration={"maximumPercent": 200})
    assert [d["rolloutState"] for d in described(ecs, "stuck")["deployments"]] == ["COMPLETED"]


def test_deleting_a_service_drains_it(ecs: Any, service_request: dict[str, Any]) -> None:
    """A service above zero is deleted only with force.

    Then it is INACTIVE: still described, no longer listed, not updated, and its name is free.
    """
    arn = ecs.create_service(**service_request, serviceName="deleted")["service"]["serviceArn"]
    target = {"cluster": "models", "service": "deleted"}
    code, message = error_of(ecs, "delete_service", **target)
    assert (code, message) == (
        "InvalidParameterException",
        "The service cannot be stopped while it is scaled above 0.",
    )
    ecs.update_service(**target, desiredCount=0)
    assert ecs.delete_service(**target)["service"]["status"] == "DRAINING"
    assert described(ecs, "deleted")["status"] == "INACTIVE"
    assert arn not in ecs.list_services(cluster="models")["serviceArns"]
    assert error_of(ecs, "update_service", **target, desiredCount=1)[0] == "ServiceNotActiveException"
    assert error_of(ecs, "delete_service", **target)[0] == "ServiceNotFoundException"
    assert error_of(ecs, "update_service", cluster="models", service="none")[0] == "ServiceNotFoundException"
    assert ecs.create_service(**service_request, serviceName="deleted")["service"]["status"] == "ACTIVE"


def test_task_network_interfaces_use_the_security_group(aws: Any, ecs: Any, service_request: dict[str, Any]) -> None:
    """While a task runs, its security group can't be deleted.

    Its interface has the address that DescribeTasks shows.
    """
    ec2 = aws.client("ec2")
    [subnet] = service_request["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    vpc = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="tasks", Description="tasks", VpcId=vpc)["GroupId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    ecs.create_service(**service_request | {"networkConfiguration": network}, serviceName="networked")
    arns = ecs.list_tasks(cluster="models", serviceName="networked")["taskArns"]
    [task] = ecs.describe_tasks(cluster="models", tasks=arns)["tasks"]
    details = {d["name"]: d["value"] for d in task["attachments"][0]["details"]}
    [interface] = ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])[
        "NetworkInterfaces"
    ]
    assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
    assert error_of(ec2, "delete_security_group", GroupId=group)[0] == "DependencyViolation"
    ecs.delete_service(cluster="models", service="networked", force=True)
    ec2.delete_security_group(GroupId=group)


def test_a_deleted_subnet_starts_no_task(aws: Any, ecs: Any, service_request: dict[str, Any]) -> None:
    """New tasks fail with EC2's reason and count as failures. Running tasks go on."""
    ec2 = aws.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="172.31.200.0/24")["Subnet"]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet]}}
    ecs.create_service(**service_request | {"networkConfiguration": network}, serviceName="uprooted")
    [running] = ecs.list_tasks(cluster="models", serviceName="uprooted")["taskArns"]
    ec2.delete_subnet(SubnetId=subnet)
    ecs.update_service(cluster="models", service="uprooted", forceNewDeployment=True)
    assert ecs.list_tasks(cluster="models", serviceName="uprooted")["taskArns"] == [running]
    stopped = ecs.list_tasks(cluster="models", serviceName="uprooted", desiredStatus="STOPPED")["taskArns"]
    task = ecs.describe_tasks(cluster="models", tasks=stopped)["tasks"][0]
    assert task["stopCode"] == "TaskFailedToStart"
    assert subnet in task["stoppedReason"]
    assert described(ecs, "uprooted")["deployments"][0]["failedTasks"] >= 1
    ecs.delete_service(cluster="models", service="uprooted", force=True)


def test_run_task_honours_its_client_token(ecs: Any, service_request: dict[str, Any]) -> None:
    """RunTask's token binds as documented. A stopped task is listed as STOPPED, with its cause."""
    request = {
        "cluster": "models",
        "taskDefinition": service_request["taskDefinition"],
        "networkConfiguration": service_request["networkConfiguration"],
        "count": 2,
        "clientToken": "run-1",
        "startedBy": "me",
    }
    tasks = ecs.run_task(**request)["tasks"]
    assert [t["taskArn"] for t in ecs.run_task(**request)["tasks"]] == [t["taskArn"] for t in tasks]
    assert error_of(ecs, "run_task", **request | {"count": 1})[0] == "ConflictException"
    ecs.stop_task(cluster="models", task=tasks[0]["taskArn"], reason="enough")
    listed = {
        status: ecs.list_tasks(cluster="models", startedBy="me", desiredStatus=status)["taskArns"]
        for status in ("RUNNING", "STOPPED")
    }
    assert listed == {"RUNNING": [tasks[1]["taskArn"]], "STOPPED": [tasks[0]["taskArn"]]}
    [stopped] = ecs.describe_tasks(cluster="models", tasks=listed["STOPPED"])["tasks"]
    assert (stopped["lastStatus"], stopped["stopCode"], stopped["stoppedReason"]) == (
        "STOPPED",
        "UserInitiated",
        "enough",
    )
    assert error_of(ecs, "stop_task", cluster="models", task="none")[0] == "InvalidParameterException"
    assert ecs.describe_tasks(cluster="models", tasks=["none"])["failures"][0]["reason"] == "MISSING"


def test_events_reach_a_queue(aws: Any, ecs: Any, service_request: dict[str, Any]) -> None:
    """A rule on aws.ecs sends events of tasks, deployments and the service to SQS. Each names its resource."""
    sqs, events = aws.client("sqs"), aws.client("events")
    queue = sqs.create_queue(QueueName="ecs-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="ecs", EventPattern=json.dumps({"source": ["aws.ecs"]}))
    events.put_targets(Rule="ecs", Targets=[{"Id": "queue", "Arn": arn}])
    service = ecs.create_service(**service_request, serviceName="loud")["service"]["serviceArn"]
    seen: list[dict[str, Any]] = []
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        seen += [json.loads(message["Body"]) for message in messages]
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    mine = [event for event in seen if service in event["resources"]]
    assert {(event["detail-type"], event["detail"]["eventName"]) for event in mine} == {
        ("ECS Deployment State Change", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
        ("ECS Deployment State Change", "SERVICE_DEPLOYMENT_COMPLETED"),
        ("ECS Service Action", "SERVICE_STEADY_STATE"),
    }
    statuses = [e["detail"]["lastStatus"] for e in seen if e["detail-type"] == "ECS Task State Change"]
    assert {"PROVISIONING", "PENDING", "ACTIVATING", "RUNNING"} == set(statuses)
