"""ECS's rolling update as decisions: what starts and stops, always within both percentages."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from embedded_aws.tasks.rollout import (
    CircuitBreaker,
    CompleteDeployment,
    FailDeployment,
    ReplaceTasks,
    ReportBlocked,
    Rollout,
    RolloutState,
    RolloutTask,
    StartTasks,
    StopTasks,
    TaskHealth,
    decide_actions,
    read_circuit_breaker,
)

H, S, U = TaskHealth.HEALTHY, TaskHealth.STARTING, TaskHealth.UNHEALTHY


def rollout(desired: int, old: str = "", new: str = "", **settings: object) -> Rollout:
    """Return a rollout. `old` and `new` spell the tasks' health: h(ealthy), s(tarting) or u(nhealthy)."""
    letters = {"h": H, "s": S, "u": U}
    members = [RolloutTask(f"o{i}", "old", letters[c]) for i, c in enumerate(old)]
    members += [RolloutTask(f"n{i}", "new", letters[c]) for i, c in enumerate(new)]
    return replace(Rollout("new", RolloutState.IN_PROGRESS, desired, tuple(members)), **settings)


def test_a_new_service_starts_all_and_completes_when_all_are_healthy() -> None:
    """A deployment isn't complete while a task has no health status.

    With a desired count of zero it is complete at once.
    """
    assert decide_actions(rollout(2)) == [StartTasks(2)]
    assert decide_actions(rollout(2, new="hs")) == []
    assert decide_actions(rollout(2, new="hh")) == [CompleteDeployment()]
    assert decide_actions(rollout(0)) == [CompleteDeployment()]


def test_an_update_starts_before_it_stops() -> None:
    """At 100/200 the new task is healthy before the old one stops. The rollout ends when the old one has stopped."""
    assert decide_actions(rollout(1, old="h")) == [StartTasks(1)]
    assert decide_actions(rollout(1, old="h", new="s")) == []
    assert decide_actions(rollout(1, old="h", new="h")) == [StopTasks(("o0",))]
    assert decide_actions(rollout(1, new="h", draining=True)) == []
    assert decide_actions(rollout(1, new="h")) == [CompleteDeployment()]


def test_percentages_bound_the_batches() -> None:
    """The maximum is rounded down, the minimum up. Without room, old tasks stop first, down to the minimum."""
    assert decide_actions(rollout(4, old="hhhh", maximum_percent=150)) == [StartTasks(2)]
    assert decide_actions(rollout(4, old="hhhh", new="hh", maximum_percent=150)) == [StopTasks(("o0", "o1"))]
    assert decide_actions(rollout(4, old="hh", new="hh", maximum_percent=150)) == [StartTasks(2)]
    assert decide_actions(rollout(3, old="hhh", maximum_percent=133)) == [ReportBlocked()]
    assert decide_actions(rollout(4, old="hhhh", minimum_percent=50, maximum_percent=100)) == [StopTasks(("o0", "o1"))]
    assert decide_actions(rollout(3, old="hhh", minimum_percent=50, maximum_percent=100)) == [StopTasks(("o0",))]
    assert decide_actions(rollout(1, old="h", minimum_percent=100, maximum_percent=100)) == [ReportBlocked()]


def test_scaling_in_keeps_serving_tasks() -> None:
    """Tasks without a health status stop first, then the youngest. A completed deployment stays completed."""
    assert decide_actions(rollout(1, new="hsh", state=RolloutState.COMPLETED)) == [StopTasks(("n1", "n2"))]
    assert decide_actions(rollout(0, new="hh", state=RolloutState.COMPLETED)) == [StopTasks(("n1", "n0"))]


def test_an_unhealthy_task_is_replaced_first_where_there_is_room() -> None:
    """With room the replacement starts first, without room the unhealthy task stops first.

    While starts are throttled, the unhealthy task stays.
    """
    steady = {"state": RolloutState.COMPLETED}
    assert decide_actions(rollout(1, new="u", **steady)) == [StartTasks(1)]
    assert decide_actions(rollout(1, new="us", **steady)) == []
    assert decide_actions(rollout(1, new="uh", **steady)) == [ReplaceTasks(("n0",))]
    assert decide_actions(rollout(1, new="uu", **steady)) == [ReplaceTasks(("n0", "n1"))]
    assert decide_actions(rollout(1, old="h", new="u")) == [ReplaceTasks(("n0",))]
    assert decide_actions(rollout(1, new="u", throttled=True, **steady)) == []


