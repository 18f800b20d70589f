"""The evaluation report as one HTML page: results first, then reasons, then details."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibration.evaluate import findings
from calibration.evaluate.plots import against_baseline, coloured_forest, now_and_ahead, ten_minutes
from calibration.evaluate.text import (
    SIMULATED,
    TIER_HEADINGS,
    head_cells,
    monitoring_rows,
    reference_sentences,
    tally_sentences,
    tier_rows,
    title,
)
from calibration.report.findings import calibration, performance
from calibration.report.plots import reliability
from calibration.report.text import number, signed, span
from convert.bundle.writer import to_json
from convert.pages.render import picture, render
from convert.pages.words import CUT_OFFS, names_of, value_words
from edge.bundle.words import lab_words, sentence, unit_words

Report = Mapping[str, Any]
Names = Mapping[str, str]

TEMPLATE = Path(__file__).parent / "templates" / "evaluation.html.j2"


def report_files(report: Report) -> dict[str, bytes]:
    """Return the files of the report by name."""
    return {"report.html": html_page(report).encode(), "report.json": to_json(report)}


def html_page(report: Report) -> str:
    """Return the report as a self-contained page."""
    names, heads = names_of(report["heads"]), report["heads"]
    now, ahead = ([h for h in heads if (h["horizon_min"] is None) == wanted] for wanted in (True, False))
    headings, monitored = monitoring_rows(report)
    return render(
        TEMPLATE,
        title=findings.main_finding(report),
        about=title(report),
        notice=report["notice"],
        report=report,
        header=report["header"],
        names=names,
        find=findings,
        performance=performance(heads),
        sentence=sentence,
        simulated=SIMULATED,
        cut_offs=CUT_OFFS,
        summary=[*report["summary"], *tally_sentences(report), *reference_sentences(report)],
        tier_headings=TIER_HEADINGS,
        tier_rows=tier_rows(report),
        forest=picture(coloured_forest(now, names, "now")),
        forest_ahead=picture(coloured_forest(ahead, names, "in the minutes ahead")),
        head_rows=[[sentence(names[h["key"]]), *head_cells(h)[1:]] for h in heads],
        monitoring_headings=headings,
        monitoring_rows=[[sentence(lab_words(row[0])), *row[1:]] for row in monitored] if len(headings) > 3 else [],
        ahead=[picture(now_and_ahead(report["monitoring"]["rows"], column)) for column in headings_ahead(report)],
        baselines=_baselines(report, names),
        minutes=picture(ten_minutes(report["aggregate"]["heads"], names)),
        aggregate_rows=_aggregate(report, names),
        value_rows=_values(report),
        reference=_reference(report, names),
        calibrated=[_calibrated(h, names) for h in heads if h["calibration"]],
        calibration_finding=calibration(heads, names),
        reliabilities=[picture(reliability(h, names)) for h in heads if h["calibration"]],
        facts=_facts(report),
    )


def headings_ahead(report: Report) -> list[str]:
    """Return the horizons of the report."""
    return [column for column in report["monitoring"]["columns"] if column != "now"]


def _baselines(report: Report, names: Names) -> dict[str, Any] | None:
    b = report["baselines"]
    if b is None:
        return None
    rows = []
    for h in b["heads"]:
        for name in b["features"]:
            f = h["against"][name]
            d = f["difference"] or {"value": None, "ci": None}
            rows.append([sentence(names[h["key"]]), name, number(f["network"]), number(f["other"]), signed(d["value"]),
                         span(d["ci"]), f"NOT TRAINED: {f['why']}" if f["why"] else f["verdict"]])  # fmt: skip
    return {
        "features": [(name, [f.replace("_", " ") for f in features]) for name, features in b["features"].items()],
        "plots": [picture(against_baseline(b["heads"], name)) for name in b["features"]],
        "rows": rows,
    }


def _aggregate(report: Report, names: Names) -> list[list[str]]:
    rows = []
    for h in report["aggregate"]["heads"]:
        d = h["difference"] or {"value": None, "ci": None}
        rows.append([sentence(names[h["key"]]), str(h["n"]), str(h["patients"]), number(h["segments_median"], 0),
                     number(h["single"]), number(h["aggregate"]), signed(d["value"]), span(d["ci"]),
                     h["verdict"]])  # fmt: skip
    return rows


def _values(report: Report) -> list[list[str]]:
    rows = []
    for h in report["heads"]:
        v = h["values"]
        if v:
            rows.append([sentence(value_words(h)), unit_words(h["unit"]),
                         str(h["n"]), str(h["patients"]), number(v["mae"]["value"]), span(v["mae"]["ci"]),
                         number(v["relative_mae"]["value"]),
                         span(v["relative_mae"]["ci"]), number(v["mae_in_iqr"]), number(v["r2"]),
                         number(v["correlation"]["value"]),
                         f"{signed(v['limits'][0])} to {signed(v['limits'][1])}"])  # fmt: skip
    return rows


def _reference(report: Report, names: Names) -> dict[str, Any] | None:
    r = report["reference"]
    if r is None:
        return None
    rows = []
    for h in r["heads"]:
        d = h["difference"] or {"value": None, "ci": None}
        rows.append([sentence(names[h["key"]]), str(h["n"]), number(h["network"]), number(h["other"]),
                     signed(d["value"]), span(d["ci"]), h["verdict"], number(h["correlation"], 4),
                     number(h["largest_difference"])])  # fmt: skip
    verdicts = [h["verdict"] for h in r["heads"] if h["kind"] == "probability"]
    return {"name": r["name"], "margin": r["margin"], "finding": findings.reference(verdicts), "rows": rows}


def _calibrated(head: Mapping[str, Any], names: Names) -> list[str]:
    c = head["calibration"]
    return [sentence(names[head["key"]]), number(c["brier"]["value"]), number(c["brier_of_the_prevalence"]),
            number(c["ece"]), number(c["ece_chance"]), number(c["slope"], 2), number(c["intercept"], 2)]  # fmt: skip


def _facts(report: Report) -> list[tuple[str, object]]:
    h = report["header"]
    facts: list[tuple[str, object]] = [
        ("teacher", f"{h['teacher']['name']}, a {h['teacher']['kind']} with {h['teacher']['outputs']} outputs"),
        ("teacher, SHA-256", h["teacher"]["sha256"]),
        ("data", f"{h['data']['name']}, part '{h['data']['part']}': {h['data']['source']}"),
        ("data, key", h["data"]["key"]),
        ("heads only in the teacher", ", ".join(h["teacher_only"]) or "none"),
        ("heads only in the data", ", ".join(h["data_only"]) or "none"),
        ("seed, replicates of the bootstrap", f"{h['seed']}, {h['resamples']}"),
        ("versions", ", ".join(f"{k} {v}" for k, v in h["versions"].items())),
        ("command", h["command"]),
        *[("remark", remark) for remark in h["remarks"]],
    ]
    if report["reference"] is not None:
        facts.insert(2, ("reference, SHA-256", report["reference"]["sha256"]))
    return facts
