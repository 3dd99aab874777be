"""Complaint 9: changes of an API never reach its stage, and a new task definition not its service."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.engine.run_result import exit_code
from controller.resources.base import ResourceContext, discover_resources
from tests.complaints.conftest import model_status
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model
from tests.http_requests import send_request

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ROUTES = "{method: POST, path: /predict}, {method: GET, path: /model}"


@pytest.fixture(scope="module")
def served_demo(
    embedded_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory
) -> Demo:
    """A served model, in real processes."""
    demo = Demo(
        EmbeddedClients(embedded_aws.endpoint), discover_resources(resource_context), tmp_path_factory.mktemp("specs")
    )
    assert exit_code(demo.reconcile_until_settled().statuses) == 0
    return demo


def test_stage_serves_the_changed_api(served_demo: Demo) -> None:
    """terraform#6613.

    When the run is over, a new route answers through the stage, and one that was taken out is gone from it: nobody has
    to deploy the API once more.
    """
    url = str(model_status(served_demo.reconciler().reconcile(served_demo.spec_contexts())).facts["endpoint"])
    assert send_request(f"{url}/livez")[0] == 404
    served_demo.models = (replace(Model(), api=f"{{routes: [{ROUTES}, {{method: GET, path: /livez}}]}}"),)
    assert exit_code(served_demo.reconcile_until_settled().statuses) == 0
    assert send_request(f"{url}/livez")[0] == 200
    served_demo.models = (Model(),)
    assert exit_code(served_demo.reconcile_until_settled().statuses) == 0
    assert send_request(f"{url}/livez")[0] == 404
    assert send_request(f"{url}/model")[0] == 200


def test_service_runs_the_new_task_definition(served_demo: Demo) -> None:
    """ACK community#2365.

    A variable in the spec makes a new revision: the same run updates the service, and Ready means that the tasks run
    it.
    """
    served_demo.models = (replace(Model(), service="{cpu: 0.5 vCPU, memory: 1 GB, env: {LOG_LEVEL: debug}}"),)
    done = served_demo.reconcile_until_settled()
    assert exit_code(done.statuses) == 0
    assert [(str(step.action), step.node.key.kind) for step in done.plan.steps] == []
    aws = served_demo.aws_client()
    (arn,) = aws.iter_items("ecs", "list_services", "serviceArns", cluster="models")
    (service,) = aws.read("ecs", "describe_services", cluster="models", services=[arn])["services"]
    newest = list(aws.iter_items("ecs", "list_task_definitions", "taskDefinitionArns"))[-1]
    running = list(aws.iter_items("ecs", "list_tasks", "taskArns", cluster="models", desiredStatus="RUNNING"))
    tasks = aws.read("ecs", "describe_tasks", cluster="models", tasks=running)["tasks"]
    assert {service["taskDefinition"], *(task["taskDefinitionArn"] for task in tasks)} == {newest}
    (container,) = aws.read("ecs", "describe_task_definition", taskDefinition=newest)["taskDefinition"][
        "containerDefinitions"
    ]
    assert {"name": "LOG_LEVEL", "value": "debug"} in container["environment"]
