"""Translate a container definition and an image into arguments and environment for this machine. Pure.

A container is a process here, so three things are translated. A leading `python` becomes this program's interpreter.
Paths below `/opt/model` become the directory with the model layer's files. The addresses `0.0.0.0` and `127.0.0.1`
become the task's own loopback address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL_DIRECTORY = "/opt/model"
# These variables name directories of the image's file system, which doesn't exist here.
_IMAGE_PATH_VARIABLES = {"PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "HOME"}
# A Python started from this program needs these to find the same packages.
_HOST_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "SYSTEMROOT")


@dataclass(frozen=True)
class ContainerRuntime:
    """The place where a task's container runs: this machine's interpreter, the task's directory and its address."""

    python: str
    directory: Path
    address: str

    def translate_command(self, words: Sequence[str]) -> list[str]:
        """Translate a container's command into a command on this machine."""
        translated = [self._translate_word(word) for word in words]
        if translated and translated[0] in {"python", "python3"}:
            translated[0] = self.python
        return translated

    def build_start_command(self, words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        """Return the command that starts the container. It runs with `variables` as its environment."""
        del variables
        return self.translate_command(words)

    def build_probe_command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs a health check beside the container."""
        return self.translate_command(words)

    def clean_up(self) -> None:
        """Remove anything that may outlive the started process."""

    def build_environment(
        self, host: Mapping[str, str], image: Sequence[str], container: Sequence[Mapping[str, str]], region: str
    ) -> dict[str, str]:
        """Return the container's environment.

        The container's own variables override Fargate's, which override the image's (`NAME=value`) and the host's few.
        """
        base = {name: host[name] for name in _HOST_VARIABLES if name in host}
        base |= {
            name: value
            for name, _, value in (entry.partition("=") for entry in image)
            if name not in _IMAGE_PATH_VARIABLES
        }
        # Fargate sets both (Amazon ECS developer guide, "Fargate task environment variables").
        base |= {"HOME": str(self.directory), "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
        return base | {entry["name"]: self._translate_word(entry["value"]) for entry in container}

    def _translate_word(self, word: str) -> str:
        local = word.replace(MODEL_DIRECTORY, str(self.directory / MODEL_DIRECTORY.lstrip("/")))
        return local.replace("0.0.0.0", self.address).replace("127.0.0.1", self.address)  # noqa: S104


def build_container_command(container: Mapping[str, Any], image: Mapping[str, Any]) -> list[str]:
    """Join entry point and command as Docker does: the container's own entry point drops the image's command."""
    if container.get("entryPoint"):
        return [*container["entryPoint"], *(container.get("command") or [])]
    return [*(image.get("Entrypoint") or []), *(container.get("command") or image.get("Cmd") or [])]


def build_health_command(command: Sequence[str]) -> list[str]:
    """Return the command of a health check: `["CMD", …]` unchanged, `["CMD-SHELL", text]` in a shell, as ECS does."""
    if command[0] == "CMD-SHELL":
        return ["/bin/sh", "-c", *command[1:]]
    return list(command[1:] if command[0] == "CMD" else command)
