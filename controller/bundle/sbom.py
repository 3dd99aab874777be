"""The bill of materials of an image: CycloneDX, of what is put onto the base; the base itself stands there by its digest.

Format: https://cyclonedx.org/docs/1.6/json/. Nothing of the day is in it, so equal images have equal bills.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from controller.bundle import closure
from controller.bundle.build import Bundle
from controller.bundle.image import Image

MEDIA_TYPE = "application/vnd.cyclonedx+json"


def bill(image: Image, bundle: Bundle, *, base: str, server: str) -> bytes:
    """Write the bill: `base` is the base image's digest, `server` the inference server's version."""
    manifest = bundle.manifest
    packages = closure.pins() if any(layer.role == "dependencies" for layer in image.layers) else {}
    model: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": manifest.name,
        "version": str(manifest.version or ""),
        "hashes": [{"alg": "SHA-256", "content": manifest.model.sha256}],
    }
    components: list[dict[str, Any]] = [
        {"type": "container", "bom-ref": "base", "name": "base", "version": base},
        {"type": "application", "bom-ref": "server", "name": "moorage-inference-server", "version": server},
        model,
        *(_package(name, version) for name, version in sorted(packages.items())),
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
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _package(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
