"""Plots of the reports, from the numbers of the JSON report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.report.text import number, signed, span
from convert.pages.svg import BLUE, GREY, ORANGE, Plot, forest
from convert.stats.evidence import LIMITED_BELOW, STRONG_ABOVE
from edge.bundle.words import sentence, unit_words

Head = Mapping[str, Any]
Names = Mapping[str, str]
"""Name of each head in words by its key."""

COLOURS = {"strong": BLUE, "moderate": ORANGE, "limited": ORANGE}
"""Colour of a head by its evidence level; the text at its right names the level, too."""


def auroc_forest(
    heads: Sequence[Head],
    names: Names,
    title: str = "AUROC with 95 % intervals (bootstrap over patients)",
    *,
    colours: Mapping[str, str] = COLOURS,
) -> str:
    """Draw the AUROC of every head with its interval, best first.

    Args:
        heads: Heads of the report.
        names: Names of the heads.
        title: Title of the plot.
        colours: Colour by evidence level; inconclusive heads are grey.
    """
    judged = sorted((h for h in heads if h["auroc"] is not None), key=lambda h: -h["auroc"])
    if not judged:
        return ""
    rows = []
    for h in judged:
        unclear = h["conclusion"] == "INCONCLUSIVE"
        label = "inconclusive" if unclear else h["tier"]
        colour = GREY if unclear else colours[h["tier"]]
        rows.append((sentence(names[h["key"]]), h["auroc"], h["auroc_ci"], colour, f"{h['auroc']:.3f}  {label}"))
    low = min([0.4, *(r[2][0] for r in rows if r[2])])
    lines = [(0.5, "chance"), (LIMITED_BELOW, ""), (STRONG_ABOVE, "strong")]
    return forest(title, rows, (low, 1.0), lines, "AUROC")


def roc(head: Head, names: Names) -> str:
    """Draw the ROC curve with the operating point of the device."""
    name = names[head["key"]]
    plot = Plot(sentence(name), (0, 1), (0, 1), ("1 - specificity", "sensitivity"), alt=f"ROC curve of {name}")
    plot.line([(0, 0), (1, 1)], GREY, dash=True, width=1).line([tuple(p) for p in head["roc"]])
    point = head["decision"]
    if point and point["sensitivity"]["value"] is not None and point["specificity"]["value"] is not None:
        plot.dots([(1 - point["specificity"]["value"], point["sensitivity"]["value"])], ORANGE, 4.5)
    return plot.note(span(head["auroc_ci"])).note(f"AUROC {number(head['auroc'])}", 1).svg()


def reliability(head: Head, names: Names) -> str:
    """Draw the share of positives against the shown probability, in bins of equal size, with 95 % intervals.

    Notes state the calibration error and the one expected by chance.

    Args:
        head: Head of the report that has a ``calibration``.
        names: Names of the heads.
    """
    c, name = head["calibration"], names[head["key"]]
    points = [(p, y) for p, y, *_ in c["curve"]]
    # Reports of earlier versions have bins without an interval.
    ends = [(row[0], row[3], row[4]) for row in c["curve"] if len(row) > 3 and row[3] is not None]
    top = min(1.0, max([0.2, *(max(p) for p in points), *(high for _, _, high in ends)]) * 1.08)
    alt = f"Reliability of {name}: calibration error {number(c['ece'])}, by chance {number(c['ece_chance'])}"
    plot = Plot(sentence(name), (0, top), (0, top), ("probability shown", "share of positives"), alt=alt)
    plot.line([(0, 0), (top, top)], GREY, dash=True, width=1).whiskers(ends).line(points, width=1).dots(points)
    return plot.note(f"by chance {number(c['ece_chance'])}").note(f"ECE {number(c['ece'])}", 1).svg()


def bland_altman(head: Head, names: Names) -> str:
    """Draw a Bland-Altman plot: estimate minus measurement against their mean."""
    v, unit = head["values"], unit_words(head["unit"])
    points = [tuple(p) for p in v["points"]]
    low, high = v["limits"]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    reach = max(abs(low), abs(high), *(abs(y) for y in ys)) * 1.1
    labels = (f"mean of estimate and measurement, {unit}", f"estimate - measurement, {unit}")
    plot = Plot(sentence(names[head["key"]]), (min(xs), max(xs)), (-reach, reach), labels, (520, 300))
    plot.cloud(points)
    plot.level(v["bias"]["value"], ORANGE, f"bias {signed(v['bias']['value'])}", dash=False)
    return plot.level(high, ORANGE, f"+1.96 sd {high:+.2f}").level(low, ORANGE, f"-1.96 sd {low:+.2f}").svg()


def difference_forest(comparisons: Sequence[Mapping[str, Any]], names: Names, measure: str) -> str:
    """Draw the differences from the reference with the non-inferiority margin."""
    rows = []
    for c in comparisons:
        d = c["difference"]
        if c["measure"] == measure and d["value"] is not None:
            colour = {"PASS": BLUE, "FAIL": ORANGE}.get(c["verdict"], GREY)
            rows.append(
                (sentence(names[c["key"]]), d["value"], d["ci"], colour, f"{signed(d['value'])}  {c['verdict']}")
            )
    if not rows:
        return ""
    margin = next(c["margin"] for c in comparisons if c["measure"] == measure)
    ends = [x for r in rows for x in (r[1], *(r[2] or ()))]
    reach = max(3 * margin, *(abs(x) for x in ends)) * 1.05
    name = measure.upper() if measure == "auroc" else measure.capitalize()
    title = f"{name}: difference from the reference, 95 % intervals"
    return forest(title, rows, (-reach, reach), [(0.0, "same"), (-margin, f"margin -{margin:g}")], "difference")


def loss_curve(rows: Sequence[Mapping[str, Any]]) -> str:
    """Plot the share of answered hops against the share of lost packets."""
    clean = next((r for r in rows if r["kind"] == "none"), None)
    lost = [r for r in rows if r["kind"] == "loss" and r["share_answered"] is not None]
    if clean is None or clean["share_answered"] is None or not lost:
        return ""
    points = [(0.0, 100 * clean["share_answered"])] + [(100 * r["size"], 100 * r["share_answered"]) for r in lost]
    labels = ("packets lost, %", "hops answered, %")
    plot = Plot("Answered hops under packet loss", (0, 10), (0, 100), labels, (360, 250))
    return plot.line(points).dots(points).svg()


def shift_bars(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw the shift of the estimates for each disturbance."""
    moved = [r for r in rows if r["kind"] != "none" and r["logit_shift_median"] is not None]
    if not moved:
        return ""
    end = max(0.1, *(r["logit_shift_p95"] for r in moved)) * 1.05
    marks = [
        (r["disturbance"], r["logit_shift_median"], (r["logit_shift_median"], r["logit_shift_p95"]), BLUE,
         f"{r['flips']} of {r['decisions']} decisions flip")
        for r in moved
    ]  # fmt: skip
    title = "Shift of the estimates: median and 95th percentile, in logits"
    return forest(title, marks, (0.0, end), [], "shift of the logit")
