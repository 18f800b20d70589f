"""The validation report as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def number(value: float | None, digits: int = 3) -> str:
    """Format a number for readers; ``None`` becomes a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """Format a difference for readers with its sign, never as -0."""
    return "-" if value is None else f"{round(value, digits) + 0.0:+.{digits}f}"


def span(ends: Sequence[float] | None, digits: int = 3) -> str:
    """Format an interval for readers; ``None`` becomes an empty text."""
    return "" if ends is None else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def judged_on(model: str, data: str, part: str) -> str:
    """Return the title of a report: the model, the data set and its part."""
    return f"{model} on {data}, part '{part}'"


def title(report: Mapping[str, Any]) -> str:
    """Return the title of a validation report."""
    h = report["header"]
    return judged_on(f"{h['bundle']['name']} {h['bundle']['version']}", h["data"]["name"], h["data"]["split"])


def verdict_cell(head: Mapping[str, Any]) -> str:
    """Return the conclusion of a head where it limits the result, otherwise an empty text."""
    return head["conclusion"] if head["conclusion"] in ("INCONCLUSIVE", "NOT JUDGED") else ""


def result_cells(head: Mapping[str, Any]) -> list[str]:
    """Return the main result of a head and its interval: mean absolute error of a value, AUROC of a probability."""
    if head["kind"] == "value":
        mae = (head.get("values") or {}).get("mae") or {"value": None, "ci": None}
        return [f"MAE {number(mae['value'])}", span(mae["ci"])]
    return [number(head["auroc"]), span(head["auroc_ci"])]


def bland_altman_words(head: Mapping[str, Any]) -> str:
    """Return bias, limits of agreement and slope of a value head, and whether the bias is proportional."""
    v, unit = head["values"], head["unit"]
    words = (
        f"Bias {signed(v['bias']['value'])} {unit} ({span(v['bias']['ci'])}), limits of agreement "
        f"{signed(v['limits'][0])} to {signed(v['limits'][1])} {unit}."
    )
    slope = v["slope"]
    if v["proportional_bias"] is None:
        return words
    change = f"{signed(slope['value'], 2)} {unit} per {unit} ({span(slope['ci'], 2)})"
    if v["proportional_bias"]:
        way = "too low for high values and too high for low ones" if slope["value"] < 0 else "spread too widely"
        return f"{words} Proportional bias: the difference changes by {change}; the estimates are {way}."
    return f"{words} No proportional bias is shown: the difference changes by {change}."


HEADINGS = ("head", "result", "95 % interval", "n", "pos", "evidence", "verdict", "ECE", "slope", "sens", "spec")


PAGE_HEADINGS = ("output", "result", "95 % interval", "estimates", "positive", "evidence", "verdict", "ECE", "slope",
                 "sensitivity", "specificity")  # fmt: skip
"""The same columns on a page, where there is room for whole words."""


def head_cells(head: Mapping[str, Any]) -> list[str]:
    """Return one head as cells under :data:`HEADINGS`."""
    start, evidence = [head["key"], *result_cells(head), str(head["n"])], [head["tier"] or "-", verdict_cell(head)]
    if head["kind"] == "value":
        return [*start, "-", *evidence, "", "", "", ""]
    c, d = head["calibration"] or {}, head["decision"] or {}
    return [
        *start, str(head["positives"]), *evidence, number(c.get("ece")), number(c.get("slope"), 2),
        number((d.get("sensitivity") or {}).get("value"), 2), number((d.get("specificity") or {}).get("value"), 2),
    ]  # fmt: skip


def text_report(report: Mapping[str, Any]) -> str:
    """Return the report for a terminal: heads, outcomes of the hops, links and the gate."""
    h, a = report["header"], report["abstention"]
    lines = [
        title(report),
        _counts(report),
        f"hops answered: {a['accepted']} of {a['hops']}" + "".join(f", {name} {n}" for name, n in a["reasons"].items()),
        *rhythm_lines(a),
        f"labels: {h['labels']['rule']} (plan: {h['labels']['said_by']})",
        "",
        *aligned([HEADINGS, *[head_cells(head) for head in report["heads"]]]),
        "",
        report["summary"],
    ]
    lines += [f"{head['key']}: {head['note']}" for head in report["heads"] if head["note"]]
    lines += [f"note: {remark}" for remark in h["data"]["remarks"]]
    lines += [f"{link['name']}: not run, {link['found']}" for link in report["links"] if link["status"] == "not run"]
    lines += ["", *aligned([("gate", "", ""), *[_check(check) for check in report["gate"]["checks"]]])]
    lines.append(gate_words(report))
    return "\n".join(lines) + "\n"


def rhythm_lines(abstention: Mapping[str, Any]) -> list[str]:
    """Return a line about outputs that abstain by rhythm; none if no output names rhythms."""
    silent = abstention.get("by_rhythm")
    return [f"without an answer by rhythm, hops: {', '.join(f'{k} {n}' for k, n in silent.items())}"] if silent else []


def _counts(report: Mapping[str, Any]) -> str:
    c = report["header"]["counts"]
    words = [f"{c['patients']} patients", f"{c['visits']} visits"][: 2 if c["visits"] else 1]
    words.append(f"{c['recordings']} of {c['recordings_in_data']} recordings")
    return ", ".join([*words, *[f"{c[what]} {what}" for what in ("estimates", "windows", "events")]])


def gate_words(report: Mapping[str, Any]) -> str:
    """Return the result of the gate; it is inconclusive where no output has enough patients."""
    if not report["gate"]["ok"]:
        return "THE GATE FAILS"
    if any(head["enough_patients"] for head in report["heads"]):
        return "the gate holds"
    return "the gate is INCONCLUSIVE: no output has enough patients of both classes"


def _check(check: Mapping[str, Any]) -> tuple[str, str, str]:
    return ("  " + check["name"], "ok" if check["ok"] else "FAILED", check["found"])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
