"""The bill of materials of an image: CycloneDX, of the layers on the base, and of the base's own packages.

Format: https://cyclonedx.org/docs/1.6/json/. It contains no time, so equal images have equal bills.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from controller.bundle import runtime_files
from controller.bundle.build import Bundle
from controller.bundle.image import AssembledImage
from controller.bundle.inventory import Inventory, Package

MEDIA_TYPE = "application/vnd.cyclonedx+json"


def build_sbom(
    image: AssembledImage, bundle: Bundle, *, base_digest: str, base_inventory: Inventory, server_version: str
) -> bytes:
    """Return the bill of materials.

    `base_digest` is the base image's digest, `server_version` the inference server's.
    """
    manifest = bundle.manifest
    packages = runtime_files.read_pins() if any(layer.role == "dependencies" for layer in image.layers) else {}
    model: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": manifest.name,
        "version": str(manifest.version or ""),
        "hashes": [{"alg": "SHA-256", "content": manifest.model.sha256}],
    }
    components: list[dict[str, Any]] = [
        _base_component(base_digest, base_inventory),
        {"type": "application", "bom-ref": "server", "name": "moorage-inference-server", "version": server_version},
        model,
        *(_package_component(Package("pypi", name, version)) for name, version in sorted(packages.items())),
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, image.digest)}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": "image", "name": manifest.name, "version": image.digest}
        },
        "components": components,
        "dependencies": [{"ref": "image", "dependsOn": [component["bom-ref"] for component in components]}],
        **({"compositions": [{"aggregate": "incomplete", "assemblies": ["base"]}]} if base_inventory.gap else {}),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _base_component(digest: str, inventory: Inventory) -> dict[str, Any]:
    """Return the base with its own packages below it, and with a note on what is unknown of it."""
    base: dict[str, Any] = {"type": "container", "bom-ref": "base", "name": "base", "version": digest}
    name, _, version = inventory.distribution.partition("-")
    system = {"type": "operating-system", "bom-ref": "base/system", "name": name, "version": version}
    below = [_package_component(package, inventory.distribution, "base/") for package in inventory.packages]
    if name:
        below.insert(0, system)
    if inventory.gap:
        base["properties"] = [{"name": "dev.moorage:gap", "value": inventory.gap}]
    return {**base, "components": below} if below else base


def _package_component(package: Package, distribution: str = "", place: str = "") -> dict[str, Any]:
    purl = _purl(package, distribution)
    named = {"name": package.name, "version": package.version, "purl": purl}
    return {"type": "library", "bom-ref": place + purl, **named}


def _purl(package: Package, distribution: str) -> str:
    """Return a package's URL.

    Source: https://github.com/package-url/purl-spec
    """
    kind, name = package.kind, quote(package.name, safe="")
    if kind == "deb":
        name = f"{distribution.partition('-')[0] or 'debian'}/{name}"
    reported = {"arch": package.architecture, "distro": distribution} if kind == "deb" else {}
    qualifiers = "&".join(f"{key}={quote(value, safe=':')}" for key, value in reported.items() if value)
    return f"pkg:{kind}/{name}@{quote(package.version, safe=':')}{f'?{qualifiers}' if qualifiers else ''}"
