"""Writes packaging/anyecg-edge.cdx.json, the software bill of materials of the device install (CycloneDX 1.6).

    python3 packaging/sbom.py          # `make lock` runs it, too

Its only input is constraints/device.txt, so the same lock gives the same bytes: no time, no random serial number, and
nothing of the machine that runs it. The wheel carries the file in .dist-info/sboms (PEP 770). It names no version of
the kit itself: that is the version of the wheel around it.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEVICE = ROOT / "constraints" / "device.txt"
SBOM = ROOT / "packaging" / "anyecg-edge.cdx.json"


def parts(lock: str) -> list[dict[str, Any]]:
    """Returns one component for each package and version of a hash-locked file, sorted, with all its hashes.

    A component has the environment markers of its lines; a package that several markers ask for in one version is one.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in lock.replace("\\\n", " ").splitlines():
        match = re.match(r"([a-z0-9.-]+)==([\w.!+]+)(?: ; (.*?))?\s+(--hash=.*)", line)
        if match is None:
            continue
        name, version, marker, hashes = match.groups()
        purl = f"pkg:pypi/{name}@{version}"
        part = found.setdefault(purl, {"markers": set(), "hashes": set(), "name": name, "version": version})
        part["markers"].add(marker or "")
        part["hashes"].update(re.findall(r"sha256:([0-9a-f]{64})", hashes))
    return [component(purl, part) for purl, part in sorted(found.items())]


def component(purl: str, part: dict[str, Any]) -> dict[str, Any]:
    """Returns the CycloneDX object of one package."""
    return {
        "type": "library",
        "bom-ref": purl,
        "name": part["name"],
        "version": part["version"],
        "purl": purl,
        # One hash for each file of the release (wheels of several machines, source): a machine installs one of them.
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{part['name']}/{part['version']}/",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in sorted(part["hashes"])],
            }
        ],
        "properties": [{"name": "anyecg:marker", "value": marker} for marker in sorted(part["markers"]) if marker],
    }


def text() -> str:
    """Returns the file's text."""
    lock = DEVICE.read_text(encoding="utf-8")
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "anyecg-edge",
                "name": "anyecg-edge",
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": parts(lock),
        "dependencies": [{"ref": "anyecg-edge", "dependsOn": [c["purl"] for c in parts(lock)]}],
    }
    return json.dumps(bom, indent=1) + "\n"


if __name__ == "__main__":
    SBOM.write_text(text(), encoding="utf-8")
    print(SBOM.relative_to(ROOT))