def test_the_breaker_rolls_back_to_the_last_completed_deployment() -> None:
    """At the threshold the deployment fails. A failed deployment starts and stops nothing."""
    breaker = CircuitBreaker(rollback=True)
    failing = rollout(1, old="h", breaker=breaker, failures=3, fallback="old")
    assert decide_actions(failing) == [FailDeployment("old")]
    assert decide_actions(replace(failing, failures=2)) == [StartTasks(1)]
    assert decide_actions(replace(failing, breaker=CircuitBreaker(rollback=False))) == [FailDeployment(None)]
    assert decide_actions(replace(failing, breaker=None)) == [StartTasks(1)]
    assert decide_actions(replace(failing, state=RolloutState.FAILED)) == []
    assert decide_actions(replace(failing, state=RolloutState.COMPLETED)) == [StartTasks(1)]


def test_the_threshold_is_half_the_desired_count_by_default() -> None:
    """The default is half the desired count, between 3 and 200; thresholdConfiguration changes it."""
    assert [CircuitBreaker().threshold(n) for n in (0, 1, 6, 7, 400, 1000)] == [3, 3, 3, 4, 200, 200]
    assert CircuitBreaker(kind="COUNT", value=1).threshold(100) == 1
    assert CircuitBreaker(kind="UNBOUNDED_PERCENT", value=50).threshold(1000) == 500


def test_the_breaker_is_read_from_the_configuration() -> None:
    """The breaker is off unless enabled. resetOnHealthyTask is on unless switched off."""
    assert read_circuit_breaker({}) is None
    assert read_circuit_breaker({"deploymentCircuitBreaker": {"enable": False, "rollback": True}}) is None
    on = {"enable": True, "rollback": True}
    assert read_circuit_breaker({"deploymentCircuitBreaker": on}) == CircuitBreaker(rollback=True)
    on |= {"resetOnHealthyTask": False, "thresholdConfiguration": {"type": "COUNT", "value": 7}}
    assert read_circuit_breaker({"deploymentCircuitBreaker": on}) == CircuitBreaker(
        rollback=True, reset_on_healthy=False, kind="COUNT", value=7
    )


@given(
    desired=st.integers(0, 9),
    old=st.integers(0, 9),
    minimum=st.integers(0, 100),
    maximum=st.integers(100, 250),
    order=st.randoms(use_true_random=False),
)
def test_every_rollout_keeps_its_bounds_and_ends(desired, old, minimum, maximum, order) -> None:
    """In whatever order tasks become healthy, a rollout keeps its bounds and ends.

    Serving tasks never fall below the minimum, started tasks never exceed the maximum. The rollout ends complete, or
    blocked where the percentages allow neither start nor stop.
    """
    now = rollout(desired, old="h" * old, minimum_percent=minimum, maximum_percent=maximum)
    for step in range(200):
        actions = decide_actions(now)
        if actions in ([CompleteDeployment()], [ReportBlocked()]):
            break
        members = list(now.tasks)
        for action in actions:
            if isinstance(action, StartTasks):
                members += [RolloutTask(f"n{step}-{i}", "new", S) for i in range(action.count)]
                assert len(members) <= desired * maximum // 100
            else:
                assert isinstance(action, StopTasks)
                before = sum(m.health is H for m in members)
                members = [m for m in members if m.task not in action.tasks]
                serving = sum(m.health is H for m in members)
                assert serving == before or serving * 100 >= min(before, desired) * minimum
        waiting = [i for i, m in enumerate(members) if m.health is S]
        if waiting:
            chosen = order.choice(waiting)
            members[chosen] = replace(members[chosen], health=H)
        now = replace(now, tasks=tuple(members))
    if actions == [CompleteDeployment()]:
        assert [m.deployment for m in now.tasks] == ["new"] * desired
    else:
        assert actions == [ReportBlocked()]
        assert desired * maximum // 100 <= len(now.tasks)
