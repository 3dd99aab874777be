"""What the image weighs and what a change of it costs: `make bench-image`.

Sizes are of the layers beyond the base, unpacked and as they are uploaded; times are of CPU, of this process and its
children. Digests are of the whole image, made anew in processes under other settings. Limits are asserted: a figure
beyond one ends the run with 1.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.image.sample_image import InMemoryRepository, build_image
from controller.bundle import runtime_files
from controller.bundle.layers import Layer
from controller.bundle.publish import publish_image

ROOT = Path(__file__).resolve().parents[2]
UNPACKED_LIMIT, CPU_LIMIT = 50_000_000, 2.0


@dataclass
class Report:
    """Lines of figures, and what is beyond its limit."""

    figures: dict[str, Any] = field(default_factory=dict)
    exceeded: list[str] = field(default_factory=list)

    def add(self, name: str, value: Any, limit: Any = None, *, ok: bool = True) -> None:
        self.figures[name] = value
        print(f"{name:<58} {value!s:>16}{f'   limit {limit}' if limit is not None else ''}")
        if not ok:
            self.exceeded.append(name)


def main() -> int:
    """Measure, print, and write figures.json beside this file with --write."""
    report = Report()
    with tempfile.TemporaryDirectory() as directory:
        cache = Path(directory)
        measure_sizes(report, cache)
        measure_model_change(report, cache)
        compare_digests(report)
    report.figures["machine"] = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    if "--write" in sys.argv:
        Path(__file__).with_name("figures.json").write_text(json.dumps(report.figures, indent=2) + "\n")
    for name in report.exceeded:
        print(f"beyond its limit: {name}", file=sys.stderr)
    return 1 if report.exceeded else 0


def measure_sizes(report: Report, cache: Path) -> None:
    """Each layer, unpacked and packed; and what building it the first time costs."""
    image, cpu_seconds = measure_cpu(lambda: build_image(0, cache))
    total = 0
    for layer in image.layers:
        total += (size := unpacked(layer))
        report.add(f"{layer.role} layer, unpacked, bytes", size)
        report.add(f"{layer.role} layer, uploaded, bytes", layer.size)
    report.add("beyond the base, unpacked, bytes", total, UNPACKED_LIMIT, ok=total <= UNPACKED_LIMIT)
    report.add("first build, CPU s", round(cpu_seconds, 2))


def measure_model_change(report: Report, cache: Path) -> None:
    """A new model on an unchanged server, from its bundle to the registry."""
    registry = InMemoryRepository()
    publish_image(build_image(0, cache), registry, registry, "v1")
    before = dict(registry.blobs)
    image, cpu_seconds = measure_cpu(lambda: build_image(1, cache))
    _, pushing = measure_cpu(lambda: publish_image(image, registry, registry, "v2"))
    new = registry.blobs.keys() - before.keys()
    layers = len(new & {layer.digest for layer in image.layers})
    report.add("new model: CPU s", round(cpu_seconds + pushing, 2), CPU_LIMIT, ok=cpu_seconds + pushing <= CPU_LIMIT)
    report.add("new model: layers uploaded", layers, 1, ok=layers == 1)
    report.add(
        "new model: bytes uploaded, config and manifest included",
        sum(map(len, (registry.blobs[d] for d in new))) + len(image.manifest),
    )


PROCESS_SETTINGS: dict[str, dict[str, str]] = {
    "as it is": {},
    "umask 077": {"BENCH_UMASK": "77"},
    "umask 002": {"BENCH_UMASK": "2"},
    "another time zone, language, hash seed, home": {
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
        "HOME": "/",
    },
    "SOURCE_DATE_EPOCH": {"SOURCE_DATE_EPOCH": "1"},
}


def compare_digests(report: Report) -> None:
    """The image's digest under other settings, from the locked wheels, and under other Pythons that are on the path."""
    digests = {name: digest_under(sys.executable, env) for name, env in PROCESS_SETTINGS.items()}
    digests["packages from the locked wheels"] = digest_under(sys.executable, {"BENCH_WHEELS": "1"})
    for minor in (12, 13, 14):
        digests[f"Python 3.{minor}"] = digest_under(f"python3.{minor}", {"BENCH_WHEELS": "1"})
    known = {name: digest for name, digest in digests.items() if digest}
    for name, digest in digests.items():
        report.add(f"digest, {name}", digest[:16] or "not measured")
    report.add("different digests", len(set(known.values())), 1, ok=len(set(known.values())) == 1)


def digest_under(python: str, settings: dict[str, str]) -> str:
    """The digest that a process under these settings gives; nothing where it can't run."""
    site = str(Path(runtime_files.__file__).parents[2])
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), site, packages])} | settings
    command = [python, "-m", "benchmarks.image.sample_image"]
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    except OSError:
        return ""
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1:], file=sys.stderr)
    return done.stdout.strip()


def unpacked(layer: Layer) -> int:
    """The bytes of a layer's files."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.content))) as archive:
        return sum(member.size for member in archive)


def measure_cpu(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the CPU seconds of this process and its children."""

    def spent() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))

    start = spent()
    return work(), spent() - start


if __name__ == "__main__":
    sys.exit(main())
