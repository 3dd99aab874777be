"""Complaint 8: a crash in mid-create leaves something ambiguous and stuck; and polling is throttled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.runtime.once import exit_code
from tests.complaints.conftest import told
from tests.demo import Demo, Model
from tests.reliability.killer import CrashedError, Killer, Moment

pytestmark = pytest.mark.e2e
SECOND = Model(name="second-model")


@pytest.mark.parametrize("moment", [Moment.LOST, Moment.UNSURE])
def test_a_crash_in_mid_create_leaves_nothing_stuck(settled: Demo, moment: Moment) -> None:
    """crossplane#3037.

    Killed right after AWS made an API, whose id is AWS's choice and whose creation knows no client token: the next run
    finds it by looking, goes on, and nobody has to take anything away by hand. There is one API; the same for a lost
    answer that the controller survives. (Every other call of a model's life: `tests/reliability/`.)
    """
    settled.models = (Model(), SECOND)
    killer = Killer()
    killer.kill = lambda when, point: when is moment and point.startswith("apigatewayv2.create_api ") and not killer.hit
    settled.hooks = (killer,)
    if moment is Moment.LOST:
        with pytest.raises(CrashedError):
            settled.go()
    assert exit_code(settled.go().statuses) == 0
    assert killer.hit
    apis = [api["Name"] for api in settled.door().pages("apigatewayv2", "get_apis", "Items")]
    assert len(apis) == len(set(apis)) == 2
    settled.models, settled.hooks = (Model(),), ()
    settled.go(gone=[SECOND.key])


def test_what_is_waited_for_is_asked_for_rarely(settled: Demo) -> None:
    """provider-aws#847.

    While a training runs for an hour, a pass writes nothing, reads so much and no more, and says when to look again: less
    than ten reads a second, of all services together, where 70 were complained of.
    """
    settled.models = (replace(Model(), rounds=1_000_000, depth=4),)
    for _ in range(3):
        settled.reconciler().reconcile(settled.wants())
    reconciler = settled.reconciler()
    done = reconciler.reconcile(settled.wants())
    assert told(done, "Trained") == ("False", "Training")
    assert (done.done, reconciler.aws.calls.write) == ((), 0)
    assert done.after is not None
    assert reconciler.aws.calls.read / done.after < 10
