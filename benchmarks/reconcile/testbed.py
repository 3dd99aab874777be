"""The stage of one measurement: an embedded AWS of its own, spec files, and the controller as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.reconcile import specs
from benchmarks.reconcile.resource_usage import cpu_of
from controller.aws import AwsClient, connect
from controller.aws.ecr_repository import EcrRepository
from controller.bundle import image, runtime_files
from controller.bundle.publish import copy_blob
from embedded_aws import control

ROOT: Final = Path(__file__).resolve().parents[2]
# Tasks are healthy at once, equal training jobs train once, and VPC links take no time.
_ENVIRONMENT: Final = {
    "MOORAGE_LOCAL_RUNNER": "noop",
    "MOORAGE_LOCAL_TRAINER": "once",
    "MOORAGE_LOCAL_VPC_LINK_SECONDS": "0.02",
}
_PUBLIC: Final = "ecr-public/docker/library/python"


class UnmeasurableError(Exception):
    """The figures would mean nothing; the text says why."""


@dataclass(frozen=True)
class Testbed:
    """A directory with specs, and the embedded AWS that runs for them."""

    directory: Path
    pid: int

    def reconcile(self, runs: int = 1) -> list[dict[str, Any]]:
        """Run the controller to its end, and give what each of its turns took. Raises UnmeasurableError."""
        command = [sys.executable, "-m", "benchmarks.reconcile.controller", str(self.home), str(self.specs), str(runs)]
        cpu_before = cpu_of(self.pid)
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        results = [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode or len(results) != runs or any(run["exit_code"] for run in results):
            raise UnmeasurableError(
                f"the controller didn't bring every spec to Ready (it ended with {done.returncode})"
            )
        results[-1]["aws_cpu"] = cpu_of(self.pid) - cpu_before
        return results

    @property
    def home(self) -> Path:
        """Where the embedded AWS and the store live."""
        return self.directory / "home"

    @property
    def specs(self) -> Path:
        """The directory of specs."""
        return self.directory / "specs"


@contextmanager
def create_testbed(count: int) -> Iterator[Testbed]:
    """A stage with `count` ModelServices; all of it is gone afterwards."""
    with TemporaryDirectory(prefix="moorage-reconcile-") as name:
        directory = Path(name)
        specs.write(directory, count)
        saved_environment = dict(os.environ)
        os.environ |= _ENVIRONMENT
        try:
            embedded_aws = control.up(directory / "home")
        finally:
            os.environ.clear()
            os.environ.update(saved_environment)
        try:
            _base_image(connect(region="us-east-1", endpoint=embedded_aws.endpoint))
            yield Testbed(directory, embedded_aws.pid)
        finally:
            control.down(directory / "home")


def _base_image(aws: AwsClient) -> None:
    """Make the base image: the embedded AWS's own, with the label that says that the server is in it."""
    name, _, tag = specs.BASE.partition(":")
    aws.write("ecr", "create_repository", repositoryName=name)
    public, own = EcrRepository(aws, _PUBLIC), EcrRepository(aws, name)
    index = public.get_manifest(tag=f"{runtime_files.PYTHON_VERSION}-slim")
    manifest = public.get_manifest(digest=image.select_platform(index, "amd64"))
    document = json.loads(manifest)
    with public.fetch_blob(image.get_config_digest(manifest)) as body:
        config = json.loads(body.read())
    config["config"]["Labels"] = {image.SERVER_VERSION_LABEL: "benchmark"}
    content = json.dumps(config).encode()
    for layer in document["layers"]:
        copy_blob(layer["digest"], public, own)
    own.push_blob(image.compute_digest(content), [content])
    document["config"] |= {"digest": image.compute_digest(content), "size": len(content)}
    own.put_manifest(json.dumps(document).encode(), document["mediaType"], tag)
