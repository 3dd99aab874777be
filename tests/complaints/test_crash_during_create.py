"""Complaint 8: a crash in mid-create leaves something ambiguous and stuck; and polling is throttled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.engine.run_result import exit_code
from tests.complaints.conftest import condition_of
from tests.demo import Demo, Model
from tests.reliability.crash_injection import CrashedError, CrashInjector, CrashMoment

pytestmark = pytest.mark.e2e
SECOND_MODEL = Model(name="second-model")


@pytest.mark.parametrize("moment", [CrashMoment.ANSWER_LOST, CrashMoment.SURVIVES_LOST_ANSWER])
def test_crash_during_create_leaves_nothing_stuck(settled: Demo, moment: CrashMoment) -> None:
    """crossplane#3037.

    Killed right after AWS made an API, whose id is AWS's choice and whose creation knows no client token: the next run
    finds it by looking, goes on, and nobody has to take anything away by hand. There is one API; the same for a lost
    answer that the controller survives. (Every other call of a model's life: `tests/reliability/`.)
    """
    settled.models = (Model(), SECOND_MODEL)
    crash_injector = CrashInjector()
    crash_injector.should_crash = lambda when, point: (
        when is moment and point.startswith("apigatewayv2.create_api ") and not crash_injector.hit
    )
    settled.hooks = (crash_injector,)
    if moment is CrashMoment.ANSWER_LOST:
        with pytest.raises(CrashedError):
            settled.reconcile_until_settled()
    assert exit_code(settled.reconcile_until_settled().statuses) == 0
    assert crash_injector.hit
    apis = [api["Name"] for api in settled.aws_client().iter_items("apigatewayv2", "get_apis", "Items")]
    assert len(apis) == len(set(apis)) == 2
    settled.models, settled.hooks = (Model(),), ()
    settled.reconcile_until_settled(removed_specs=[SECOND_MODEL.key])


def test_waiting_polls_sparingly(settled: Demo) -> None:
    """provider-aws#847.

    While a training runs for an hour, a pass writes nothing, reads so much and no more, and says when to look again:
    less than ten reads a second, of all services together, where 70 were complained of.
    """
    settled.models = (replace(Model(), rounds=1_000_000, depth=4),)
    for _ in range(3):
        settled.reconciler().reconcile(settled.spec_contexts())
    reconciler = settled.reconciler()
    done = reconciler.reconcile(settled.spec_contexts())
    assert condition_of(done, "Trained") == ("False", "Training")
    assert (done.completed_steps, reconciler.aws.call_counter.writes) == ((), 0)
    assert done.requeue_after is not None
    assert reconciler.aws.call_counter.reads / done.requeue_after < 10
