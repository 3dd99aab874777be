"""Tasks as Docker containers: read-only if the definition says so, the image's user, the task's CPU and memory enforced.

A container shares the machine's network, where the task has a loopback address of its own; so only the addresses in its
command are translated. `docker run` stays in the foreground and stands for the container: signals, output and the exit
code go through it, and everything else is the process runner's.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded_aws.errors import SettingError
from embedded_aws.registry.blobs import DIRECTORY, Blobs
from embedded_aws.tasks.command import Place
from embedded_aws.tasks.fleet import Fleet
from embedded_aws.tasks.image import PulledImage, PullError, look_up
from embedded_aws.tasks.model import Container, Task
from embedded_aws.tasks.process import ProcessRunner

_REPOSITORY = "moorage-local"
_LABEL = "dev.moorage.home"
# What the command line itself needs; variables of a container never replace them.
_CLIENT = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT")


class DockerRunner(ProcessRunner):
    """Starts tasks in the Docker daemon of this machine."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._docker = docker()

    def clear(self) -> None:
        """Remove containers of this home that a killed program has left."""
        left = (
            run(self._docker, "ps", "--all", "--quiet", f"--filter=label={_LABEL}={self._home}").stdout.decode().split()
        )
        if left:
            run(self._docker, "rm", "--force", *left)

    def fetch(self, task: Task, container: Container, architecture: str, directory: Path) -> PulledImage:
        """Load the image into the daemon, unless it is there."""
        del task, directory
        image = look_up(self._fleet.world, container.image, architecture)
        if run(self._docker, "image", "inspect", _name(image)).returncode:
            self._load(image)
        return image

    def place(self, task: Task, container: Container, image: PulledImage, directory: Path) -> Place:
        """A container of its own, named by the task."""
        name = f"moorage-{task.id[:12]}-{container.name}"
        limits = (f"--label={_LABEL}={self._home}", *_limits(task, container.definition))
        return ContainerPlace("python", directory, task.address, self._docker, name, _name(image), limits)

    @property
    def _home(self) -> str:
        return str(self._fleet.world.home)

    def _load(self, image: PulledImage) -> None:
        """Hand the blobs to `docker load`, in the order that it wants: what it reads first, first."""
        blobs = Blobs(self._fleet.world.home / DIRECTORY)
        config = image.manifest.config
        assert config is not None  # noqa: S101  (looked up)
        layers = [layer.digest.removeprefix("sha256:") for layer in image.manifest.layers]
        index = [{"Config": "config.json", "RepoTags": [_name(image)], "Layers": layers}]
        loading = subprocess.Popen(
            [self._docker, "load", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert loading.stdin is not None  # noqa: S101  (it was started with a pipe)
        try:
            with tarfile.open(fileobj=loading.stdin, mode="w|") as archive:
                _add(archive, "manifest.json", json.dumps(index).encode())
                _add(archive, "config.json", blobs.path(config.digest).read_bytes())
                for layer in dict.fromkeys(layers):
                    archive.add(blobs.path(f"sha256:{layer}"), layer, recursive=False)
            loading.stdin.close()
        except BrokenPipeError:
            pass  # the daemon says why
        said = loading.stdout.read().decode(errors="replace") if loading.stdout else ""
        if loading.wait():
            raise PullError(f"docker load: {said.strip()}")


@dataclass(frozen=True)
class ContainerPlace(Place):
    """A container in Docker: `name` is its own, `image` the daemon's name for its image, `limits` options of `docker run`."""

    docker: str
    name: str
    image: str
    limits: tuple[str, ...]

    def start(self, words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        """Return `docker run`; variables are named in it, their values only in its environment."""
        named = [f"--env={name}" for name in sorted(variables) if name not in _CLIENT]
        entry, *arguments = (self._word(word) for word in words)
        options = ["--rm", f"--name={self.name}", "--network=host", *self.limits, *named, f"--entrypoint={entry}"]
        return [self.docker, "run", *options, self.image, *arguments]

    def probe(self, words: Sequence[str]) -> list[str]:
        """Return `docker exec`."""
        return [self.docker, "exec", self.name, *(self._word(word) for word in words)]

    def end(self) -> None:
        """Remove the container, whose client may have been killed."""
        run(self.docker, "rm", "--force", self.name)

    def environment(
        self, host: Mapping[str, str], image: Sequence[str], container: Sequence[Mapping[str, str]], region: str
    ) -> dict[str, str]:
        """Return the client's few variables and the container's own; the image's are in the image."""
        del image
        base = {name: host[name] for name in _CLIENT if name in host}
        own = {entry["name"]: self._word(entry["value"]) for entry in container if entry["name"] not in _CLIENT}
        return base | {"AWS_REGION": region, "AWS_DEFAULT_REGION": region} | own

    def _word(self, word: str) -> str:
        return word.replace("0.0.0.0", self.address).replace("127.0.0.1", self.address)  # noqa: S104


def docker() -> str:
    """Return the command line's path. Raise SettingError if there is none, or no daemon answers it."""
    found = shutil.which("docker")
    if found is None:
        raise SettingError(
            "--runner docker needs Docker, which isn't installed", hint="leave --runner out: tasks are processes then"
        )
    asked = run(found, "version", "--format={{.Server.Version}}")
    if asked.returncode:
        why = asked.stderr.decode(errors="replace").strip()
        raise SettingError("no Docker daemon answers", why=why, hint="start it, or set DOCKER_HOST")
    return found


def run(program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command of Docker's to its end."""
    return subprocess.run([program, *words], capture_output=True, check=False, env=os.environ)


def _name(image: PulledImage) -> str:
    return f"{_REPOSITORY}:{image.digest.removeprefix('sha256:')}"


def _limits(task: Task, definition: Mapping[str, Any]) -> list[str]:
    """What Fargate enforces: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html."""
    limits = [f"--cpus={int(task.definition.cpu) / 1024:g}", f"--memory={int(task.definition.memory)}m"]
    limits += ["--cap-drop=ALL", "--security-opt=no-new-privileges"]
    return [*limits, "--read-only"] if definition.get("readonlyRootFilesystem") else limits


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
