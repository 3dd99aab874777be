"""How deployments count failures and end, tested on the model alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from embedded_aws.tasks import deployments
from embedded_aws.tasks.state import EcsDeployment, EcsService, ServiceRevision

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def service() -> EcsService:
    """Return a service whose circuit breaker rolls back, with one completed deployment."""
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    made = EcsService("s", "c", "us-east-1", "123456789012", NOW, 1, deployment_configuration=dict(breaker))
    begin(made, "first")
    deployments.complete(made, NOW)
    return made


def begin(service: EcsService, name: str) -> EcsDeployment:
    return deployments.begin(service, ServiceRevision(f"revision/{name}", NOW, name), NOW)


def describe_deployments(service: EcsService) -> list[tuple[str, str, str, str]]:
    """Return each deployment, newest first: task definition, status, rolloutState and outcome."""
    return [
        (d.revision.task_definition, d.status, d.rollout_state.value, d.outcome) for d in service.deployment_history
    ]


def test_a_rollback_succeeds_when_the_old_deployment_is_steady(service: EcsService) -> None:
    """The failed deployment is ROLLBACK_SUCCESSFUL once the old one is steady again. The old one is not replaced."""
    first = service.primary
    begin(service, "second")
    deployments.fail(service, first.id, NOW)
    assert service.primary is first
    assert describe_deployments(service)[0] == ("second", "ACTIVE", "FAILED", "ROLLBACK_IN_PROGRESS")
    deployments.complete(service, NOW)
    assert describe_deployments(service) == [
        ("second", "ACTIVE", "FAILED", "ROLLBACK_SUCCESSFUL"),
        ("first", "PRIMARY", "COMPLETED", "SUCCESSFUL"),
    ]
    assert service.deployments == [first]


def test_a_failed_rollback_is_reported(service: EcsService) -> None:
    """When the old deployment fails too, the rollback has failed and there is no deployment to return to."""
    first = service.primary
    begin(service, "second")
    deployments.fail(service, first.id, NOW)
    deployments.fail(service, None, NOW)
    assert describe_deployments(service) == [
        ("second", "ACTIVE", "FAILED", "ROLLBACK_FAILED"),
        ("first", "PRIMARY", "FAILED", "SUCCESSFUL"),
    ]


@pytest.mark.parametrize(("rollback", "outcome"), [(True, "ROLLBACK_FAILED"), (False, "STOPPED")])
def test_without_a_completed_deployment_the_primary_stays_failed(rollback: bool, outcome: str) -> None:
    """A first deployment that fails has no deployment to return to."""
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": rollback}}
    service = EcsService("s", "c", "us-east-1", "123456789012", NOW, 1, deployment_configuration=breaker)
    begin(service, "first")
    deployments.fail(service, None, NOW)
    assert describe_deployments(service) == [("first", "PRIMARY", "FAILED", outcome)]


def test_a_newer_deployment_stops_an_unfinished_one(service: EcsService) -> None:
    """A deployment that is superseded while it rolls out, or while it rolls back, ends as STOPPED."""
    first = service.primary
    begin(service, "second")
    begin(service, "third")
    deployments.fail(service, first.id, NOW)
    begin(service, "fourth")
    assert [(name, outcome) for name, _, _, outcome in describe_deployments(service)] == [
        ("fourth", "IN_PROGRESS"),
        ("third", "STOPPED"),
        ("second", "STOPPED"),
        ("first", "SUCCESSFUL"),
    ]


@pytest.mark.parametrize(("reset", "left"), [(None, 0), (True, 0), (False, 2)])
def test_a_healthy_task_resets_failures_unless_disabled(service: EcsService, reset: Any, left: int) -> None:
    """ResetOnHealthyTask is on by default, so flapping tasks never trip the breaker. Switched off, they do."""
    if reset is not None:
        service.deployment_configuration["deploymentCircuitBreaker"]["resetOnHealthyTask"] = reset
    deployment = begin(service, "second")
    deployments.count_failure(deployment)
    deployments.count_failure(deployment)
    deployments.reset_failures(service, deployment.id)
    assert (deployment.failed_tasks, deployment.consecutive_failures) == (left, 0)


def test_the_breaker_ignores_failures_after_completion(service: EcsService) -> None:
    """Failures after completion delay the next start and have no other effect."""
    deployments.count_failure(service.primary)
    assert (service.primary.failed_tasks, service.primary.consecutive_failures) == (0, 1)
