"""The clinical chapters as cells and plots of the validation page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.clinical.checklists import AUTHORS
from calibration.report.text import number, signed, span
from convert.pages.render import picture
from convert.pages.svg import BLUE, GREY, ORANGE, Plot
from edge.bundle.words import sentence

Report = Mapping[str, Any]
Names = Mapping[str, str]


def clinical_page(report: Report, names: Names) -> dict[str, Any]:
    """Return the names that ``clinical.html.j2`` uses.

    Args:
        report: The validation report.
        names: Name of each head in words.
    """
    c = report["clinical"]
    return {
        "finding": finding(report),
        "left_out": c["left_out"],
        "points": [row for head in c["heads"] for row in _points(head, names)],
        "prevalences": [f"{at['prevalence']:.0%}" for at in _stated(report)],
        "predictive": [row for head in c["heads"] for row in _predictive(head, names)],
        "calibrated": [
            [sentence(names[h["key"]]), signed(h["in_the_large"]["value"], 2), span(h["in_the_large"]["ci"], 2),
             number(h["slope"]["value"], 2), span(h["slope"]["ci"], 2)]
            for h in c["heads"]
        ],
        "curves": [picture(decision_plot(h, names)) for h in c["heads"]],
        "alerts": [_alerts(h, names) for h in c["heads"] if h["alerts"]],
        "severity": [_severity(row, names) for row in c["severity"]],
        "external": _external(report, names),
        "checklists": {
            title: [[row["item"], row["topic"], row["answer"] or AUTHORS] for row in report["checklists"][key]]
            for title, key in (("TRIPOD+AI", "tripod"), ("STARD", "stard"))
        },
    }  # fmt: skip


def finding(report: Report) -> str:
    """Return for how many outputs a benefit is shown."""
    heads = report["clinical"]["heads"]
    if not heads:
        return "No output has enough patients"
    useful = sum(h["useful"] is not None for h in heads)
    return f"A net benefit is shown for {useful} of {len(heads)} outputs with enough patients"


def _stated(report: Report) -> list[Mapping[str, Any]]:
    for head in report["clinical"]["heads"]:
        for point in head["points"]:
            if point["at"]:
                return list(point["at"])
    return []


def _points(head: Mapping[str, Any], names: Names) -> list[list[str]]:
    return [
        [sentence(names[head["key"]]), p["rule"], number(p["threshold"]), _share(p["sensitivity"]),
         _share(p["specificity"]), _share(p["ppv"]), _share(p["npv"]), str(p["flagged"])]
        for p in head["points"]
    ]  # fmt: skip


def _predictive(head: Mapping[str, Any], names: Names) -> list[list[str]]:
    return [
        [sentence(names[head["key"]]), p["rule"],
         *[f"{number(at['ppv']['value'])} / {number(at['npv']['value'])}" for at in p["at"]]]
        for p in head["points"] if p["at"]
    ]  # fmt: skip


def _share(measure: Mapping[str, Any]) -> str:
    if measure["value"] is None:
        return "-"
    ends = measure["ci"]
    return f"{measure['value']:.2f}" + ("" if ends is None else f" ({ends[0]:.2f}-{ends[1]:.2f})")


def _alerts(head: Mapping[str, Any], names: Names) -> list[str]:
    a = head["alerts"]
    return [sentence(names[head["key"]]), str(a["alerts"]), number(a["days"], 2), number(a["per_day"]["value"], 2),
            span(a["per_day"]["ci"], 2), number(a["false_per_day"]["value"], 2)]  # fmt: skip


def _severity(row: Mapping[str, Any], names: Names) -> list[str]:
    sign = "above" if row["direction"] == "high" else "below"
    few = "" if row["enough_patients"] else "INCONCLUSIVE"
    return [sentence(names[row["key"]]), f"{sign} {row['cut_off']:g} {row['unit']}", str(row["positive_patients"]),
            number(row["auroc"]), span(row["auroc_ci"]), _share(row["found"]), few]  # fmt: skip


def _p(value: float | None) -> str:
    return "< 0.001" if value is not None and value < 0.001 else number(value)


def _external(report: Report, names: Names) -> dict[str, Any] | None:
    e = report["external"]
    if e is None:
        return None
    rows = [
        [sentence(names[h["key"]]), number(h["internal"]), number(h["external"]), span(h["external_ci"]), str(h["n"]),
         signed(h["difference"]), span(h["difference_ci"]), _p(h["p_adjusted"]), h["verdict"]]
        for h in e["heads"]
    ]  # fmt: skip
    return {
        "name": e["data"], "patients": e["patients"], "rows": rows, "remarks": e["remarks"],
        "rule": e["labels"]["rule"], "tests": sum(h["p_adjusted"] is not None for h in e["heads"]),
    }  # fmt: skip


def decision_plot(head: Mapping[str, Any], names: Names) -> str:
    """Draw the decision curve of a head: the model, everybody tested, nobody tested."""
    rows = head["benefit"]
    top = max(0.01, *(r["model"]["value"] for r in rows), *(r["all"] for r in rows))
    name = names[head["key"]]
    plot = Plot(sentence(name), (0.0, 0.5), (-0.25 * top, 1.1 * top), ("threshold probability", "net benefit"),
                alt=f"decision curve of {name}")  # fmt: skip
    plot.line([(0.0, 0.0), (0.5, 0.0)], GREY, width=1)
    everybody = [(r["threshold"], r["all"]) for r in rows if r["all"] >= -0.25 * top]
    plot.line(everybody, ORANGE, dash=True)
    plot.line([(r["threshold"], r["model"]["value"]) for r in rows], BLUE)
    return plot.note("blue: model; orange: test all").svg()
