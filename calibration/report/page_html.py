"""The validation report as one page for clinicians and engineers: results first, then reasons, then details."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.report.page import escaped, facts_table, page, table
from calibration.report.plots import (
    auroc_forest,
    bland_altman,
    difference_forest,
    loss_curve,
    reliability,
    roc,
    shift_bars,
)
from calibration.report.text import HEADINGS, head_cells, number, signed, span, title

Report = Mapping[str, Any]

SUBGROUP_ROWS = 25
"""Number of subgroups on the page, worst first; the JSON report has all."""


def html_page(report: Report) -> str:
    """Return the report as a self-contained page."""
    parts = [_top(report), _heads(report), _plots(report), _values(report), _reference(report), _gate(report),
             _abstention(report), _subgroups(report), _robustness(report), _facts(report)]  # fmt: skip
    return page(title(report), parts)


def _top(report: Report) -> str:
    c, ok = report["header"]["counts"], report["gate"]["ok"]
    failed = [check["name"] for check in report["gate"]["checks"] if not check["ok"]]
    verdict = "The gate holds." if ok else f"The gate FAILS: {', '.join(failed)}."
    simulated = report["header"]["data"]["simulated"]
    patients = "simulated patients" if simulated else "patients"
    return (
        f"<h1>{escaped(title(report))}</h1><p class=notice>{escaped(report['notice'])}"
        + (" These patients are simulated: the numbers do not apply to people." if simulated else "")
        + f"</p><p class='verdict{'' if ok else ' bad'}'><b>{escaped(verdict)}</b><br>{escaped(report['summary'])}.</p>"
        f"<p>{c['patients']} {patients}, {c['estimates']} estimates from {c['windows']} ten-second windows, "
        f"{c['events']} abnormal results. An <i>estimate</i> is the answer of the device from the windows of up to "
        "several minutes. Unless windows are named, all numbers refer to estimates.</p>"
    )


def _heads(report: Report) -> str:
    rows = [head_cells(h) for h in report["heads"]]
    notes = "".join(f"<li>{escaped(h['key'])}: {escaped(h['note'])}" for h in report["heads"] if h["note"])
    return (
        "<h2>Performance of each output</h2>" + auroc_forest(report["heads"])
        + "<p class=small>AUROC: the chance that a patient with the abnormal result gets a higher estimate than one "
        "without; 0.5 is chance level. Evidence levels as in the AnyECG-Lab paper: strong above 0.65, moderate from "
        "0.55 to 0.65, limited below. INCONCLUSIVE: the interval includes chance, or there are fewer than ten of the "
        "rarer outcome; then the result shows nothing, whatever the level. ECE: expected calibration error. Slope: 1 "
        "is ideal, below 1 is overconfident. Sensitivity and specificity at the threshold at which the device raises "
        "its flag.</p>"
        + table(HEADINGS, rows) + (f"<ul>{notes}</ul>" if notes else "") + _by_window(report)
    )  # fmt: skip


def _by_window(report: Report) -> str:
    rows = []
    for h in report["heads"]:
        w = h["windows"]
        if w and "auroc" in w:
            rows.append([h["key"], number(h["auroc"]), number(w["auroc"]), span(w["auroc_ci"]), str(w["n"]),
                         number(h["auprc"]), span(h["auprc_ci"]), number(w["auprc"])])  # fmt: skip
    names = ("head", "AUROC", "of one window", "95 % interval", "windows", "AUPRC", "95 % interval", "of one window")
    return "<details><summary>Single windows, and average precision</summary>" + table(names, rows) + "</details>"


def _plots(report: Report) -> str:
    curves = "".join(roc(h) for h in report["heads"] if h.get("roc"))
    reliabilities = "".join(reliability(h) for h in report["heads"] if h.get("calibration"))
    return (
        "<h2>ROC curves</h2><p class=small>The orange dot marks the threshold of the device.</p>"
        f"<div class=plots>{curves}</div>"
        "<h2>Are the probabilities reliable?</h2><p class=small>Bins of equal size; perfect probabilities lie on the "
        "diagonal. With few patients the dots scatter even for perfect probabilities: <i>by chance</i> is the expected "
        "calibration error that they would show.</p>"
        f"<div class=plots>{reliabilities}</div>"
    )


def _values(report: Report) -> str:
    out = []
    for h in report["heads"]:
        v = h.get("values")
        if h["kind"] != "value" or not v:
            continue
        covered = v["coverage"]["value"]
        coverage = "" if covered is None else (
            f" The {v['level']:.0%} interval of the device covered {covered:.1%} of the measurements "
            f"({span(v['coverage']['ci'])})."
        )  # fmt: skip
        out.append(
            bland_altman(h)
            + f"<p>{escaped(h['key'])}: mean absolute error {number(v['mae']['value'])} {escaped(h['unit'])} "
            f"({span(v['mae']['ci'])}); always answering the mean would give {number(v['mae_of_the_mean'])}."
            f"{coverage}</p>"
        )
    return "<h2>Values</h2>" + "".join(out) if out else ""


def _reference(report: Report) -> str:
    r = report["reference"]
    if r is None:
        return ""
    m = report["header"]["margins"]
    rows = [
        [h["key"], str(h["windows"]), number(h["correlation"], 4), number(h["mean_difference"]),
         number(h["probability_mean"], 4), str(h["estimates"]), number(h["kappa"]),
         "-" if h["flips"] is None else str(h["flips"])]
        for h in r["heads"]
    ]  # fmt: skip
    names = ("head", "windows", "correlation", "mean logit difference", "mean probability difference", "estimates",
             "kappa", "flips")  # fmt: skip
    forests = "".join(difference_forest(report["comparisons"], m) for m in ("auroc", "sensitivity", "specificity"))
    missing = f"<p>Not in the reference: {escaped(', '.join(r['missing_heads']))}.</p>" if r["missing_heads"] else ""
    return (
        f"<h2>Against the reference: {escaped(r['name'])}</h2><p class=small>Non-inferiority margins: "
        f"{m['auroc_margin']:g} (AUROC), {m['decision_margin']:g} (sensitivity and specificity at the deployed "
        "thresholds). PASS: the whole interval lies above minus the margin. FAIL: the whole interval lies below it. "
        "INCONCLUSIVE: too few patients to decide.</p>" + forests + missing
        + "<p>Agreement without the labels: outputs of the same windows, decisions of the same estimates.</p>"
        + table(names, rows)
    )  # fmt: skip


def _gate(report: Report) -> str:
    checks = "".join(
        f"<tr{'' if c['ok'] else ' class=no'}><td>{escaped(c['name'])}"
        f"<td>{'ok' if c['ok'] else 'FAILED'}<td>{escaped(c['found'])}"
        for c in report["gate"]["checks"]
    )
    links = "".join(
        f"<tr><td>{escaped(k['name'])}<td>{escaped(k['status'])}<td>{escaped(k['found'])}" for k in report["links"]
    )
    return (
        f"<h2>The gate</h2><table class=words>{checks}</table><h2>Agreement of the interpreters</h2>"
        f"<table class=words>{links}</table>"
    )


def _abstention(report: Report) -> str:
    a = report["abstention"]
    rows = [[name.replace("_", " "), str(n), f"{n / max(a['hops'], 1):.1%}"] for name, n in a["reasons"].items()]
    rows.insert(0, ["answered", str(a["accepted"]), f"{(a['share_accepted'] or 0):.1%}"])
    broken = "".join(f"<li>{escaped(why)}" for why in a["broken"])
    return (
        "<h2>Abstention</h2>" + table(("outcome of a hop", "hops", "share"), rows)
        + f"<p>{a['recordings_without_estimate']} recordings gave no estimate.</p>"
        + (f"<p>Recordings that could not be read:</p><ul>{broken}</ul>" if broken else "")
    )  # fmt: skip


def _subgroups(report: Report) -> str:
    s = report["subgroups"]
    rows = [
        [f"{r['key']}: {r['by']} {r['group']}", str(r["n"]), str(r["positives"]), number(r["auroc"]),
         span(r["auroc_ci"]), signed(r["difference"]), signed(r["probability_shift"]),
         "clearly worse" if r["clearly_worse"] else ""]
        for r in s["rows"][:SUBGROUP_ROWS]
    ]  # fmt: skip
    names = ("group", "n", "positives", "AUROC", "95 % interval", "difference from all", "predicted - observed", "")
    extent = f"The worst {len(rows)} of {len(s['rows'])}" if len(s["rows"]) > len(rows) else "All, worst first"
    return (
        f"<h2>Subgroups</h2><p class=small>{extent}. {s['suppressed']} groups with fewer than "
        f"{s['patients_min']} patients or {s['events_min']} of either outcome are suppressed. With many groups, some "
        "look worse by chance. <i>Clearly worse</i> means that the whole interval lies below the AUROC of all "
        "patients; this also happens to a few groups by chance.</p>"
        + (table(names, rows) if rows else "<p>No group is large enough.</p>")
    )


def _robustness(report: Report) -> str:
    rows = report["robustness"]
    if not rows:
        return "<h2>Robustness to disturbances</h2><p>Not computed (--robustness 0).</p>"
    cells = [
        [r["disturbance"], _percent(r["share_answered"]), str(r["estimates"]), number(r["logit_shift_median"]),
         number(r["logit_shift_p95"]), f"{r['flips']} of {r['decisions']}", number(r["macro_auroc"])]
        for r in rows
    ]  # fmt: skip
    names = ("disturbance", "hops answered", "estimates", "logit shift, median", "95th percentile", "decisions flipped",
             "mean AUROC")  # fmt: skip
    return (
        f"<h2>Robustness to disturbances</h2><p class=small>{rows[0]['recordings']} recordings, run again with a "
        "disturbance before the timeline of the device. Packets of 0.5 s, with a device clock unless stated otherwise. "
        "Gaps are never interpolated, so packet loss reduces the number of answers before their accuracy.</p>"
        f"<div class=plots>{loss_curve(rows)}</div>{shift_bars(rows)}" + table(names, cells)
    )


def _facts(report: Report) -> str:
    h = report["header"]
    facts = [
        ("bundle", f"{h['bundle']['name']} {h['bundle']['version']}, tier {h['bundle']['tier']}"),
        ("manifest, SHA-256", h["bundle"]["manifest_sha256"]),
        ("model, SHA-256", h["bundle"]["model_sha256"]),
        ("data", f"{h['data']['name']}, part '{h['data']['split']}', {h['counts']['recordings']} recordings"),
        ("data split, SHA-256", h["data"]["sha256"]),
        ("labels", f"{h['labels']['rule']} (plan: {h['labels']['said_by']})"),
        ("seed, replicates of the bootstrap", f"{h['seed']}, {h['resamples']}"),
        ("hop", f"{h['hop_s']:g} s"),
        ("versions", ", ".join(f"{k} {v}" for k, v in h["versions"].items())),
        ("command", h["command"]),
        *[("remark", remark) for remark in h["data"]["remarks"]],
    ]
    if report["reference"] is not None:
        facts.insert(3, ("reference, SHA-256", report["reference"]["sha256"]))
    return (
        f"<h2>Data and method</h2>{facts_table(facts)}<p class=small>Intervals: percentiles of a "
        "bootstrap over patients, because windows of one patient are not independent; differences are paired over the "
        "same patients, by DeLong's method if each patient has one row. Calibration error: bins of equal size. All "
        "estimates come from the engine of the device: front end, windows, quality gate, interpreter, estimator.</p>"
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
