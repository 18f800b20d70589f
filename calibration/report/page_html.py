"""The report as one page for a clinician and an engineer: what holds first, then why, then everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.report.page import escaped, page, table
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
"""Worst subgroups on the page; all are in the JSON twin."""


def html_page(report: Report) -> str:
    """The whole report; it needs nothing beside it."""
    parts = [_top(report), _heads(report), _plots(report), _values(report), _reference(report), _gate(report),
             _abstention(report), _subgroups(report), _robustness(report), _facts(report)]  # fmt: skip
    return page(title(report), parts)


def _top(report: Report) -> str:
    c, ok = report["header"]["counts"], report["gate"]["ok"]
    failed = [check["name"] for check in report["gate"]["checks"] if not check["ok"]]
    verdict = "The gate holds." if ok else f"The gate FAILS: {', '.join(failed)}."
    of_whom = "simulated patients" if report["header"]["data"]["simulated"] else "patients"
    return (
        f"<h1>{escaped(title(report))}</h1><p class=notice>{escaped(report['notice'])}"
        + (" These patients are simulated: the numbers say nothing about people." if "sim" in of_whom else "")
        + f"</p><p class='verdict{'' if ok else ' bad'}'><b>{escaped(verdict)}</b><br>{escaped(report['summary'])}.</p>"
        f"<p>{c['patients']} {of_whom}, {c['estimates']} estimates made of {c['windows']} ten-second windows, "
        f"{c['events']} abnormal results. An <i>estimate</i> is what the device shows after listening for up to some "
        "minutes; all numbers are of estimates unless windows are named.</p>"
    )


def _heads(report: Report) -> str:
    rows = [head_cells(h) for h in report["heads"]]
    notes = "".join(f"<li>{escaped(h['key'])}: {escaped(h['note'])}" for h in report["heads"] if h["note"])
    return (
        "<h2>What each output can do</h2>" + auroc_forest(report["heads"])
        + "<p class=small>AUROC: how often a patient with the abnormal result gets the higher estimate than one "
        "without; 0.5 is chance. Tiers as in the AnyECG-Lab paper: strong above 0.65, moderate 0.55 to 0.65, limited "
        "below. "
        "INCONCLUSIVE: the interval reaches chance or rests on fewer "
        "than ten, so nothing has been shown, whatever the tier. ECE: mean distance "
        "of probability and outcome. Slope: 1 is right, below 1 overconfident. Sensitivity and specificity at the "
        "threshold at which the device raises its flag.</p>"
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
    believed = "".join(reliability(h) for h in report["heads"] if h.get("calibration"))
    return (
        "<h2>ROC curves</h2><p class=small>The orange dot is the device's threshold.</p>"
        f"<div class=plots>{curves}</div>"
        "<h2>Can the probabilities be believed?</h2><p class=small>Bins of equal size; on the diagonal they are right. "
        "With few patients the dots scatter even for perfect probabilities: <i>by chance</i> says how far.</p>"
        f"<div class=plots>{believed}</div>"
    )


def _values(report: Report) -> str:
    out = []
    for h in report["heads"]:
        v = h.get("values")
        if h["kind"] != "value" or not v:
            continue
        covered = v["coverage"]["value"]
        said = "" if covered is None else (
            f" The interval that the device shows promises {v['level']:.0%} and held {covered:.1%} of the measurements "
            f"({span(v['coverage']['ci'])})."
        )  # fmt: skip
        out.append(
            bland_altman(h)
            + f"<p>{escaped(h['key'])}: mean absolute error {number(v['mae']['value'])} {escaped(h['unit'])} "
            f"({span(v['mae']['ci'])}); always saying the mean would reach {number(v['mae_of_the_mean'])}.{said}</p>"
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
        f"<h2>Against the reference: {escaped(r['name'])}</h2><p class=small>Margins named beforehand: "
        f"{m['auroc_margin']:g} of AUROC, {m['decision_margin']:g} of sensitivity and specificity at the deployed "
        "thresholds. PASS: the whole interval lies above minus the margin. FAIL: all of it below. INCONCLUSIVE: too "
        "few patients to say.</p>" + forests + missing
        + "<p>Agreement, whatever the truth: outputs of the same windows; decisions of the same estimates.</p>"
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
        f"<h2>The gate</h2><table class=words>{checks}</table><h2>The same model everywhere?</h2>"
        f"<table class=words>{links}</table>"
    )


def _abstention(report: Report) -> str:
    a = report["abstention"]
    rows = [[name.replace("_", " "), str(n), f"{n / max(a['hops'], 1):.1%}"] for name, n in a["reasons"].items()]
    rows.insert(0, ["answered", str(a["accepted"]), f"{(a['share_accepted'] or 0):.1%}"])
    broken = "".join(f"<li>{escaped(why)}" for why in a["broken"])
    return (
        "<h2>When it does not answer</h2>" + table(("what a hop came to", "hops", "share"), rows)
        + f"<p>{a['recordings_without_estimate']} recordings gave no estimate at all.</p>"
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
    names = ("group", "n", "positives", "AUROC", "95 % interval", "less the whole", "shown - observed", "")
    shown = f"The worst {len(rows)} of {len(s['rows'])}" if len(s["rows"]) > len(rows) else "All, worst first"
    return (
        f"<h2>Does it hold for everybody?</h2><p class=small>{shown}. {s['suppressed']} groups with fewer than "
        f"{s['patients_min']} patients or {s['events_min']} of either outcome are suppressed. With so many groups some "
        "look worse by chance: <i>clearly worse</i> means that the interval lies below the whole's AUROC, which still "
        "happens by chance to a few.</p>" + (table(names, rows) if rows else "<p>No group is large enough.</p>")
    )


def _robustness(report: Report) -> str:
    rows = report["robustness"]
    if not rows:
        return "<h2>When the signal suffers</h2><p>Not tried (--robustness 0).</p>"
    cells = [
        [r["disturbance"], _percent(r["share_answered"]), str(r["estimates"]), number(r["logit_shift_median"]),
         number(r["logit_shift_p95"]), f"{r['flips']} of {r['decisions']}", number(r["macro_auroc"])]
        for r in rows
    ]  # fmt: skip
    names = ("disturbance", "hops answered", "estimates", "logit shift, median", "95th percentile", "decisions flipped",
             "mean AUROC")  # fmt: skip
    return (
        f"<h2>When the signal suffers</h2><p class=small>{rows[0]['recordings']} recordings again, disturbed before "
        "the device's own timeline, with a device clock unless said otherwise; packets of half a second. Gaps are "
        "never "
        "interpolated, so loss costs answers before it costs accuracy.</p>"
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
    rows = "".join(f"<tr><td>{escaped(k)}<td><code>{escaped(str(v))}</code>" for k, v in facts)
    return (
        f"<h2>What was judged, and how</h2><table class=words>{rows}</table><p class=small>Intervals: percentiles of a "
        "bootstrap over patients, as windows of one patient are not independent; paired differences by the same "
        "patients, by DeLong where every row is a patient. Calibration error: bins of equal mass. Everything ran "
        "through the device's own engine: front end, windows, quality gate, interpreter, estimator.</p>"
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
