"""What each chapter of the validation report shows, in one sentence made of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.report.text import gate_words, number
from convert.pages.words import value_words
from edge.bundle.words import sentence, unit_words

Report = Mapping[str, Any]
Names = Mapping[str, str]


def of(count: int, total: int, what: str, one: str, many: str) -> str:
    """Return a count of a total with its verb, such as ``2 of 3 outputs are``.

    Args:
        count: The count.
        total: The total.
        what: What is counted, plural.
        one: Verb after one or none.
        many: Verb after several.
    """
    if total == 1:
        return f"{'The only' if count else 'No'} {what.removesuffix('s')} {one}"
    start = f"All {total} {what}" if count == total else f"{count or 'None'} of {total} {what}"
    return f"{start} {one if count < 2 else many}"


def main_finding(report: Report) -> str:
    """Return the finding of the whole report: outputs better than chance, and the gate."""
    gate = gate_words(report).partition(":")[0].replace("THE GATE", "the gate")
    return f"{performance(report['heads'])}; {gate}"


def performance(heads: Sequence[Mapping[str, Any]]) -> str:
    """Return how many probabilities are better than chance."""
    judged = [h for h in heads if h["kind"] == "probability" and h["auroc"] is not None]
    better = sum(h["conclusion"] != "INCONCLUSIVE" for h in judged)
    return f"{of(better, len(judged), 'outputs', 'is', 'are')} better than chance" if judged else "No output is judged"


def discrimination(heads: Sequence[Mapping[str, Any]]) -> str:
    """Return the range of the AUROCs."""
    areas = [h["auroc"] for h in heads if h.get("roc") and h["auroc"] is not None]
    return f"AUROC from {min(areas):.2f} to {max(areas):.2f}" if areas else ""


def calibration(heads: Sequence[Mapping[str, Any]], names: Names) -> str:
    """Return the head whose calibration error exceeds the one by chance most."""
    judged = [h for h in heads if h.get("calibration") and h["calibration"]["ece"] is not None]
    if not judged:
        return ""
    worst = max(judged, key=lambda h: h["calibration"]["ece"] - (h["calibration"]["ece_chance"] or 0.0))
    c = worst["calibration"]
    chance = "" if c["ece_chance"] is None else f", {c['ece_chance']:.3f} by chance"
    return f"Largest calibration error: {c['ece']:.3f} for {names[worst['key']]}{chance}"


def values(heads: Sequence[Mapping[str, Any]]) -> str:
    """Return the error of the first value head."""
    head = next((h for h in heads if h["kind"] == "value" and h.get("values")), None)
    if head is None:
        return ""
    error = f"{number(head['values']['mae']['value'], 2)} {unit_words(head['unit'])}"
    bias = "; the bias changes with the value" if head["values"].get("proportional_bias") else ""
    return sentence(f"{value_words(head)} has an MAE of {error}{bias}")


def comparison(verdicts: Sequence[str]) -> str:
    """Return how many comparisons with the reference pass."""
    return of(verdicts.count("PASS"), len(verdicts), "comparisons", "passes", "pass") if verdicts else ""


def gate(report: Report) -> str:
    """Return how many checks of the gate hold."""
    checks = report["gate"]["checks"]
    failed = [check["name"] for check in checks if not check["ok"]]
    if failed:
        return f"The gate FAILS: {', '.join(failed)}"
    words = sentence(gate_words(report))
    return f"{words}: all {len(checks)} checks pass" if words.endswith("holds") else words


def interpreters(report: Report) -> str:
    """Return whether the interpreters agree."""
    failed = [link["name"] for link in report["links"] if link["status"] == "FAILED"]
    ran = sum(link["status"] == "ok" for link in report["links"])
    return f"FAILED: {', '.join(failed)}" if failed else f"{ran} of {len(report['links'])} comparisons ran, all agree"


def abstention(report: Report) -> str:
    """Return the share of answered hops."""
    share = report["abstention"]["share_accepted"]
    return "" if share is None else f"The device answered {share:.1%} of the hops"


def subgroups(report: Report) -> str:
    """Return how many groups are clearly worse."""
    rows = report["subgroups"]["rows"]
    worse = sum(row["clearly_worse"] for row in rows)
    return f"{of(worse, len(rows), 'results by group', 'is', 'are')} clearly worse" if rows else ""


def robustness(report: Report) -> str:
    """Return the disturbance that flips the largest share of decisions."""
    rows = [row for row in report["robustness"] or () if row["kind"] != "none" and row["decisions"]]
    if not rows:
        return ""
    worst = max(rows, key=lambda row: row["flips"] / row["decisions"])
    return f"At most {worst['flips'] / worst['decisions']:.1%} of the decisions flip, under {worst['disturbance']}"
