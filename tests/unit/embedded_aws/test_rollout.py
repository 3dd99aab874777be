"""ECS's rolling update, as decisions: what starts and stops, never below and never above the percentages."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from embedded_aws.tasks.rollout import (
    Breaker,
    Complete,
    Fail,
    Health,
    Member,
    Replace,
    Rollout,
    Start,
    State,
    Stop,
    Stuck,
    breaker_of,
    decide,
)

H, S, U = Health.HEALTHY, Health.STARTING, Health.UNHEALTHY


def rollout(desired: int, old: str = "", new: str = "", **settings: object) -> Rollout:
    """`old` and `new` spell the tasks' health: h, s or u."""
    letters = {"h": H, "s": S, "u": U}
    members = [Member(f"o{i}", "old", letters[c]) for i, c in enumerate(old)]
    members += [Member(f"n{i}", "new", letters[c]) for i, c in enumerate(new)]
    return replace(Rollout("new", State.IN_PROGRESS, desired, tuple(members)), **settings)


def test_a_new_service_starts_all_and_completes_when_all_are_healthy() -> None:
    """Nothing is complete while a task has no verdict; zero desired is complete at once."""
    assert decide(rollout(2)) == [Start(2)]
    assert decide(rollout(2, new="hs")) == []
    assert decide(rollout(2, new="hh")) == [Complete()]
    assert decide(rollout(0)) == [Complete()]


def test_an_update_starts_before_it_stops() -> None:
    """At 100/200 the new task is healthy before the old one goes, and the rollout ends when the old one is out."""
    assert decide(rollout(1, old="h")) == [Start(1)]
    assert decide(rollout(1, old="h", new="s")) == []
    assert decide(rollout(1, old="h", new="h")) == [Stop(("o0",))]
    assert decide(rollout(1, new="h", draining=True)) == []
    assert decide(rollout(1, new="h")) == [Complete()]


def test_percentages_bound_the_batches() -> None:
    """The maximum is rounded down, the minimum up; without room, old tasks go first, down to the minimum."""
    assert decide(rollout(4, old="hhhh", maximum=150)) == [Start(2)]
    assert decide(rollout(4, old="hhhh", new="hh", maximum=150)) == [Stop(("o0", "o1"))]
    assert decide(rollout(4, old="hh", new="hh", maximum=150)) == [Start(2)]
    assert decide(rollout(3, old="hhh", maximum=133)) == [Stuck()]
    assert decide(rollout(4, old="hhhh", minimum=50, maximum=100)) == [Stop(("o0", "o1"))]
    assert decide(rollout(3, old="hhh", minimum=50, maximum=100)) == [Stop(("o0",))]
    assert decide(rollout(1, old="h", minimum=100, maximum=100)) == [Stuck()]


def test_scaling_in_keeps_what_serves() -> None:
    """Tasks without a verdict go first, then the youngest; a completed deployment stays completed."""
    assert decide(rollout(1, new="hsh", state=State.COMPLETED)) == [Stop(("n1", "n2"))]
    assert decide(rollout(0, new="hh", state=State.COMPLETED)) == [Stop(("n1", "n0"))]


def test_an_unhealthy_task_is_replaced_first_where_there_is_room() -> None:
    """With room the replacement comes first; without, the unhealthy one makes it; held back, it stays."""
    steady = {"state": State.COMPLETED}
    assert decide(rollout(1, new="u", **steady)) == [Start(1)]
    assert decide(rollout(1, new="us", **steady)) == []
    assert decide(rollout(1, new="uh", **steady)) == [Replace(("n0",))]
    assert decide(rollout(1, new="uu", **steady)) == [Replace(("n0", "n1"))]
    assert decide(rollout(1, old="h", new="u")) == [Replace(("n0",))]
    assert decide(rollout(1, new="u", held=True, **steady)) == []


def test_the_breaker_rolls_back_to_the_last_completed_deployment() -> None:
    """At the threshold the deployment fails; a failed one starts nothing and stops nothing."""
    breaker = Breaker(rollback=True)
    failing = rollout(1, old="h", breaker=breaker, failures=3, fallback="old")
    assert decide(failing) == [Fail("old")]
    assert decide(replace(failing, failures=2)) == [Start(1)]
    assert decide(replace(failing, breaker=Breaker(rollback=False))) == [Fail(None)]
    assert decide(replace(failing, breaker=None)) == [Start(1)]
    assert decide(replace(failing, state=State.FAILED)) == []
    assert decide(replace(failing, state=State.COMPLETED)) == [Start(1)]


def test_thresholds() -> None:
    """Half the desired count between 3 and 200, or what thresholdConfiguration says."""
    assert [Breaker().threshold(n) for n in (0, 1, 6, 7, 400, 1000)] == [3, 3, 3, 4, 200, 200]
    assert Breaker(kind="COUNT", value=1).threshold(100) == 1
    assert Breaker(kind="UNBOUNDED_PERCENT", value=50).threshold(1000) == 500


def test_the_breaker_is_read_from_the_configuration() -> None:
    """Off unless enabled; resetOnHealthyTask is on unless switched off."""
    assert breaker_of({}) is None
    assert breaker_of({"deploymentCircuitBreaker": {"enable": False, "rollback": True}}) is None
    on = {"enable": True, "rollback": True}
    assert breaker_of({"deploymentCircuitBreaker": on}) == Breaker(rollback=True)
    on |= {"resetOnHealthyTask": False, "thresholdConfiguration": {"type": "COUNT", "value": 7}}
    assert breaker_of({"deploymentCircuitBreaker": on}) == Breaker(
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
    """Whatever order tasks become healthy in: served never falls below the minimum, started never exceeds the maximum,
    and the rollout ends complete, or stuck where the percentages leave neither start nor stop.
    """
    now = rollout(desired, old="h" * old, minimum=minimum, maximum=maximum)
    for step in range(200):
        actions = decide(now)
        if actions in ([Complete()], [Stuck()]):
            break
        members = list(now.members)
        for action in actions:
            if isinstance(action, Start):
                members += [Member(f"n{step}-{i}", "new", S) for i in range(action.count)]
                assert len(members) <= desired * maximum // 100
            else:
                assert isinstance(action, Stop)
                before = sum(m.health is H for m in members)
                members = [m for m in members if m.task not in action.tasks]
                serving = sum(m.health is H for m in members)
                assert serving == before or serving * 100 >= min(before, desired) * minimum
        waiting = [i for i, m in enumerate(members) if m.health is S]
        if waiting:
            chosen = order.choice(waiting)
            members[chosen] = replace(members[chosen], health=H)
        now = replace(now, members=tuple(members))
    if actions == [Complete()]:
        assert [m.deployment for m in now.members] == ["new"] * desired
    else:
        assert actions == [Stuck()]
        assert desired * maximum // 100 <= len(now.members)
