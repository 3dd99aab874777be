"""The plan report for reviewers: valid Markdown within any size limit, in which untrusted text is never markup."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.cli.output import github_actions
from controller.cli.output.markdown import code_span, escape_prose
from controller.cli.output.plan_report import COMMENT_LIMIT, plan_report
from controller.core.diff import Change
from controller.core.plan import Action, Step
from controller.core.values import ABSENT
from tests.unit.cli.sample_plans import DOCUMENTS, MODEL, REFUSAL, STEPS, node, sample_plan
from tests.unit.cli.test_render_plan import assert_matches_snapshot

HOSTILE_TEXT = (
    "</details><script>alert(1)</script> | a | b |\n# heading\n`` ` ``` @team #1 [x](http://e.example) ![i](//e) "
    "*bold* _it_ ~~no~~ $a$ <!-- www.e.example \u202eabc &lt; \\| :+1:"
)


def plan_with_steps(number: int) -> list[Step]:
    return [
        Step(
            Action.UPDATE,
            node("ecs/service", f"housing-model/{index}"),
            MODEL._replace(name=f"model-{index // 5}"),
            (Change("desiredCount", index, HOSTILE_TEXT), Change("cpu", "256", "512")),
        )
        for index in range(number)
    ]


@pytest.mark.parametrize("name", ["everything", "nothing", "suspended", "refused", "over-budget"])
def test_report_matches_snapshot(name: str) -> None:
    """The report equals its file in `snapshots/`. After an intended change, RENEW=1 rewrites it; read the diff."""
    plan = DOCUMENTS[name]
    # The digest depends on every default of an Environment, so a fixed one replaces it.
    assert_matches_snapshot(f"report-{name}.md", plan_report(plan).replace(plan.digest[:12], "0" * 12))


@pytest.mark.parametrize("limit", [1_500, 2_000, 20_000, COMMENT_LIMIT, 1024 * 1024])
@pytest.mark.parametrize("number", [1, 300])
def test_report_fits_the_limit_and_counts_omissions(limit: int, number: int) -> None:
    """A report stays within its limit in characters or bytes.

    Every block is closed, no line is truncated, and omissions are counted.
    """
    plan = sample_plan(*plan_with_steps(number), refusals=(REFUSAL,))
    for size in (len, github_actions.size_in_bytes):
        text = plan_report(plan, limit, size)
        assert size(text) <= limit
        lines = text.splitlines()
        assert lines.count("<details>") == lines.count("</details>")
        rows = [line for line in lines if line.startswith("|")]
        assert all(line.endswith("|") for line in rows)
        steps = sum("| update |" in line for line in rows)
        assert steps == number or f"{number - steps:,} steps" in text
        fields = sum(line.startswith("| `ecs/service") for line in rows)
        left = [f"{2 * number - fields:,} fields"] if fields < 2 * number else []
        assert all(word in text for word in left)


def test_untrusted_text_cannot_inject_markup() -> None:
    """Text of a spec or an AWS tag stays in its cell and never becomes HTML, a link, a mention or other markup."""
    step = replace(
        STEPS["update"],
        changes=(
            Change("env", ABSENT, HOSTILE_TEXT),
            Change(f"tags.{HOSTILE_TEXT}", HOSTILE_TEXT, [HOSTILE_TEXT, {"name": HOSTILE_TEXT}]),
        ),
    )
    text = plan_report(sample_plan(step, refusals=(replace(REFUSAL, message=HOSTILE_TEXT, hint=HOSTILE_TEXT),)))
    known = {"<details>", "</details>", "<summary>2 fields, old and new</summary>"}
    outside = [
        part for line in text.splitlines() if line not in known for part in line.replace("\\`", "").split("`")[::2]
    ]
    plain = "".join(outside)
    for mark in ("<", "://", "www.e", "@team", "#1 ", "[x]", "\u202e"):
        assert mark not in plain, mark
    tables = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {4, 5, 7}
    assert all(line.count("`") % 2 == 0 for line in (table.replace("\\`", "") for table in tables))


def test_text_stays_text_and_code_stays_code() -> None:
    """Prose is escaped character by character; a code span contains no delimiter; empty text gives no span."""
    assert escape_prose("a_b *c* <d> @e #f | g") == "a\\_b \\*c\\* &lt;d&gt; @\u200be \\#\u200bf \\| g"
    assert code_span("a`b|c\u202e\n") == "`a\\u0060b\\u007cc\\u202e`"
    assert code_span("") == ""
