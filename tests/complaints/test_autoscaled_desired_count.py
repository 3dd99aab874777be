"""Complaint 2: the desired count fights the autoscaler."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.engine.run_result import exit_code
from tests.complaints.conftest import condition_of, reconcile_collecting_steps
from tests.demo import Demo, Model

pytestmark = pytest.mark.e2e


def autoscale(demo: Demo, number: int) -> None:
    """What an autoscaler does."""
    aws = demo.aws_client()
    (arn,) = aws.iter_items("ecs", "list_services", "serviceArns", cluster="models")
    aws.write("ecs", "update_service", cluster="models", service=arn, desiredCount=number)


def desired_count(demo: Demo) -> int:
    aws = demo.aws_client()
    (arn,) = aws.iter_items("ecs", "list_services", "serviceArns", cluster="models")
    (service,) = aws.read("ecs", "describe_services", cluster="models", services=[arn])["services"]
    assert service["runningCount"] == service["desiredCount"]
    return int(service["desiredCount"])


def test_omitted_desired_count_is_left_to_the_autoscaler(settled: Demo) -> None:
    """terraform-provider-aws#335, pipecd#5027, provider-upjet-aws#1469.

    Scaled up and down by somebody else, there is no step, and the spec is Ready with that many tasks; a rollout for
    another reason keeps them. A count that the spec states is put back: there, who scales is told that nobody else may.
    """
    for number in (4, 2):
        autoscale(settled, number)
        assert settled.survey().plan.steps == ()
        done = settled.reconcile_until_settled()
        assert (exit_code(done.statuses), condition_of(done, "Deployed")) == (0, ("True", "Deployed"))
        assert desired_count(settled) == number
    settled.models = (replace(Model(), service="{cpu: 0.5 vCPU, memory: 1 GB}"),)
    assert {step.node.key.kind for step in reconcile_collecting_steps(settled)} == {
        "ecs/task-definition",
        "ecs/service",
    }
    assert desired_count(settled) == 2
    settled.models = (replace(Model(), service="{cpu: 0.5 vCPU, memory: 1 GB, desiredCount: 3}"),)
    (step,) = settled.survey().plan.steps
    assert [(c.path, c.old, c.new) for c in step.changes] == [("desiredCount", 2, 3)]
    settled.reconcile_until_settled()
    assert desired_count(settled) == 3
