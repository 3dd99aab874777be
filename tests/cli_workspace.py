"""Moorage as people use it: a directory of specs, an AWS, and the command line between them.

Every test that goes through the command line in processes of its own uses this; who needs the reconciler in the test's
own process uses `tests.demo`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from tests.http_requests import send_request

ROOT = Path(__file__).resolve().parents[1]
NAME = "housing-model"


class CommandResult(NamedTuple):
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


@dataclass
class CliWorkspace:
    """A directory of specs, an AWS, and the command line.

    Without an endpoint, the AWS is the directory's embedded one.
    """

    directory: Path
    endpoint_url: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Start a command in a process of its own; `more` is for Popen."""
        return subprocess.Popen(
            [sys.executable, "-c", "from controller.cli import main; main()", *words],
            cwd=self.directory,
            env=self.environment,
            text=True,
            **({"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more),
        )

    def moorage(self, *words: str, typed: str = "") -> CommandResult:
        """Run a command to its end."""
        process = self.start(*words)
        out, err = process.communicate(typed, timeout=300)
        return CommandResult(process.returncode, out, err)

    def reconcile(self, *words: str) -> CommandResult:
        return self.moorage("reconcile", "--once", "-f", "specs", "-o", "json", *words)

    def plan(self, *words: str) -> CommandResult:
        return self.moorage("plan", "-f", "specs", "-o", "json", *words)

    def json(self, *words: str) -> Any:
        """What a command that goes well prints as JSON."""
        done = self.moorage(*words, "-o", "json")
        assert done.code == 0, done.err
        return done.json

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every command: of this machine's AWS and Moorage, only the embedded AWS's
        weather gets in.
        """
        foreign = [
            name
            for name in os.environ
            if name.startswith(("MOORAGE", "AWS", "GITHUB")) and not name.startswith("MOORAGE_LOCAL_")
        ]
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        ours = {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        local = {"MOORAGE_HOME": str(self.directory / "home"), "MOORAGE_LOCAL": "1"}
        keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "example", "AWS_ENDPOINT_URL": self.endpoint_url}
        return kept | ours | (keys if self.endpoint_url else local) | dict(self.variables)

    def copy_from_repository(self, *names: str) -> None:
        """Copy directories of the repository, as a clone has them."""
        for name in names or ("specs", "data"):
            shutil.copytree(ROOT / name, self.directory / name, dirs_exist_ok=True)

    @property
    def spec(self) -> Path:
        """The demo's spec."""
        return self.directory / "specs/housing-model.yaml"

    def edit(self, *changes: tuple[str, str]) -> None:
        """Write the spec anew, from the one in the repository."""
        text = (ROOT / "specs/housing-model.yaml").read_text()
        for old, new in changes:
            assert old in text, f"{old!r} is not in the spec"
            text = text.replace(old, new)
        self.spec.write_text(text)

    def get(self, name: str = NAME) -> Any:
        return self.moorage("get", name, "-f", "specs", "-o", "json").json

    @property
    def endpoint(self) -> str:
        """Where the model's API is."""
        return str(self.get()["status"]["endpoint"])

    def served_model(self) -> Any:
        """What the API says is served."""
        return json.loads(send_request(f"{self.endpoint}/model")[1])

    @property
    def aws(self) -> str:
        """Where AWS is."""
        return self.endpoint_url or str(self.json("local", "status")["endpoint"])

    def client(self, service: str) -> Any:
        """A client of its own, beside the controller."""
        session = boto3.Session("AKIA", "example", region_name="us-east-1")
        config = Config(inject_host_prefix=False, proxies={}, s3={"addressing_style": "path"})
        return session.client(service, endpoint_url=self.aws, config=config)

    def stop_embedded_aws(self) -> None:
        """End the directory's embedded AWS."""
        assert self.moorage("local", "down").code == 0


def condition(item: Any, kind: str) -> tuple[str, str]:
    """Status and reason of a condition of what `get` gave."""
    found = next(entry for entry in item["status"]["conditions"] if entry["type"] == kind)
    return found["status"], found["reason"]
