"""Complaint 6: a training job's name that is taken is never told, and deleting a failed job trains again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from controller.core.graph import get_output
from controller.core.ownership import OWNER_TAG
from controller.core.plan import Action, Step
from controller.core.values import UNKNOWN
from tests.complaints.conftest import condition_of, model_status, reconcile_collecting_steps
from tests.demo import Demo, Model

pytestmark = pytest.mark.e2e
JOB = "sagemaker/training-job"
FOREIGN_OWNER = "ModelService/somebody-else"
PASSES = 20


def jobs(demo: Demo) -> Mapping[str, str]:
    listed: Any = demo.aws_client().iter_items("sagemaker", "list_training_jobs", "TrainingJobSummaries")
    return {job["TrainingJobName"]: job["TrainingJobStatus"] for job in listed}


def test_taken_job_name_is_reported_with_its_owner(settled: Demo) -> None:
    """ACK community#1012.

    Somebody else has a job of the very name that ours would have: the plan refuses it and says whose it is, the spec is
    Degraded for it, and what serves goes on; their job isn't taken for ours, and no model comes of it.
    """
    settled.models = (replace(Model(), depth=3),)
    survey = settled.survey()
    node = next(node for node in survey.graph.topological_order() if node.key.kind == JOB)
    node = node.resolve(lambda ref: get_output(survey.seen, ref, UNKNOWN))
    theirs = replace(node, desired={**node.desired, "tags": {**node.desired["tags"], OWNER_TAG: FOREIGN_OWNER}})
    settled.registry[JOB].apply(settled.aws_client(), Step(Action.CREATE, theirs, Model().key), None)
    (refusal,) = settled.survey().plan.refusals
    assert f"belongs to {FOREIGN_OWNER}" in refusal.message
    before = jobs(settled)
    done = settled.reconcile_until_settled()
    assert condition_of(done, "Degraded") == ("True", "Refused")
    assert condition_of(done, "Trained") == ("False", "Refused")
    assert jobs(settled).keys() == before.keys()
    (state,) = (state for state in model_status(done).resources if state.key.kind == JOB)
    assert FOREIGN_OWNER in state.message
    (version,) = (record for record in settled.store.list_records("default") if record.key.kind == "ecr/image")
    assert version.outputs


def test_failed_job_is_not_retried_automatically(settled: Demo) -> None:
    """kubeflow/trainer#3737.

    It stays failed in pass after pass, told once; deleted from SageMaker it isn't trained again either, as nobody asked
    for that: another spec or `moorage retry` does.
    """
    settled.models = (replace(Model(), rounds=3, objective="reg:logistic"),)
    done = settled.reconcile_until_settled()
    assert condition_of(done, "Trained") == ("False", "TrainingFailed")
    (name,) = (name for name, state in jobs(settled).items() if state == "Failed")
    events, reconciler = len(settled.store.list_events()), settled.reconciler()
    for _ in range(PASSES):
        assert reconciler.reconcile(settled.spec_contexts()).requeue_after is None
    assert reconciler.aws.call_counter.writes == 0
    assert len(settled.store.list_events()) == events
    settled.aws_client().write("sagemaker", "delete_training_job", TrainingJobName=name)
    assert condition_of(settled.reconcile_until_settled(), "Trained") == ("False", "TrainingFailed")
    assert name not in jobs(settled)
    settled.models = (Model(),)
    assert JOB not in {step.node.key.kind for step in reconcile_collecting_steps(settled)}
