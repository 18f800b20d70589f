"""Write the results of a validation into a bundle: evidence of every judged head, the report and all hashes.

Only the evidence in the manifest, the section in the model card and the report change. The bundle is replaced
atomically.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibration.report.files import report_files
from calibration.report.text import number, span
from calibration.validate.records import EvidenceRecord, HeadRecord
from convert.bundle.writer import to_json, write_folder
from edge.bundle.files import MANIFEST
from edge.bundle.reader import load_bundle, resolve
from firmware_bridge.errors import CheckFailedError, OutputError, UsageError

BEGIN, END = "<!-- anyecg validate -->", "<!-- /anyecg validate -->"
"""Markers around the section on the last validation in the model card."""

FOLDER = "validation"


def check_writable(bundle: str) -> Path:
    """Return the folder of a bundle if evidence can be written into it; call this before minutes of work.

    Raises:
        UsageError: The bundle is a zip file, which is not changed in place.
    """
    path = resolve(bundle)
    if not path.is_dir():
        raise UsageError(
            f"evidence can be written only into a folder, and {path} is not one", "unpack the bundle first"
        )
    return path


def write_evidence(report: Mapping[str, Any], bundle: str) -> str:
    """Write the evidence.

    Args:
        report: The report, with the content of the JSON file.
        bundle: Folder of the bundle, or ``demo``.

    Returns:
        SHA-256 of the new manifest.

    Raises:
        CheckFailedError: The gate fails; the bundle stays unchanged.
        OutputError: The bundle cannot be written.
    """
    folder = check_writable(bundle)
    if not report["gate"]["ok"]:
        raise CheckFailedError("the gate fails, so no evidence is written", "the bundle is unchanged; read the report")
    was = load_bundle(folder)
    if was.sha256 != report["header"]["bundle"]["manifest_sha256"]:
        raise OutputError(f"{folder} changed while it was judged", "run the command again")
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        files = {name: (folder / name).read_bytes() for name in manifest["files"]}
    except OSError as error:
        raise OutputError(f"cannot read {folder}: {error.strerror}") from error
    heads = {h["key"]: h for h in report["heads"]}
    data = report["header"]["data"]
    if not any(head["enough_patients"] for head in report["heads"]):
        raise CheckFailedError(
            "no output has enough patients of both classes, so no evidence is written",
            "the bundle is unchanged; 'anyecg validate BUNDLE --plan-size' prints how many are needed",
        )
    for output in manifest["outputs"]:
        found = evidence_of(heads[output["key"]], f"{data['name']} ({data['split']}), sha256 {data['sha256'][:16]}")
        if found is not None:
            output["evidence"] = found
    for name, content in report_files(report).items():
        files[f"{FOLDER}/{name}"] = content
    files["MODEL_CARD.md"] = _card(files["MODEL_CARD.md"].decode(), report).encode()
    manifest["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in files.items()
    }
    new = to_json(manifest)
    write_folder(folder, {**files, MANIFEST: new}, "the bundle")
    return hashlib.sha256(new).hexdigest()


def evidence_of(head: HeadRecord, data: str) -> EvidenceRecord | None:
    """Return the evidence of a head for the manifest; ``None`` if it could not be judged, so that the old one stays.

    A head with too few patients is not judged. A head that cannot be distinguished from chance gets limited evidence,
    whatever its point estimate. The device then raises no flag.
    """
    if not head["enough_patients"]:
        return None
    if head["kind"] == "value":
        values = head["values"]
        if values is None:
            return None
        return {
            "auroc": None, "ci": values["mae"]["ci"], "n": head["n"], "positives": None,
            "tier": head["tier"] or "limited", "mae": values["mae"]["value"], "data": data,
        }  # fmt: skip
    if head["auroc"] is None:
        return None
    tier = head["tier"] or "limited"
    return {
        "auroc": head["auroc"], "ci": head["auroc_ci"], "n": head["n"], "positives": head["positives"],
        "tier": tier, "mae": None, "data": data,
    }  # fmt: skip


def _card(text: str, report: Mapping[str, Any]) -> str:
    """Return the model card with a section on this validation, which replaces an older one."""
    h = report["header"]
    rows = []
    for head in report["heads"]:
        if head["kind"] == "value":
            mae = (head["values"] or {"mae": {"value": None, "ci": None}})["mae"]
            result = f"MAE {number(mae['value'])} {head['unit']} ({span(mae['ci'])})"
        else:
            result = f"AUROC {number(head['auroc'])} ({span(head['auroc_ci'])})"
        rows.append(f"| `{head['key']}` | {result} | {head['n']} | {head['positives'] or '–'} | {head['conclusion']} |")
    what = (
        f"`{h['command']}`: {h['counts']['patients']} patients, {h['counts']['windows']} windows; data split "
        f"`{h['data']['sha256'][:16]}`. The evidence in the manifest comes from this run. {report['summary']}."
    )
    section = "\n".join(
        [
            BEGIN,
            "## Validation after conversion",
            "",
            what,
            "",
            "| output | result (95 % interval) | n | positives | conclusion |",
            "|---|---|---|---|---|",
            *rows,
            END,
        ]
    )
    without = re.sub(f"\n*{re.escape(BEGIN)}.*?{re.escape(END)}\n*", "\n", text, flags=re.DOTALL)
    return f"{without.rstrip()}\n\n{section}\n"
