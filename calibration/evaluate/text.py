"""The evaluation report as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.report.text import aligned, judged_on, number, result_cells, signed, verdict_cell

HEADINGS = (
    "head",
    "result",
    "95 % interval",
    "n",
    "patients",
    "positive",
    "prevalence",
    "AUPRC",
    "evidence",
    "verdict",
)
TIER_HEADINGS = ("heads", "judged", "strong", "moderate", "limited", "INCONCLUSIVE", "mean AUROC")
SIMULATED = "These patients are simulated: the numbers do not apply to people and cannot be compared with the paper."


def title(report: Mapping[str, Any]) -> str:
    """Return the title of an evaluation report."""
    h = report["header"]
    return judged_on(h["teacher"]["name"], h["data"]["name"], h["data"]["part"])


def head_cells(head: Mapping[str, Any]) -> list[str]:
    """Return one head as cells under :data:`HEADINGS`."""
    start = [head["key"], *result_cells(head), str(head["n"]), str(head["patients"])]
    if head["kind"] == "value":
        return [*start, "-", "-", "-", "-", ""]
    return [
        *start, str(head["positive_patients"]), "-" if head["prevalence"] is None else f"{head['prevalence']:.1%}",
        number(head["auprc"]), head["tier"] or "-", verdict_cell(head),
    ]  # fmt: skip


def tier_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the counts of heads as rows under :data:`TIER_HEADINGS`, those of the paper last."""
    names = ("judged", "strong", "moderate", "limited", "inconclusive")
    rows = [
        [f"{g['group']} ({g['heads']})", *[str(g[name]) for name in names], number(g["auroc_mean"])]
        for g in report["tiers"]["groups"]
    ]
    p = report["tiers"]["paper"]
    paper = [str(p["heads"]), str(p["strong"]), str(p["moderate"]), str(p["limited"]), "-", "-"]
    return [*rows, [f"the paper, {p['source']} ({p['heads']})", *paper]]


def monitoring_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the table of estimation and monitoring."""
    columns = report["monitoring"]["columns"]
    headings = ["lab", "direction", *[c if c == "now" else f"{c} min" for c in columns]]
    rows = [[r["lab"], r["direction"], *[_cell(r[c]) for c in columns]] for r in report["monitoring"]["rows"]]
    return headings, rows


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None or cell["auroc"] is None:
        return "-"
    ends = cell["auroc_ci"]
    return number(cell["auroc"], 2) + (f" ({ends[0]:.2f}-{ends[1]:.2f})" if ends else "")


def tally_sentences(report: Mapping[str, Any]) -> list[str]:
    """Return sentences on the network against the baselines, and on ten minutes against ten seconds."""
    lines = []
    for kind, measure in (("probability", "AUROC"), ("value", "MAE")):
        for name, found in ((report["baselines"] or {}).get("summary") or {}).items():
            s = found[kind]
            if s["compared"]:
                lines.append(
                    f"{measure}: the network is better than '{name}' for {s['better']} of {s['compared']} heads, worse "
                    f"for {s['worse']}, INCONCLUSIVE for {s['INCONCLUSIVE']}{_median(s)}"
                )
        s = report["aggregate"]["summary"][kind]
        if s["compared"]:
            lines.append(
                f"{measure}: {report['aggregate']['minutes']} minutes are better than one segment for {s['better']} of "
                f"{s['compared']} heads, worse for {s['worse']}, INCONCLUSIVE for {s['INCONCLUSIVE']}{_median(s)}"
            )
    return lines


def _median(found: Mapping[str, Any]) -> str:
    middle = found["median_difference"]
    return "" if middle is None else f" (median difference {signed(middle)})"


def text_report(report: Mapping[str, Any]) -> str:
    """Return the report for a terminal."""
    h = report["header"]
    c = h["counts"]
    lines = [
        title(report),
        ", ".join(f"{c[what]} {what}" for what in ("patients", "visits", "recordings", "segments", "heads")),
        "",
        *aligned([HEADINGS, *[head_cells(head) for head in report["heads"]]]),
        "",
        *aligned([("", *TIER_HEADINGS[1:]), *tier_rows(report)]),
        "",
    ]
    headings, rows = monitoring_rows(report)
    if len(headings) > 3 and rows:
        lines += [*aligned([headings, *rows]), ""]
    lines += report["summary"]
    lines += tally_sentences(report)
    lines += reference_sentences(report)
    if h["data"]["simulated"]:
        lines.append(SIMULATED)
    lines += [f"only in the teacher: {', '.join(h['teacher_only'])}"] if h["teacher_only"] else []
    lines += [f"only in the data: {', '.join(h['data_only'])}"] if h["data_only"] else []
    lines += [f"note: {remark}" for remark in h["remarks"]]
    return "\n".join(lines) + "\n"


def reference_sentences(report: Mapping[str, Any]) -> list[str]:
    """Return the comparison with a reference as one sentence."""
    r = report["reference"]
    if r is None:
        return []
    found = [h for h in r["heads"] if h["kind"] == "probability"]
    counts = _counted([h["verdict"] for h in found])
    return [f"non-inferior to {r['name']} with a margin of {r['margin']:g} (AUROC): {counts}"]


def _counted(words: Sequence[str]) -> str:
    return ", ".join(f"{words.count(w)} {w}" for w in dict.fromkeys(words)) or "no head to compare"
