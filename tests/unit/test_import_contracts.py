"""The house's rules about itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def lint_imports(cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports_command as c; sys.path.insert(0, '.'); c()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"],
        cwd=cwd,
        env={"PYTHONPATH": str(cwd)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_broken_import_contract_is_caught(tmp_path: Path) -> None:
    """The contracts can fail: core importing boto3 breaks one, and its name is printed."""
    for room in ("controller", "embedded_aws", "inference_server"):
        _copy(ROOT / room, tmp_path / room)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "controller/core/planted.py").write_text("import boto3\n")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert "boto3 and botocore only in aws and embedded_aws BROKEN" in result.stdout


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*.py"):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
