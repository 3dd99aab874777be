"""The output of `moorage diff`: a unified diff of each object, with the origin of each field's difference."""

from __future__ import annotations

import json
from dataclasses import replace

from controller.cli.output import diff_view
from controller.core.diff import Change
from controller.core.drift import FieldDifference, Origin, ResourceDrift
from controller.core.graph import Node
from controller.core.plan import Action, Refusal, Step
from controller.core.values import ABSENT, UNKNOWN, Key

MODEL = Key("default", "ModelService", "housing-model")


def resource_drift(
    kind: str, action: Action, known_as: str, *fields: FieldDifference, reason: str = ""
) -> ResourceDrift:
    node = Node(Key("default", kind, "housing-model"), {})
    return ResourceDrift(Step(action, node, MODEL, tuple(field.change for field in fields), reason), known_as, fields)


FOUND = [
    resource_drift(
        "logs/log-group",
        Action.UPDATE,
        "arn:logs",
        FieldDifference(Change("retention", 1, 30), Origin.DRIFT),
        FieldDifference(Change("tags.team", ABSENT, "risk"), Origin.SPEC),
    ),
    resource_drift(
        "ec2/security-group",
        Action.UPDATE,
        "sg-1",
        FieldDifference(Change("ingress", [{"port": 8080}, {"port": 22}], [{"port": 8080}]), Origin.BOTH, []),
    ),
    resource_drift(
        "ecs/service",
        Action.UPDATE,
        "arn:ecs",
        FieldDifference(Change("taskDefinition", "a:1", UNKNOWN), Origin.FOLLOWS),
    ),
    resource_drift(
        "ecr/repository", Action.CREATE, "", FieldDifference(Change("tags", ABSENT, {"a": "b"}), Origin.DRIFT)
    ),
    resource_drift("ecr/image", Action.DELETE, "", reason="superseded"),
]
REFUSALS = [Refusal(FOUND[0].step.node, MODEL, "it belongs to nobody", "rename the spec")]
TEXT = """\
--- live      logs/log-group housing-model  arn:logs
+++ declared  logs/log-group housing-model  ModelService housing-model
@@ retention @@ drift: changed in AWS since it was applied
-1
+30
@@ tags.team @@ the spec changed
+"risk"
--- live      ec2/security-group housing-model  sg-1
+++ declared  ec2/security-group housing-model  ModelService housing-model
@@ ingress @@ drift, and the spec changed: last applied as []
 [
   {
     "port": 8080
-  },
-  {
-    "port": 22
   }
 ]
--- live      ecs/service housing-model  arn:ecs
+++ declared  ecs/service housing-model  ModelService housing-model
@@ taskDefinition @@ follows from another change
-"a:1"
+(known after apply)
Only declared: ecr/repository housing-model  (drift: deleted in AWS since it was applied)
Only live: ecr/image housing-model  (superseded)
! logs/log-group housing-model: it belongs to nobody (rename the spec)

5 objects differ: 1 drift: deleted in AWS since it was applied; 1 superseded; \
fields 1 by drift, 1 by a changed spec, 1 by both, 1 following from others; 1 refused."""


def test_a_difference_reads_as_a_unified_diff() -> None:
    """`-` is live, `+` is declared; an object on one side only gets one line; the last line counts."""
    assert diff_view.diff_text(FOUND, REFUSALS).plain == TEXT


def test_difference_kept_by_a_policy_is_marked() -> None:
    """A difference that a policy holds says that no pass will correct it."""
    item = FOUND[2]
    left = replace(item, step=replace(item.step, held="Drifted"))
    line = "@@ taskDefinition @@ follows from another change; not corrected: policy.driftCorrection is false"
    assert line in diff_view.diff_text([left], []).plain.splitlines()


def test_no_difference_is_stated() -> None:
    """Without differences, the output is a sentence instead of nothing."""
    assert diff_view.diff_text([], []).plain == "No difference: AWS matches the specs."


def test_a_difference_is_json() -> None:
    """JSON has every difference, `null` for absent values, and `applied` if it is neither live nor declared."""
    data = json.loads(json.dumps(diff_view.diff_data(FOUND, REFUSALS)))
    assert data["differs"] is True
    assert data["summary"] == {"objects": 5, "drifted": 3, "fields": {"drift": 1, "spec": 1, "both": 1, "follows": 1}}
    assert data["objects"][0]["fields"] == [
        {"path": "retention", "live": 1, "declared": 30, "origin": "drift"},
        {"path": "tags.team", "live": None, "declared": "risk", "origin": "spec"},
    ]
    assert data["objects"][1]["fields"][0]["applied"] == []
    assert [item["origin"] for item in data["objects"]] == ["both", "both", "follows", "drift", "spec"]
    assert data["refusals"][0]["hint"] == "rename the spec"


def test_drift_option_shows_only_drift() -> None:
    """`--drift` shows the objects with at least one drifted field."""
    assert [diff_view.has_drift(item) for item in FOUND] == [True, True, False, True, False]
