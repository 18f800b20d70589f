"""Parts that all model cards share."""

from __future__ import annotations

from convert.bundle.records import ManifestOutput


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
