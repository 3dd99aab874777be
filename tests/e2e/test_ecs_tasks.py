"""Tasks are real processes: what runs, what is told about it, and what is left when it ends."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from embedded_aws import control

pytestmark = pytest.mark.e2e


def processes(below: Path) -> list[int]:
    """The pids of this machine's processes that work below a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(below):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def directory(containers: Any, task: dict[str, Any]) -> Path:
    """Where a task's processes work."""
    return containers.aws.home / "tasks" / task["taskArn"].rsplit("/", 1)[-1]


def test_a_service_runs_real_tasks(containers: Any) -> None:
    """The task serves the pinned image's model on its own address, healthy by its own check, its output in the logs."""
    image = containers.push_image("first")
    created = containers.create_service(
        "real", containers.register_task_definition(image, {"GREETING": "hello 0.0.0.0"})
    )
    assert (created["status"], created["runningCount"], created["pendingCount"]) == ("ACTIVE", 0, 0)
    assert created["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    service = containers.wait_until_stable("real")
    assert service["events"][0]["message"] == "(service real) has reached a steady state."
    [task] = containers.tasks("real")
    assert (task["lastStatus"], task["healthStatus"], task["startedBy"]) == (
        "RUNNING",
        "HEALTHY",
        service["deployments"][0]["id"],
    )
    assert task["containers"][0]["imageDigest"] == image.partition("@")[2]
    status, body = containers.get(f"http://{containers.address(task)}:8080/")
    answer = json.loads(body)
    assert (status, answer["model"]) == (200, "first")
    assert answer["env"]["GREETING"] == f"hello {containers.address(task)}"
    assert answer["env"]["FROM_IMAGE"] == "yes"
    logs = containers.aws.client("logs")
    stream = f"m/server/{task['taskArn'].rsplit('/', 1)[-1]}"
    containers.until(
        lambda: (
            {"serving", "served /"}
            <= {
                event["message"]
                for event in logs.get_log_events(logGroupName="/models", logStreamName=stream)["events"]
            }
        )
    )


def test_failed_tasks_are_replaced(containers: Any) -> None:
    """A killed process, a stopped task and an unhealthy task: each is replaced, and DescribeTasks says why it ended."""
    containers.create_service("phoenix", containers.register_task_definition(containers.push_image("phoenix")))
    containers.wait_until_stable("phoenix")

    def replaced(old: str) -> Any:
        new = containers.tasks("phoenix")
        return [t for t in new if t["taskArn"] != old and t["healthStatus"] == "HEALTHY"] if len(new) == 1 else None

    ends = []
    for end in ("kill", "stop", "sicken"):
        [task] = containers.tasks("phoenix")
        if end == "kill":
            # A health check may be running beside it.
            for pid in processes(directory(containers, task)):
                os.kill(pid, signal.SIGKILL)
        if end == "stop":
            containers.ecs.stop_task(cluster="models", task=task["taskArn"], reason="because")
        if end == "sicken":
            assert containers.get(f"http://{containers.address(task)}:8080/sicken")[0] == 500
        containers.until(lambda old=task["taskArn"]: replaced(old))
        containers.until(lambda old=task["taskArn"]: _stopped(containers, old))
        ends.append(_stopped(containers, task["taskArn"]))
    assert [(end["stopCode"], end["stoppedReason"]) for end in ends] == [
        ("EssentialContainerExited", "Essential container in task exited"),
        ("UserInitiated", "because"),
        ("ServiceSchedulerInitiated", "Task failed container health checks"),
    ]
    assert [end["containers"][0]["exitCode"] for end in ends] == [137, 0, 0]


def _stopped(containers: Any, arn: str) -> Any:
    [task] = containers.ecs.describe_tasks(cluster="models", tasks=[arn])["tasks"]
    return task if task["lastStatus"] == "STOPPED" else None


def test_a_task_that_cannot_start_says_why(containers: Any) -> None:
    """A missing image, a layer that is no model layer, a missing log group, secret or role: the reason is ECS's own."""
    image = containers.push_image("startable")
    missing = image[:-4] + "0000"
    odd = containers.push_image("odd", layers=[b"no archive at all"])
    iam = containers.aws.client("iam")
    document = iam.get_role(RoleName="execution")["Role"]["AssumeRolePolicyDocument"]
    absent = iam.create_role(RoleName="gone", AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
    options = {"awslogs-group": "/none", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "m"}
    foreign = containers.push_image("foreign", architecture="s390x")
    definitions = {
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): image Manifest does not": (
            containers.register_task_definition(foreign)
        ),
        "CannotPullContainerError": containers.register_task_definition(missing),
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to register layer": (
            containers.register_task_definition(odd)
        ),
        "ResourceInitializationError: failed to validate logger args": containers.register_task_definition(
            image, logConfiguration={"logDriver": "awslogs", "options": options}
        ),
        "ResourceInitializationError: unable to pull secrets": containers.register_task_definition(
            image, secrets=[{"name": "SALT", "valueFrom": "/none"}]
        ),
        f"ECS was unable to assume the role '{absent}'": containers.register_task_definition(image, role=absent),
    }
    iam.delete_role(RoleName="gone")
    for reason, definition in definitions.items():
        network = {"awsvpcConfiguration": {"subnets": containers.subnets}}
        ran = containers.ecs.run_task(cluster="models", taskDefinition=definition, networkConfiguration=network)
        arn = ran["tasks"][0]["taskArn"]
        task = containers.until(lambda arn=arn: _stopped(containers, arn))
        assert task["stopCode"] == "TaskFailedToStart"
        assert task["stoppedReason"].startswith(reason)


