"""The model card of a converted teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from convert.bundle.writer import NOTICE
from convert.foundation.records import ConversionFacts
from convert.parity.forms import ParityReport
from convert.parity.report import form_cells, link_table, value_rows
from edge.bundle.schema import Form

FORM_WORDS: Mapping[Form, str] = {
    "int8": "everything in int8, for accelerators and microcontrollers",
    "dynamic": "int8 weights, activations quantized as they come",
    "float16": "float16 weights, computed in float32",
    "float32": "not quantized",
}


def model_card(manifest: Mapping[str, Any], report: ParityReport, heads: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the model card as Markdown: source, form, effect of the quantization, and limits of use.

    Args:
        manifest: Manifest of the bundle.
        report: The parity report.
        heads: The entries of ``calibration.json``.
    """
    facts = cast("ConversionFacts", report.facts)
    fitted = sum("basis" in entry for entry in heads.values())
    lines = [
        f"# {manifest['name']} {manifest['version']}",
        "",
        f"**{NOTICE}**",
        "",
        (
            f"A teacher ({facts['parameters']} parameters, {facts['multiply-accumulates'] / 1e9:.2f} GMAC per window), "
            f"converted from `{facts['checkpoint']}` (SHA-256 `{facts['checkpoint sha256']}`). "
            f"Licence of the weights: {manifest['licence']}."
        ),
        "",
        f"- Input: ten seconds of one lead at 500 Hz, front end `ecgfounder/1`, clamped to ±{facts['input clamp']:g}.",
        f"- Outputs: {len(manifest['outputs'])} heads; {_calibrated(fitted)}",
        f"- Form: {facts['form']} ({FORM_WORDS[facts['form']]}); gate: {facts['gate']}.",
        (
            f"- Heads and ranges from {facts['calibration windows']} windows, judged on {facts['evaluation windows']}, "
            f"of {len(facts['recordings used'])} recordings."
        ),
        "",
        (
            "This conversion measured the difference between this form of the model and its checkpoint. It did not "
            "measure how good an uncalibrated head is; the person who converted it stated the evidence."
        ),
        "",
        *link_table(report),
    ]
    lines += ["", "All forms on the same windows; times of one window on the converting machine, one thread:", ""]
    lines += ["| form | gate | MB | ms | x float32 | correlation, median | lowest | head |", f"|{'---|' * 8}"]
    lines += [f"| {' | '.join(form_cells(row))} |" for row in facts["forms"]]
    if values := value_rows(report):
        lines += ["", "The effect of the form on values, in their units:", ""]
        lines += ["| value | max | mean | correlation |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in values]
    return "\n".join([*lines, "", "Details: `validation/parity.html` and `validation/parity.json`.", ""])


def _calibrated(fitted: int) -> str:
    if not fitted:
        return "none is calibrated or has a threshold."
    where = "`validation/calibration.json`"
    return f"{fitted} are calibrated on laboratory results and judged on other patients, see {where}."
