"""The bill of materials: packages by their URLs, the base's own below the base."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from controller.bundle import Bundle, build_bundle, runtime_files
from controller.bundle.image import AssembledImage
from controller.bundle.inventory import Inventory, Package
from controller.bundle.layers import Layer
from controller.bundle.sbom import build_sbom

DEBIAN = (
    Package("deb", "libstdc++6", "12.2.0-14+deb12u1", "amd64"),
    Package("deb", "login", "1:4.13+dfsg1-1", "all"),
    Package("generic", "python", "3.11.14"),
    Package("pypi", "aiohttp", runtime_files.read_pins()["aiohttp"]),
)
PACKAGES = Layer("dependencies", "sha256:diff", "sha256:packed", 0, b"")


def document(lab: Any, brings: Inventory) -> dict[str, Any]:
    model = lab.save(lab.train(lab.rows(0)))
    bundle: Bundle = build_bundle(model, name="m", features=lab.names, target="y", channels=lab.channels())
    made = build_sbom(
        AssembledImage(b"{}", b"{}", (PACKAGES,), ()),
        bundle,
        base_digest="sha256:base",
        base_inventory=brings,
        server_version="0.1.0",
    )
    found: dict[str, Any] = json.loads(made)
    return found


def test_the_bases_packages_stand_below_it(training_data: Any) -> None:
    """By purl, as the specification spells each kind, with the distribution as a component of its own."""
    found = document(training_data, Inventory(DEBIAN, "debian-12"))
    (base,) = [component for component in found["components"] if component["name"] == "base"]
    system, *packages = base["components"]
    assert (system["type"], system["name"], system["version"]) == ("operating-system", "debian", "12")
    assert [package["purl"] for package in packages] == [
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12",
        "pkg:deb/debian/login@1:4.13%2Bdfsg1-1?arch=all&distro=debian-12",
        "pkg:generic/python@3.11.14",
        f"pkg:pypi/aiohttp@{runtime_files.read_pins()['aiohttp']}",
    ]
    assert "compositions" not in found
    assert "properties" not in base


def test_references_are_unique(training_data: Any) -> None:
    """A package that is both in the base and above it is two components."""
    text = json.dumps(document(training_data, Inventory(DEBIAN, "debian-12")))
    refs = Counter[str]()

    def count(value: Any) -> None:
        if isinstance(value, dict):
            refs.update([value["bom-ref"]] if "bom-ref" in value else [])
            for child in value.values():
                count(child)
        elif isinstance(value, list):
            for child in value:
                count(child)

    count(json.loads(text))
    assert set(refs.values()) == {1}


def test_gap_is_reported(training_data: Any) -> None:
    """As CycloneDX has it, and in words."""
    found = document(training_data, Inventory(gap="nobody could read it"))
    (base,) = [component for component in found["components"] if component["name"] == "base"]
    assert base["properties"] == [{"name": "dev.moorage:gap", "value": "nobody could read it"}]
    assert found["compositions"] == [{"aggregate": "incomplete", "assemblies": ["base"]}]