def test_a_container_that_is_not_essential_may_end(containers: Any) -> None:
    """The task goes on, without a health check it counts after a while, and the ended container tells its exit code."""
    image = containers.push_image("pair")
    sidecar = {"name": "side", "image": image, "essential": False, "entryPoint": ["sh", "-c"], "command": ["exit 4"]}
    containers.create_service("pair", containers.register_task_definition(image, healthCheck=None, sidecars=[sidecar]))
    containers.wait_until_stable("pair")

    def ended() -> Any:
        [task] = containers.tasks("pair")
        return task if task["containers"][1]["lastStatus"] == "STOPPED" else None

    task = containers.until(ended)
    assert (task["lastStatus"], task["healthStatus"]) == ("RUNNING", "UNKNOWN")
    assert [c.get("exitCode") for c in task["containers"]] == [None, 4]
    assert containers.get(f"http://{containers.address(task)}:8080/")[0] == 200


def test_secrets_reach_the_process_alone(containers: Any) -> None:
    """Values from SSM and Secrets Manager are in the container's environment, and nowhere in what ECS shows."""
    ssm, manager = containers.aws.client("ssm"), containers.aws.client("secretsmanager")
    ssm.put_parameter(Name="/salt", Value="canary-salt 127.0.0.1", Type="SecureString")
    arn = manager.create_secret(Name="pepper", SecretString=json.dumps({"key": "canary-pepper"}))["ARN"]
    references = [{"name": "SALT", "valueFrom": "/salt"}, {"name": "PEPPER", "valueFrom": f"{arn}:key::"}]
    definition = containers.register_task_definition(containers.push_image("secret"), secrets=references)
    containers.create_service("secretive", definition)
    containers.wait_until_stable("secretive")
    [task] = containers.tasks("secretive")
    seen = json.loads(containers.get(f"http://{containers.address(task)}:8080/")[1])["env"]
    assert (seen["SALT"], seen["PEPPER"]) == ("canary-salt 127.0.0.1", "canary-pepper")
    shown = [
        task,
        containers.describe_service("secretive"),
        containers.ecs.describe_task_definition(taskDefinition=definition),
    ]
    assert "canary" not in json.dumps(shown, default=str)


def test_a_deleted_service_drains(containers: Any) -> None:
    """Delete is refused above zero; forced, the name is blocked while it drains, then free; its process is gone."""
    ecs, definition = (
        containers.ecs,
        containers.register_task_definition(containers.push_image("drained"), {"DRAIN": "5"}),
    )
    containers.create_service("drained", definition)
    containers.wait_until_stable("drained")
    [task] = containers.tasks("drained")
    with pytest.raises(ecs.exceptions.InvalidParameterException):
        ecs.delete_service(cluster="models", service="drained")
    with pytest.raises(ecs.exceptions.ClusterContainsServicesException):
        ecs.delete_cluster(cluster="models")
    assert ecs.delete_service(cluster="models", service="drained", force=True)["service"]["status"] == "DRAINING"
    with pytest.raises(ecs.exceptions.InvalidParameterException, match="still Draining"):
        containers.create_service("drained", definition)
    with pytest.raises(ecs.exceptions.ServiceNotActiveException):
        ecs.update_service(cluster="models", service="drained", desiredCount=1)
    containers.until(lambda: containers.describe_service("drained")["status"] == "INACTIVE")
    assert containers.until(lambda: _stopped(containers, task["taskArn"]))["containers"][0]["exitCode"] == 0
    assert containers.get(f"http://{containers.address(task)}:8080/")[0] == 0
    assert not processes(directory(containers, task))
    assert containers.create_service("drained", definition, 0)["status"] == "ACTIVE"


def test_a_first_version_that_crashes_fails_and_can_be_mended(containers: Any) -> None:
    """With nothing to go back to the deployment stays FAILED and starts no more; the next definition mends it."""
    image = containers.push_image("newborn")
    containers.create_service("newborn", containers.register_task_definition(image, {"CRASH": "yes"}))
    containers.until(lambda: containers.describe_service("newborn")["deployments"][0]["rolloutState"] == "FAILED")
    [failed] = containers.describe_service("newborn")["deployments"]
    assert failed["rolloutStateReason"] == "ECS deployment circuit breaker: tasks failed to start."
    assert failed["failedTasks"] == 3
    assert containers.tasks("newborn") == []
    mended = containers.register_task_definition(image)
    containers.ecs.update_service(cluster="models", service="newborn", taskDefinition=mended)
    assert containers.wait_until_stable("newborn")["taskDefinition"] == mended


def test_a_reset_forgets_and_ends_everything(containers_at: Any) -> None:
    """After a reset no process, no task directory and no service is left, and all can begin again."""
    containers = containers_at("reset")
    containers.create_service("gone", containers.register_task_definition(containers.push_image("gone")), 2)
    containers.wait_until_stable("gone")
    containers.aws.call_admin_endpoint("reset", "POST")
    assert not processes(containers.aws.home / "tasks")
    assert not list((containers.aws.home / "tasks").iterdir())
    again = type(containers)(containers.aws)
    again.create_service("gone", again.register_task_definition(again.push_image("gone")))
    again.wait_until_stable("gone")


@pytest.mark.parametrize("way", ["down", "kill -9"])
def test_no_process_outlives_the_program(containers_at: Any, way: str) -> None:
    """However the embedded AWS ends, every task's process ends with it."""
    containers = containers_at(way.replace(" ", ""))
    containers.create_service("mortal", containers.register_task_definition(containers.push_image("mortal")), 2)
    containers.wait_until_stable("mortal")
    home = containers.aws.home
    assert len(processes(home / "tasks")) >= 2
    if way == "down":
        control.down(home)
    else:
        os.kill(control.status(home).pid, signal.SIGKILL)
    containers.until(lambda: not processes(home / "tasks"))
