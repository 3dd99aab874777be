"""GitHub Actions gets annotations and a summary that no spec can forge."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from controller.cli.output.github_actions import annotation
from controller.errors import Problem

ROOT = Path(__file__).resolve().parents[3]


def moorage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOORAGE", "AWS", "GITHUB"))}
    return subprocess.run(
        [sys.executable, "-c", "from controller.cli import main; main()", *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_problems_are_annotations_at_their_lines(tmp_path: Path) -> None:
    """Each Problem becomes an `::error` with file, line and column, and a row in the summary; stdout stays empty."""
    summary = tmp_path / "summary.md"
    spec = tmp_path / "a.yaml"
    spec.write_text("kind: Modelservice\n")
    done = moorage(*("reconcile", "--once", "-f", str(spec)), GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert (done.returncode, done.stdout) == (2, "")
    expected = (
        f"::error file={spec},line=1,col=7,title=moorage::unknown kind 'Modelservice' (did you mean 'ModelService'?)"
    )
    assert expected in done.stderr.splitlines()
    assert f"| `{spec}:1` | unknown kind 'Modelservice' |" in summary.read_text()


def test_no_annotations_outside_github_actions(tmp_path: Path) -> None:
    """Outside GitHub Actions, stderr has only the plain messages."""
    (tmp_path / "a.yaml").write_text("kind: X\n")
    assert "::error" not in moorage("validate", "-f", str(tmp_path)).stderr


def test_text_cannot_inject_workflow_commands() -> None:
    """Line ends, percent signs and property separators are escaped."""
    made = annotation(Problem("a,b:c.yaml", 1, 2, "x\n::set-env name=A::1\r%0A"))
    assert made == ("::error file=a%2Cb%3Ac.yaml,line=1,col=2,title=moorage::x%0A::set-env name=A::1%0D%250A")


def test_summary_is_limited_in_size(tmp_path: Path) -> None:
    """The limit is in bytes, minus what the step has written so far; without a summary, `--report github` fails."""
    file = tmp_path / "summary.md"
    code = (
        "from controller.cli.output.github_actions import append_summary, remaining_bytes\n"
        "append_summary('ä' * 10); print(remaining_bytes())"
    )
    for written, environment in ((1024 * 1024 - 21, {"GITHUB_STEP_SUMMARY": str(file)}), (0, {})):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB")}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**kept, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == written
    refused = moorage("plan", "--report", "github")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--report markdown" in refused.stderr
