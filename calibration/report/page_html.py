"""The validation report as one page for clinicians and engineers: results first, then reasons, then details."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calibration.clinical.page import clinical_page
from calibration.report import findings
from calibration.report.plots import (
    auroc_forest,
    bland_altman,
    difference_forest,
    loss_curve,
    reliability,
    roc,
    shift_bars,
)
from calibration.report.text import PAGE_HEADINGS, bland_altman_words, head_cells, number, signed, span, title
from convert.pages.render import picture, render
from convert.pages.words import CUT_OFFS, names_of, value_words
from convert.teacher.hard_labels import TABLE
from edge.bundle.words import sentence, unit_words

Report = Mapping[str, Any]
Names = Mapping[str, str]

TEMPLATE = Path(__file__).parent / "templates" / "validation.html.j2"
SUBGROUP_ROWS = 25
"""Number of subgroups on the page, worst first; the JSON report has all."""


def html_page(report: Report) -> str:
    """Return the report as a self-contained page."""
    heads, by_table = report["heads"], report["header"]["labels"]["said_by"] == TABLE
    names = names_of(heads, limits=not by_table)
    checks, links = report["gate"]["checks"], report["links"]
    return render(
        TEMPLATE,
        title=findings.main_finding(report),
        about=title(report),
        notice=report["notice"],
        report=report,
        header=report["header"],
        names=names,
        find=findings,
        cut_offs="" if by_table else CUT_OFFS,
        headings=PAGE_HEADINGS,
        head_rows=[[sentence(names[h["key"]]), *head_cells(h)[1:]] for h in heads],
        forest=picture(auroc_forest(heads, names)),
        windows=_by_window(report, names),
        curves=[picture(roc(h, names)) for h in heads if h.get("roc")],
        reliabilities=[picture(reliability(h, names)) for h in heads if h.get("calibration")],
        values=[_value(h, names) for h in heads if h["kind"] == "value" and h.get("values")],
        clinical=clinical_page(report, names),
        reference=_reference(report, names),
        checks=[[c["name"], "ok" if c["ok"] else "FAILED", c["found"]] for c in checks],
        failed_checks=[i for i, c in enumerate(checks) if not c["ok"]],
        links=[[link["name"], link["status"], link["found"]] for link in links],
        failed_links=[i for i, link in enumerate(links) if link["status"] == "FAILED"],
        outcomes=_outcomes(report, names),
        subgroup_rows=_subgroups(report, names),
        robustness=_robustness(report),
        facts=_facts(report),
    )


def _by_window(report: Report, names: Names) -> list[list[str]]:
    return [
        [sentence(names[h["key"]]), number(h["auroc"]), number(w["auroc"]), span(w["auroc_ci"]), str(w["n"]),
         number(h["auprc"]), span(h["auprc_ci"]), number(w["auprc"])]
        for h in report["heads"]
        if (w := h["windows"]) and "auroc" in w
    ]  # fmt: skip


def _value(head: Mapping[str, Any], names: Names) -> dict[str, Any]:
    v = head["values"]
    covered = v["coverage"]["value"]
    return {
        "plot": picture(bland_altman(head, names)),
        "name": sentence(value_words(head)),
        "mae": f"{number(v['mae']['value'])} {unit_words(head['unit'])} ({span(v['mae']['ci'])})",
        "of_the_mean": number(v["mae_of_the_mean"]),
        "bias": bland_altman_words(head),
        "level": f"{v['level']:.0%}",
        "covered": None if covered is None else f"{covered:.1%} of the measurements ({span(v['coverage']['ci'])})",
    }


def _reference(report: Report, names: Names) -> dict[str, Any] | None:
    r = report["reference"]
    if r is None:
        return None
    rows = [
        [sentence(names[h["key"]]), str(h["windows"]), number(h["correlation"], 4), number(h["mean_difference"]),
         number(h["probability_mean"], 4), str(h["estimates"]), number(h["kappa"]),
         "-" if h["flips"] is None else str(h["flips"])]
        for h in r["heads"]
    ]  # fmt: skip
    measures = ("auroc", "sensitivity", "specificity")
    return {
        "name": r["name"],
        "finding": findings.comparison([c["verdict"] for c in report["comparisons"]]),
        "forests": [picture(difference_forest(report["comparisons"], names, measure)) for measure in measures],
        "missing": ", ".join(names[key] for key in r["missing_heads"]),
        "rows": rows,
    }


def _outcomes(report: Report, names: Names) -> list[list[str]]:
    a = report["abstention"]
    rows = [["answered", str(a["accepted"]), f"{(a['share_accepted'] or 0):.1%}"]]
    counts = {name.replace("_", " "): n for name, n in a["reasons"].items()}
    counts |= {f"{names[key]}: abstains by rhythm": n for key, n in a.get("by_rhythm", {}).items()}
    return rows + [[name, str(n), f"{n / max(a['hops'], 1):.1%}"] for name, n in counts.items()]


def _subgroups(report: Report, names: Names) -> list[list[str]]:
    return [
        [sentence(names[r["key"]]), f"{r['by']} {r['group']}".replace("_", " "), str(r["n"]), str(r["positives"]),
         number(r["auroc"]), span(r["auroc_ci"]), signed(r["difference"]), signed(r["probability_shift"]),
         "clearly worse" if r["clearly_worse"] else ""]
        for r in report["subgroups"]["rows"][:SUBGROUP_ROWS]
    ]  # fmt: skip


def _robustness(report: Report) -> dict[str, Any] | None:
    rows = report["robustness"]
    if not rows:
        return None
    cells = [
        [r["disturbance"], _percent(r["share_answered"]), str(r["estimates"]), number(r["logit_shift_median"]),
         number(r["logit_shift_p95"]), f"{r['flips']} of {r['decisions']}", number(r["macro_auroc"])]
        for r in rows
    ]  # fmt: skip
    return {
        "recordings": rows[0]["recordings"],
        "curve": picture(loss_curve(rows)),
        "bars": picture(shift_bars(rows)),
        "rows": cells,
    }


def _facts(report: Report) -> list[tuple[str, object]]:
    h = report["header"]
    facts: list[tuple[str, object]] = [
        ("bundle", f"{h['bundle']['name']} {h['bundle']['version']}, tier {h['bundle']['tier']}"),
        ("manifest, SHA-256", h["bundle"]["manifest_sha256"]),
        ("model, SHA-256", h["bundle"]["model_sha256"]),
        ("data", f"{h['data']['name']}, part '{h['data']['split']}', {_recordings(h['counts'])}"),
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
    return facts


def _recordings(counts: Mapping[str, int]) -> str:
    return f"{counts['recordings']} of {counts['recordings_in_data']} recordings"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
