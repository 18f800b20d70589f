"""What each chapter of the evaluation report shows, in one sentence made of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.report.findings import of, performance
from calibration.report.text import number
from convert.pages.words import value_words
from edge.bundle.words import sentence

Report = Mapping[str, Any]


def main_finding(report: Report) -> str:
    """Return the finding of the whole report: outputs better than chance, and the mean AUROC."""
    mean = report["tiers"]["groups"][0]["auroc_mean"] if report["tiers"]["groups"] else None
    found = performance(report["heads"])
    return found if mean is None else f"{found}; mean AUROC {mean:.3f}"


def levels(report: Report) -> str:
    """Return how many outputs have strong evidence."""
    if not report["tiers"]["groups"]:
        return ""
    g = report["tiers"]["groups"][0]
    if not g["judged"]:
        return ""
    unclear = f"; {g['inconclusive']} INCONCLUSIVE" if g["inconclusive"] else ""
    return f"{of(g['strong'], g['judged'], 'outputs', 'has', 'have')} strong evidence{unclear}"


def monitoring(report: Report) -> str:
    """Return how far ahead the report looks."""
    ahead = [column for column in report["monitoring"]["columns"] if column != "now"]
    return f"The current result, and any abnormal result within {' and '.join(ahead)} minutes" if ahead else ""


def baselines(report: Report) -> str:
    """Return for how many outputs the network beats the strongest baseline."""
    found = (report["baselines"] or {}).get("summary") or {}
    rows = [(name, kinds["probability"]) for name, kinds in found.items() if kinds["probability"]["compared"]]
    if not rows:
        return ""
    name, s = min(rows, key=lambda row: row[1]["better"] / row[1]["compared"])
    return f"The network is better than '{name}' for {s['better']} of {s['compared']} outputs"


def aggregate(report: Report) -> str:
    """Return for how many outputs minutes are better than one segment."""
    a = report["aggregate"]
    s = a["summary"]["probability"]
    if not s["compared"]:
        return ""
    return f"{a['minutes']} minutes are better than ten seconds for {s['better']} of {s['compared']} outputs"


def values(report: Report) -> str:
    """Return the value output with the smallest error relative to a constant."""
    judged = [h for h in report["heads"] if h["values"] and h["values"]["relative_mae"]["value"] is not None]
    if not judged:
        return ""
    best = min(judged, key=lambda h: h["values"]["relative_mae"]["value"])
    name, share = value_words(best), best["values"]["relative_mae"]["value"]
    return sentence(f"{name} is estimated best: its MAE is {number(share, 2)} of that of a constant")


def reference(verdicts: Sequence[str]) -> str:
    """Return how many outputs are non-inferior to the reference."""
    return f"{of(verdicts.count('PASS'), len(verdicts), 'outputs', 'is', 'are')} non-inferior" if verdicts else ""
