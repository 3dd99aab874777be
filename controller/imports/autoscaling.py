"""Find what else sets the count of an ECS service: Application Auto Scaling."""

from __future__ import annotations

from controller.aws import AwsClient

_SERVICE = "application-autoscaling"


def describe_autoscaling(aws: AwsClient, cluster: str, name: str) -> str:
    """Describe what scales a service: its limits, policies and schedules. Empty if nothing does."""
    where = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
    resource = f"service/{cluster}/{name}"
    listed = aws.iter_items(_SERVICE, "describe_scalable_targets", "ScalableTargets", **where, ResourceIds=[resource])
    target = next(iter(listed), None)
    if target is None:
        return ""
    reported = f"Application Auto Scaling, from {target['MinCapacity']} to {target['MaxCapacity']}"
    policies = aws.iter_items(_SERVICE, "describe_scaling_policies", "ScalingPolicies", **where, ResourceId=resource)
    actions = aws.iter_items(_SERVICE, "describe_scheduled_actions", "ScheduledActions", **where, ResourceId=resource)
    names = [*(one["PolicyName"] for one in policies), *(one["ScheduledActionName"] for one in actions)]
    return f"{reported} ({', '.join(names)})" if names else reported
