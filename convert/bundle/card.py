"""Parts that all model cards share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from convert.bundle.records import ManifestOutput

RHYTHM_BEGIN, RHYTHM_END = "<!-- rhythms -->", "<!-- /rhythms -->"
"""Markers around the section about outputs that are limited to rhythms."""


def number(value: float | None, digits: int = 3) -> str:
    """Format a number for a table; a dash for ``None``."""
    return "–" if value is None else f"{value:.{digits}f}"


def output_row(output: ManifestOutput) -> str:
    """Return the row of an output in the table of the card."""
    e = output["evidence"]
    what = f"{output['lab']} {output['direction']}" if output["direction"] else f"{output['lab']} (value)"
    if output["kind"] == "value":
        strength = f"MAE {number(e['mae'])} {output['unit']}"
    else:
        ci = f" ({number(e['ci'][0])}–{number(e['ci'][1])})" if e["ci"] else ""
        strength = f"AUROC {number(e['auroc'])}{ci}"
    count = "–" if e["positives"] is None else str(e["positives"])
    return f"| `{output['key']}` | {what} | {output['loinc']} | {strength} | {e['n']} | {count} | {e['tier']} |"


def with_rhythms(card: str, outputs: Sequence[Mapping[str, Any]]) -> str:
    """Return a model card with the section about outputs that are limited to rhythms, in the place of an older one.

    Args:
        card: The card, Markdown.
        outputs: Outputs of the manifest.
    """
    card = re.sub(f"\n*{RHYTHM_BEGIN}.*?{RHYTHM_END}\n", "\n", card, flags=re.DOTALL)
    limited = [(output["key"], output["rhythms"]) for output in outputs if output.get("rhythms")]
    if not limited:
        return card
    rows = "\n".join(f"| `{key}` | {', '.join(rhythms)} |" for key, rhythms in limited)
    section = (
        f"\n{RHYTHM_BEGIN}\n## Rhythm\n\n"
        "The evidence of these outputs holds for the named rhythms only. In others they abstain (`rhythm`).\n\n"
        f"| output | rhythms |\n|---|---|\n{rows}\n{RHYTHM_END}\n"
    )
    # Before the first chapter, because a later calibration replaces everything after its own heading.
    head, chapter, rest = card.partition("\n## ")
    return f"{head.rstrip()}\n{section}{chapter}{rest}"
