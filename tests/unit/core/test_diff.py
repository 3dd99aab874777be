"""The one diff, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from controller.core.diff import Change, diff
from controller.core.field_policy import FieldPolicy, normalise_json_document, normalise_number
from controller.core.values import ABSENT, UNKNOWN, Blob

PLAIN = FieldPolicy()
INGRESS = FieldPolicy(sets=frozenset({"ingress"}), owned=frozenset({"ingress"}))
CONTAINERS = FieldPolicy(
    keyed={"containers": "name"},
    sets=frozenset({"containers.*.environment"}),
    owned=frozenset({"containers", "containers.*.environment"}),
    defaults={"containers.*.essential": True, "containers.*.health.retries": 3},
)
OPEN_INGRESS = {"port": 22, "cidr": "0.0.0.0/0"}
OUR_INGRESS = {"port": 8080, "cidr": "10.0.0.0/8"}

Fields = dict[str, Any]

# what it shows · last applied · live · desired · policy · the changes
CASES: list[tuple[str, Fields | None, Fields, Fields, FieldPolicy, list[Change]]] = [
    ("equal fields need nothing", None, {"cpu": 256}, {"cpu": 256}, PLAIN, []),
    ("a different field is named with old and new", None, {"cpu": 256}, {"cpu": 512}, PLAIN, [Change("cpu", 256, 512)]),
    ("a field we never set is not ours", None, {"cpu": 256, "arn": "x"}, {"cpu": 256}, PLAIN, []),
    ("null, empty and absent are one", {}, {}, {"a": None, "b": [], "c": {}}, PLAIN, []),
    ("live null, empty and absent are one", None, {"a": None, "b": []}, {"a": [], "c": None}, PLAIN, []),
    (
        "an owned collection that must be empty is not",
        None,
        {"ingress": [OPEN_INGRESS]},
        {"ingress": []},
        INGRESS,
        [Change("ingress", [OPEN_INGRESS], [])],
    ),
    ("an owned collection that nobody mentions is left", None, {"ingress": [OPEN_INGRESS]}, {}, INGRESS, []),
    (
        "a hand-opened ingress rule is drift",
        None,
        {"ingress": [OUR_INGRESS, OPEN_INGRESS]},
        {"ingress": [OUR_INGRESS]},
        INGRESS,
        [Change("ingress", [OPEN_INGRESS, OUR_INGRESS], [OUR_INGRESS])],
    ),
    ("a set has no order", None, {"ids": ["b", "a"]}, {"ids": ["a", "b"]}, FieldPolicy(sets=frozenset({"ids"})), []),
    ("a list has one", None, {"ids": ["b", "a"]}, {"ids": ["a", "b"]}, PLAIN, [Change("ids", ["b", "a"], ["a", "b"])]),
    (
        "an unknown member leaves a set open",
        None,
        {"ids": ["a", "b"]},
        {"ids": ["a", UNKNOWN]},
        FieldPolicy(sets=frozenset({"ids"})),
        [Change("ids", ["a", "b"], ["a", UNKNOWN])],
    ),
    ("an unknown value is a change", None, {"arn": "x"}, {"arn": UNKNOWN}, PLAIN, [Change("arn", "x", UNKNOWN)]),
    (
        "foreign members of a set that is not owned stay",
        {"ids": ["a"]},
        {"ids": ["a", "theirs"]},
        {"ids": ["a"]},
        FieldPolicy(sets=frozenset({"ids"})),
        [],
    ),
    (
        "our dropped member of such a set goes",
        {"ids": ["a", "b"]},
        {"ids": ["a", "b", "theirs"]},
        {"ids": ["a"]},
        FieldPolicy(sets=frozenset({"ids"})),
        [Change("ids", ["a", "b", "theirs"], ["a"])],
    ),
    (
        "256 and '256' where AWS says so",
        None,
        {"cpu": "256"},
        {"cpu": 256},
        FieldPolicy(normalise={"cpu": normalise_number}),
        [],
    ),
    ("256 and '256' elsewhere differ", None, {"cpu": "256"}, {"cpu": 256}, PLAIN, [Change("cpu", "256", 256)]),
    ("True is not 1", None, {"on": 1}, {"on": True}, PLAIN, [Change("on", 1, True)]),
    ("False is not absent", None, {}, {"on": False}, PLAIN, [Change("on", ABSENT, False)]),
    ("0 is not empty", None, {}, {"count": 0}, PLAIN, [Change("count", ABSENT, 0)]),
    ("1 and 1.0 are one number", None, {"rate": 1.0}, {"rate": 1}, PLAIN, []),
    (
        "documents compare by meaning",
        None,
        {"policy": '{"Statement": [{"Action": ["b", "a"]}]}'},
        {"policy": {"Statement": {"Action": ["a", "b"]}}},
        FieldPolicy(normalise={"policy": normalise_json_document}),
        [],
    ),
    (
        "documents differ by meaning",
        None,
        {"policy": '{"Action": "a"}'},
        {"policy": {"Action": "b"}},
        FieldPolicy(normalise={"policy": normalise_json_document}),
        [Change("policy.Action", "a", "b")],
    ),
    (
        "a write-only field is compared with what was applied",
        {"secret": "old"},
        {},
        {"secret": "new"},
        FieldPolicy(write_only=frozenset({"secret"})),
        [Change("secret", "old", "new")],
    ),
    (
        "an applied write-only field needs nothing",
        {"secret": "same"},
        {},
        {"secret": "same"},
        FieldPolicy(write_only=frozenset({"secret"})),
        [],
    ),
    (
        "an ignored field is never compared",
        {"weight": 1},
        {"weight": 9},
        {"weight": 1},
        FieldPolicy(ignore=frozenset({"weight"})),
        [],
    ),
    ("a dropped field without a default goes", {"note": "x"}, {"note": "x"}, {}, PLAIN, [Change("note", "x", ABSENT)]),
    (
        "a dropped field goes back to its default",
        {"timeout": 60},
        {"timeout": 60},
        {},
        FieldPolicy(defaults={"timeout": 30}),
        [Change("timeout", 60, 30)],
    ),
    (
        "a dropped field that is at its default is done",
        {"timeout": 60},
        {"timeout": 30},
        {},
        FieldPolicy(defaults={"timeout": 30}),
        [],
    ),
    (
        "a dropped field is forgotten with the store",
        None,
        {"timeout": 60},
        {},
        FieldPolicy(defaults={"timeout": 30}),
        [],
    ),
    ("a default that AWS leaves out is there", None, {}, {"timeout": 30}, FieldPolicy(defaults={"timeout": 30}), []),
    (
        "merged tags: others' stay",
        {"tags": {"a": "1"}},
        {"tags": {"a": "1", "theirs": "x"}},
        {"tags": {"a": "1"}},
        PLAIN,
        [],
    ),
    (
        "merged tags: ours go when dropped",
        {"tags": {"a": "1", "b": "2"}},
        {"tags": {"a": "1", "b": "2", "theirs": "x"}},
        {"tags": {"a": "1"}},
        PLAIN,
        [Change("tags.b", "2", ABSENT)],
    ),
    (
        "nested defaults on both sides",
        None,
        {"containers": [{"name": "server", "essential": True, "health": {"cmd": "x", "retries": 3}}]},
        {"containers": [{"name": "server", "health": {"cmd": "x"}}]},
        CONTAINERS,
        [],
    ),
    (
        "nested defaults, the other way",
        None,
        {"containers": [{"name": "server", "health": {"cmd": "x"}}]},
        {"containers": [{"name": "server", "essential": True, "health": {"cmd": "x", "retries": 3}}]},
        CONTAINERS,
        [],
    ),
    (
        "a keyed element's field has its path",
        None,
        {"containers": [{"name": "server", "image": "a"}]},
        {"containers": [{"name": "server", "image": "b"}]},
        CONTAINERS,
        [Change("containers.server.image", "a", "b")],
    ),
    (
        "keyed lists have no order",
        None,
        {"containers": [{"name": "b", "image": "x"}, {"name": "a", "image": "y"}]},
        {"containers": [{"name": "a", "image": "y"}, {"name": "b", "image": "x"}]},
        CONTAINERS,
        [],
    ),
    (
        "a renamed keyed element is one gone and one new",
        None,
        {"containers": [{"name": "old", "image": "x"}]},
        {"containers": [{"name": "new", "image": "x"}]},
        CONTAINERS,
        [
            Change("containers.new", ABSENT, {"image": "x", "name": "new"}),
            Change("containers.old", {"image": "x", "name": "old"}, ABSENT),
        ],
    ),
    (
        "a foreign environment variable is drift",
        None,
        {"containers": [{"name": "s", "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]},
        {"containers": [{"name": "s", "environment": [{"name": "A", "value": "1"}]}]},
        CONTAINERS,
        [
            Change(
                "containers.s.environment",
                [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                [{"name": "A", "value": "1"}],
            )
        ],
    ),
    (
        "defaults are written out in members of a set",
        None,
        {"ports": [{"port": 80, "protocol": "tcp"}]},
        {"ports": [{"port": 80}]},
        FieldPolicy(sets=frozenset({"ports"}), defaults={"ports.*.protocol": "tcp"}),
        [],
    ),
    ("content is compared by digest", None, {"body": "ab12"}, {"body": Blob("ab12", 3, lambda: b"abc")}, PLAIN, []),
    (
        "other content is a change of digest",
        None,
        {"body": "ab12"},
        {"body": Blob("cd34", 3, lambda: b"abc")},
        PLAIN,
        [Change("body", "ab12", "cd34")],
    ),
    (
        "a whole missing section is one change",
        None,
        {},
        {"health": {"retries": 3}},
        PLAIN,
        [Change("health", ABSENT, {"retries": 3})],
    ),
]


@pytest.mark.parametrize(
    ("applied", "live", "desired", "policy", "changes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_diff_case(
    applied: Fields | None, live: Fields, desired: Fields, policy: FieldPolicy, changes: list[Change]
) -> None:
    """Each row of the table: these three sides under this policy give exactly these changes."""
    assert list(diff(applied, live, desired, policy)) == changes


REACHABLE = [case for case in CASES if "unknown" not in case[0]]


@pytest.mark.parametrize("case", REACHABLE, ids=[case[0] for case in REACHABLE])
def test_applying_desired_leaves_no_difference(
    case: tuple[str, Fields | None, Fields, Fields, FieldPolicy, list[Change]],
) -> None:
    """Once applied and live are as desired, nothing is left to change, under any policy of the table."""
    _, _, _, desired, policy, _ = case
    assert diff(desired, desired, desired, policy) == ()
