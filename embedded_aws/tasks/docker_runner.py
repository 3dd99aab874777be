"""Run tasks as Docker containers. Enforces the image's user, the task's CPU and memory, and a read-only root if set.

A container shares the machine's network, where the task has its own loopback address, so only the addresses in its
command are translated. `docker run` stays in the foreground and represents the container: signals, output and exit code
pass through it. The process runner does everything else.
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
from embedded_aws.images.blobs import DIRECTORY, BlobDirectory
from embedded_aws.tasks.container_runtime import ContainerRuntime
from embedded_aws.tasks.image_pull import PulledImage, PullError, resolve_image
from embedded_aws.tasks.process_runner import ProcessRunner
from embedded_aws.tasks.scheduler import ServiceScheduler
from embedded_aws.tasks.state import EcsTask, TaskContainer

_REPOSITORY = "moorage-local"
_LABEL = "dev.moorage.home"
# The Docker CLI needs these; variables of a container never replace them.
_CLIENT_VARIABLES = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT")


class DockerRunner(ProcessRunner):
    """Starts tasks in the Docker daemon of this machine."""

    def __init__(self, scheduler: ServiceScheduler) -> None:
        super().__init__(scheduler)
        self._docker = find_docker()

    def remove_leftovers(self) -> None:
        """Remove this home's containers that a killed program left behind."""
        container_ids = (
            run_docker(self._docker, "ps", "--all", "--quiet", f"--filter=label={_LABEL}={self._home}")
            .stdout.decode()
            .split()
        )
        if container_ids:
            run_docker(self._docker, "rm", "--force", *container_ids)

    def pull_image(self, task: EcsTask, container: TaskContainer, architecture: str, directory: Path) -> PulledImage:
        """Load the image into the daemon unless it is there."""
        del task, directory
        image = resolve_image(self._scheduler.emulator, container.image, architecture)
        if run_docker(self._docker, "image", "inspect", _image_name(image)).returncode:
            self._load_image(image)
        return image

    def create_runtime(
        self, task: EcsTask, container: TaskContainer, image: PulledImage, directory: Path
    ) -> ContainerRuntime:
        """Return the runtime of a container, named by the task."""
        name = f"moorage-{task.id[:12]}-{container.name}"
        limits = (f"--label={_LABEL}={self._home}", *_resource_options(task, container.definition))
        return DockerRuntime("python", directory, task.address, self._docker, name, _image_name(image), limits)

    @property
    def _home(self) -> str:
        return str(self._scheduler.emulator.home)

    def _load_image(self, image: PulledImage) -> None:
        """Stream the blobs to `docker load` in the order in which it reads them."""
        blobs = BlobDirectory(self._scheduler.emulator.home / DIRECTORY)
        config = image.manifest.config
        assert config is not None  # noqa: S101  (looked up)
        layers = [layer.digest.removeprefix("sha256:") for layer in image.manifest.layers]
        index = [{"Config": "config.json", "RepoTags": [_image_name(image)], "Layers": layers}]
        loading = subprocess.Popen(
            [self._docker, "load", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert loading.stdin is not None  # noqa: S101  (it was started with a pipe)
        try:
            with tarfile.open(fileobj=loading.stdin, mode="w|") as archive:
                _add_member(archive, "manifest.json", json.dumps(index).encode())
                _add_member(archive, "config.json", blobs.blob_path(config.digest).read_bytes())
                for layer in dict.fromkeys(layers):
                    archive.add(blobs.blob_path(f"sha256:{layer}"), layer, recursive=False)
            loading.stdin.close()
        except BrokenPipeError:
            pass  # the daemon's output has the reason
        output = loading.stdout.read().decode(errors="replace") if loading.stdout else ""
        if loading.wait():
            raise PullError(f"docker load: {output.strip()}")


@dataclass(frozen=True)
class DockerRuntime(ContainerRuntime):
    """A container in Docker.

    `name` is the container's name, `image` the daemon's name for its image. `options` are options of `docker run`.
    """

    docker_path: str
    name: str
    image: str
    options: tuple[str, ...]

    def build_start_command(self, words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        """Return the `docker run` command. It names the variables; their values are only in its environment."""
        named = [f"--env={name}" for name in sorted(variables) if name not in _CLIENT_VARIABLES]
        entry, *arguments = (self._translate_word(word) for word in words)
        options = ["--rm", f"--name={self.name}", "--network=host", *self.options, *named, f"--entrypoint={entry}"]
        return [self.docker_path, "run", *options, self.image, *arguments]

    def build_probe_command(self, words: Sequence[str]) -> list[str]:
        """Return the `docker exec` command."""
        return [self.docker_path, "exec", self.name, *(self._translate_word(word) for word in words)]

    def clean_up(self) -> None:
        """Remove the container: its client may have been killed."""
        run_docker(self.docker_path, "rm", "--force", self.name)

    def build_environment(
        self, host: Mapping[str, str], image: Sequence[str], container: Sequence[Mapping[str, str]], region: str
    ) -> dict[str, str]:
        """Return the Docker CLI's variables and the container's own. The image's variables are in the image."""
        del image
        base = {name: host[name] for name in _CLIENT_VARIABLES if name in host}
        own = {
            entry["name"]: self._translate_word(entry["value"])
            for entry in container
            if entry["name"] not in _CLIENT_VARIABLES
        }
        return base | {"AWS_REGION": region, "AWS_DEFAULT_REGION": region} | own

    def _translate_word(self, word: str) -> str:
        return word.replace("0.0.0.0", self.address).replace("127.0.0.1", self.address)  # noqa: S104


def find_docker() -> str:
    """Return the path of the Docker CLI. Raises SettingError when there is none or no daemon answers."""
    docker_path = shutil.which("docker")
    if docker_path is None:
        raise SettingError(
            "--runner docker needs Docker, which isn't installed", hint="leave out --runner to run tasks as processes"
        )
    version = run_docker(docker_path, "version", "--format={{.Server.Version}}")
    if version.returncode:
        why = version.stderr.decode(errors="replace").strip()
        raise SettingError("no Docker daemon answers", why=why, hint="start it, or set DOCKER_HOST")
    return docker_path


def run_docker(program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a Docker command to its end."""
    return subprocess.run([program, *words], capture_output=True, check=False, env=os.environ)


def _image_name(image: PulledImage) -> str:
    return f"{_REPOSITORY}:{image.digest.removeprefix('sha256:')}"


def _resource_options(task: EcsTask, definition: Mapping[str, Any]) -> list[str]:
    """Return the options for the limits that Fargate enforces.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
    """
    limits = [f"--cpus={int(task.definition.cpu) / 1024:g}", f"--memory={int(task.definition.memory)}m"]
    limits += ["--cap-drop=ALL", "--security-opt=no-new-privileges"]
    return [*limits, "--read-only"] if definition.get("readonlyRootFilesystem") else limits


def _add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
