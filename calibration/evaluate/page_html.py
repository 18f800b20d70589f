"""The evaluation report as one HTML page: results first, then reasons, then details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.evaluate.plots import against_baseline, coloured_forest, now_and_ahead, reliability, ten_minutes
from calibration.evaluate.text import (
    HEADINGS,
    SIMULATED,
    TIER_HEADINGS,
    head_cells,
    monitoring_rows,
    reference_sentences,
    tally_sentences,
    tier_rows,
    title,
)
from calibration.report.page import escaped, facts_table, page, table
from calibration.report.text import number, signed, span
from convert.bundle.writer import to_json

Report = Mapping[str, Any]


def report_files(report: Report) -> dict[str, bytes]:
    """Return the files of the report by name."""
    return {"report.html": html_page(report).encode(), "report.json": to_json(report)}


def html_page(report: Report) -> str:
    """Return the report as a self-contained page."""
    parts = [_top(report), _tiers(report), _heads(report), _monitoring(report), _baselines(report),
             _aggregate(report), _values(report), _reference(report), _calibration(report), _facts(report)]  # fmt: skip
    return page(title(report), parts)


def _top(report: Report) -> str:
    h = report["header"]
    c, simulated = h["counts"], h["data"]["simulated"]
    lines = "<br>".join(escaped(line) for line in [*report["summary"], *tally_sentences(report)])
    lines += "".join(f"<br>{escaped(line)}" for line in reference_sentences(report))
    return (
        f"<h1>{escaped(title(report))}</h1><p class=notice>{escaped(report['notice'])}"
        + (f" {escaped(SIMULATED)}" if simulated else "")
        + f"</p><p class=verdict>{lines}</p>"
        f"<p>{c['patients']} {'simulated ' if simulated else ''}patients, {c['visits']} visits, {c['segments']} "
        f"ten-second segments, {c['heads']} heads. Unless ten minutes are named, all numbers refer to single segments; "
        "all intervals are over patients.</p>"
    )


def _tiers(report: Report) -> str:
    return (
        "<h2>How many indicators</h2>"
        + table(TIER_HEADINGS, tier_rows(report))
        + "<p class=small>Evidence levels as in the paper: strong above an AUROC of 0.65, moderate from 0.55 to 0.65, "
        "limited below. The paper does not state whether low and high were separate heads, nor how results and "
        "segments were paired; its numbers come from MC-MED. A lab with several directions counts with its best one. "
        "This is optimistic, because the best one is chosen on these patients. INCONCLUSIVE: the interval includes "
        "chance, or fewer than ten patients had one of the outcomes; then the result shows nothing, whatever the "
        "level.</p>"
    )


def _heads(report: Report) -> str:
    notes = "".join(f"<li>{escaped(h['key'])}: {escaped(h['note'])}" for h in report["heads"] if h["note"])
    now = [h for h in report["heads"] if h["horizon_min"] is None]
    ahead = coloured_forest([h for h in report["heads"] if h["horizon_min"] is not None], "in the minutes ahead")
    return (
        "<h2>Head by head</h2>" + coloured_forest(now, "now")
        + (f"<details><summary>The minutes ahead</summary>{ahead}</details>" if ahead else "")
        + "<p class=small>AUROC: the chance that a segment with the abnormal result gets a higher output than one "
        "without; 0.5 is chance level. Grey: INCONCLUSIVE. <i>positive</i>: number of patients with a positive "
        "segment; prevalence: share of positive segments.</p>"
        + table(HEADINGS, [head_cells(h) for h in report["heads"]])
        + (f"<ul class=small>{notes}</ul>" if notes else "")
    )  # fmt: skip


def _monitoring(report: Report) -> str:
    headings, rows = monitoring_rows(report)
    ahead = [c for c in report["monitoring"]["columns"] if c != "now"]
    if not ahead or not rows:
        return ""
    plots = "".join(now_and_ahead(report["monitoring"]["rows"], column) for column in ahead)
    return (
        "<h2>Now and in the minutes ahead</h2><p class=small>As in CardioLab (arXiv 2411.14886): estimation of the "
        "current result, and monitoring, whether any result in the minutes ahead will be abnormal. AUROC (95 % "
        "interval). Rows and prevalence differ between columns, so the horizon alone does not explain a "
        "difference.</p>"
        f"<div class=plots>{plots}</div>" + table(headings, rows)
    )


def _baselines(report: Report) -> str:
    b = report["baselines"]
    if b is None:
        return "<h2>What does the network add?</h2><p>Not computed (--no-baselines).</p>"
    names = list(b["features"])
    plots = "".join(against_baseline(b["heads"], name) for name in names)
    said = "".join(f"<li>{escaped(n)}: {len(f)} features ({escaped(', '.join(f))})" for n, f in b["features"].items())
    rows = []
    for h in b["heads"]:
        for name in names:
            f = h["against"][name]
            d = f["difference"] or {"value": None, "ci": None}
            rows.append([h["key"], name, number(f["network"]), number(f["other"]), signed(d["value"]), span(d["ci"]),
                         f"NOT TRAINED: {f['why']}" if f["why"] else f["verdict"]])  # fmt: skip
    headings = ("head", "baseline", "network", "baseline's", "difference", "95 % interval", "the network is")
    return (
        "<h2>What does the network add?</h2><p class=small>Gradient boosting (scikit-learn), trained on the same "
        "training patients and judged on the same segments. The difference is paired over the same resampled "
        "patients; of forty equal heads, one looks better by chance and one worse. Values: mean absolute error, so "
        f"less is better.</p><ul class=small>{said}</ul><div class=plots>{plots}</div>"
        f"<details><summary>All heads</summary>{table(headings, rows)}</details>"
    )


def _aggregate(report: Report) -> str:
    a = report["aggregate"]
    rows = []
    for h in a["heads"]:
        d = h["difference"] or {"value": None, "ci": None}
        rows.append([h["key"], str(h["n"]), str(h["patients"]), number(h["segments_median"], 0), number(h["single"]),
                     number(h["aggregate"]), signed(d["value"]), span(d["ci"]), h["verdict"]])  # fmt: skip
    headings = ("head", "labels", "patients", "segments", "one segment", f"{a['minutes']} minutes", "difference",
                "95 % interval", "ten minutes are")  # fmt: skip
    return (
        f"<h2>{a['minutes']} minutes against ten seconds</h2><p class=small>For the newest labelled segment in each "
        f"{a['minutes']} minutes of each visit: the output of the network for this segment alone, against the mean of "
        f"its logits over all segments of the visit in the {a['minutes']} minutes up to the end of this segment. Both "
        "use the same labels. <i>segments</i>: median number of segments in the mean.</p>"
        + ten_minutes(a["heads"]) + f"<details><summary>All heads</summary>{table(headings, rows)}</details>"
    )  # fmt: skip


def _values(report: Report) -> str:
    rows = []
    for h in report["heads"]:
        v = h["values"]
        if v:
            rows.append([h["key"], h["unit"], str(h["n"]), str(h["patients"]), number(v["mae"]["value"]),
                         span(v["mae"]["ci"]), number(v["relative_mae"]["value"]), span(v["relative_mae"]["ci"]),
                         number(v["mae_in_iqr"]), number(v["r2"]), number(v["correlation"]["value"]),
                         f"{signed(v['limits'][0])} to {signed(v['limits'][1])}"])  # fmt: skip
    if not rows:
        return ""
    headings = ("head", "unit", "n", "patients", "MAE", "95 % interval", "of the median's", "95 % interval", "in IQR",
                "R2", "r", "limits of agreement")  # fmt: skip
    return (
        "<h2>Values</h2><p class=small>MAE: mean absolute error. <i>of the median's</i>: as a share of the error "
        "of always answering the median of the training part; 1 means that the ECG adds nothing. IQR: interquartile "
        "range of the training part. R2 is relative to the mean of these labels.</p>" + table(headings, rows)
    )


def _reference(report: Report) -> str:
    r = report["reference"]
    if r is None:
        return ""
    rows = []
    for h in r["heads"]:
        d = h["difference"] or {"value": None, "ci": None}
        rows.append([h["key"], str(h["n"]), number(h["network"]), number(h["other"]), signed(d["value"]),
                     span(d["ci"]), h["verdict"], number(h["correlation"], 4),
                     number(h["largest_difference"])])  # fmt: skip
    headings = ("head", "n", "this", "reference", "difference", "95 % interval", "verdict", "correlation",
                "largest difference")  # fmt: skip
    return (
        f"<h2>Against {escaped(r['name'])}</h2><p class=small>On the same segments and patients, paired. "
        f"Non-inferiority margin: {r['margin']:g} (AUROC). PASS: the whole interval lies above minus the margin. FAIL: "
        "the whole interval lies below it. INCONCLUSIVE: too few patients to decide. Correlation and largest "
        "difference compare the outputs (logits or values) without the labels. Values: mean absolute errors.</p>"
        + table(headings, rows)
    )


def _calibration(report: Report) -> str:
    judged = [h for h in report["heads"] if h["calibration"]]
    if not judged:
        return ""
    rows = [
        [h["key"], number(h["calibration"]["brier"]["value"]), number(h["calibration"]["brier_of_the_prevalence"]),
         number(h["calibration"]["ece"]), number(h["calibration"]["ece_chance"]),
         number(h["calibration"]["slope"], 2), number(h["calibration"]["intercept"], 2)]
        for h in judged
    ]  # fmt: skip
    headings = ("head", "Brier", "of the prevalence", "ECE", "by chance", "slope", "intercept")
    plots = "".join(reliability(h) for h in judged)
    return (
        "<h2>Are the probabilities reliable?</h2><p class=small>Probabilities of the teacher itself; "
        "<code>anyecg convert</code> and <code>anyecg calibrate</code> fit those of a bundle. ECE: expected "
        "calibration error over bins of equal size. Slope: 1 is ideal, below 1 is overconfident.</p>"
        + table(headings, rows) + f"<details><summary>Plots</summary><div class=plots>{plots}</div></details>"
    )  # fmt: skip


def _facts(report: Report) -> str:
    h = report["header"]
    facts = [
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
    return (
        f"<h2>Data and method</h2>{facts_table(facts)}<p class=small>Intervals: percentiles of a "
        "bootstrap over patients, because segments of one patient are not independent; differences are paired over the "
        "same patients, by DeLong's method if each patient has one row. The bootstrap ranks scores in at most "
        f"{h['levels']} steps.</p>"
    )
