"""What a history keeps, revision by revision."""

from __future__ import annotations

from dataclasses import replace

from controller.core.history import PROGRESSING, READY, SUPERSEDED, Revision, update_history
from controller.core.status import Condition, Status, build_revision
from controller.core.values import Key

FIRST = Revision(1, "t1", "aaa")


def record_passes(*revisions: Revision, limit: int = 10) -> tuple[Revision, ...]:
    kept: tuple[Revision, ...] = ()
    for revision in revisions:
        kept = update_history(kept, revision, limit)
    return kept


def test_a_revision_grows_until_it_is_ready():
    """Time and commit are those of its beginning; model, image and result those of its end."""
    trained = replace(FIRST, time="t2", commit="bbb", version=1)
    ready = replace(trained, time="t3", image="i@1", result=READY)
    assert record_passes(FIRST, trained, ready) == (replace(ready, time="t1", commit="aaa"),)


def test_ready_revision_stays_ready():
    """A drift, its correction and a crash of tasks are no revisions, and another commit of the same spec is none
    either.
    """
    ready = replace(FIRST, version=1, image="i@1", result=READY)
    drifted = replace(ready, time="t5", commit="ccc", result=PROGRESSING)
    assert record_passes(ready, drifted, ready, replace(drifted, result="TrainingFailed")) == (ready,)


def test_another_model_under_the_same_spec_is_a_revision():
    """A version that was approved later, or a server of a newer release."""
    ready = replace(FIRST, version=1, image="i@1", result=READY)
    approved = replace(ready, time="t9", version=2, image="i@2")
    assert record_passes(ready, approved) == (ready, approved)


def test_a_new_generation_ends_the_one_before():
    """One that was not done is superseded; one that failed keeps its reason."""
    second = replace(FIRST, generation=2, time="t2")
    assert [revision.result for revision in record_passes(FIRST, second)] == [SUPERSEDED, PROGRESSING]
    failed = replace(FIRST, result="GateFailed", message="too bad")
    assert record_passes(failed, second) == (failed, second)


def test_history_is_limited():
    """The newest."""
    kept = record_passes(*(replace(FIRST, generation=number, result=READY) for number in range(1, 30)), limit=3)
    assert [revision.generation for revision in kept] == [27, 28, 29]


def test_failures_do_not_displace_ready_revisions():
    """A rollback may go back to what was ready, however often something failed since."""
    ready = [replace(FIRST, generation=number, result=READY) for number in (1, 2, 3)]
    failed = [replace(FIRST, generation=number, result="GateFailed") for number in range(4, 30)]
    kept = record_passes(*ready, *failed, limit=2)
    assert [revision.generation for revision in kept] == [2, 3, 28, 29]


def test_results_come_from_the_conditions():
    """Ready, under way, or why not."""

    def result(**conditions: tuple[str, str]) -> tuple[str, str]:
        reported = tuple(Condition(kind, truth, reason, "m") for kind, (truth, reason) in conditions.items())  # type: ignore[arg-type]
        status = Status(Key("e", "ModelService", "n"), 1, "d", reported, {"model": {"version": 7}, "image": "i"})
        revision = build_revision(status, "t")
        assert (revision.version, revision.image) == (7, "i")
        return revision.result, revision.message

    assert result(Ready=("True", "Reconciled")) == (READY, "")
    assert result(Ready=("False", "Training"), Progressing=("True", "Training")) == (PROGRESSING, "")
    assert result(Ready=("False", "GateFailed")) == ("GateFailed", "m")
    failing = {"Progressing": ("True", "Later"), "Degraded": ("True", "TrainingFailed")}
    assert result(Ready=("False", "TrainingFailed"), **failing) == ("TrainingFailed", "m")
