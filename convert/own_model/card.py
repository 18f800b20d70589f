"""The model card of a bundle that was made from somebody's own model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convert.bundle.writer import NOTICE
from convert.foundation.card import FORM_WORDS
from convert.parity.forms import ParityReport
from convert.parity.report import link_table
from edge.bundle.schema import Form

MAX_HEADS = 400


def model_card(manifest: Mapping[str, Any], report: ParityReport, form: Form) -> str:
    """Return the model card as Markdown: source, tensors, heads, agreement of the interpreters.

    Args:
        manifest: Manifest of the bundle.
        report: The parity report.
        form: Form of the model.
    """
    facts = report.facts
    lines = [
        f"# {manifest['name']} {manifest['version']}",
        "",
        f"**{NOTICE}**",
        "",
        (
            f"Made from `{facts['file']}` (SHA-256 `{facts['file sha256']}`), a model that this kit did not train. "
            f"Licence: {manifest['licence']}."
        ),
        "",
        f"- Input: ten seconds of one lead, front end `{manifest['front_end']['name']}`: {facts['input']}.",
        f"- Output: {facts['output']}; {len(manifest['outputs'])} heads, not calibrated, without thresholds.",
        f"- Form: {form} ({FORM_WORDS[form]}), {facts['model bytes']} bytes, {facts['ms a window']} ms a window.",
        f"- Changes to the file: {'; '.join(facts['changes']) or 'none'}.",
        f"- Golden vectors and report: {facts['windows']} windows, {facts['windows from']}.",
        "",
        (
            "The report compares interpreters. It does not judge the model: the evidence of each head is what the "
            "person who made the bundle stated. `anyecg validate` judges it on labelled recordings, and "
            "`anyecg calibrate probability` fits probabilities and thresholds."
        ),
        "",
        *link_table(report),
    ]
    lines += ["", "| head | lab | unit | kind | stated evidence |", "|---|---|---|---|---|"]
    for head in manifest["outputs"][:MAX_HEADS]:
        stated = f"| `{head['key']}` | {head['lab']} | {head['unit']} | {head['kind']} | {head['evidence']['tier']} |"
        lines.append(stated)
    return "\n".join([*lines, "", "Details: `validation/parity.html` and `validation/parity.json`.", ""])
