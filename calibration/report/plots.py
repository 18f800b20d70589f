"""The plots of the report, from the numbers of its JSON twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.report.svg import BLUE, GREY, ORANGE, Plot, forest
from calibration.report.text import number, signed, span
from convert.stats.evidence import LIMITED_BELOW, STRONG_ABOVE

Head = Mapping[str, Any]


def auroc_forest(heads: Sequence[Head]) -> str:
    """AUROC of every head with its interval, best first."""
    judged = sorted((h for h in heads if h["auroc"] is not None), key=lambda h: -h["auroc"])
    if not judged:
        return ""
    rows = []
    for h in judged:
        unclear = h["conclusion"] == "INCONCLUSIVE"
        colour = GREY if unclear else BLUE if h["tier"] == "strong" else ORANGE
        said = h["tier"] + (", inconclusive" if unclear else "")
        rows.append((h["key"], h["auroc"], h["auroc_ci"], colour, f"{h['auroc']:.3f}  {said}"))
    least = min([0.4, *(r[2][0] for r in rows if r[2])])
    lines = [(0.5, "chance"), (LIMITED_BELOW, ""), (STRONG_ABOVE, "strong")]
    return forest("AUROC with 95 % intervals (bootstrap over patients)", rows, (least, 1.0), lines, "AUROC")


def roc(head: Head) -> str:
    """The ROC curve with the point where the device decides."""
    plot = Plot(head["key"], (0, 1), (0, 1), ("1 - specificity", "sensitivity"), alt=f"ROC curve of {head['key']}")
    plot.line([(0, 0), (1, 1)], GREY, dash=True, width=1).line([tuple(p) for p in head["roc"]])
    decided = head["decision"]
    if decided and decided["sensitivity"]["value"] is not None and decided["specificity"]["value"] is not None:
        plot.dots([(1 - decided["specificity"]["value"], decided["sensitivity"]["value"])], ORANGE, 4.5)
    return plot.note(span(head["auroc_ci"])).note(f"AUROC {number(head['auroc'])}", 1).svg()


def reliability(head: Head) -> str:
    """Share of positives against the probability that the device showed, in bins of equal mass."""
    c = head["calibration"]
    points = [(p, y) for p, y, _ in c["curve"]]
    most = min(1.0, max([0.2, *(max(p) for p in points)]) * 1.08)
    labels = ("probability shown", "share of positives")
    plot = Plot(head["key"], (0, most), (0, most), labels, alt=f"Reliability of {head['key']}")
    plot.line([(0, 0), (most, most)], GREY, dash=True, width=1).line(points, width=1).dots(points, BLUE, 3.5)
    return plot.note(f"by chance {number(c['ece_chance'])}").note(f"ECE {number(c['ece'])}", 1).svg()


def bland_altman(head: Head) -> str:
    """Estimate less measurement against their mean."""
    v, unit = head["values"], head["unit"]
    points = [tuple(p) for p in v["points"]]
    low, high = v["limits"]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    most = max(abs(low), abs(high), *(abs(y) for y in ys)) * 1.1
    labels = (f"mean of estimate and measurement, {unit}", f"estimate - measurement, {unit}")
    plot = Plot(f"{head['key']}: Bland-Altman", (min(xs), max(xs)), (-most, most), labels, (520, 300))
    plot.dots(points, BLUE, 2.2, 0.45)
    plot.level(v["bias"]["value"], ORANGE, f"bias {signed(v['bias']['value'])}", dash=False)
    return plot.level(high, ORANGE, f"+1.96 sd {high:+.2f}").level(low, ORANGE, f"-1.96 sd {low:+.2f}").svg()


def difference_forest(comparisons: Sequence[Mapping[str, Any]], measure: str) -> str:
    """Differences from the reference with the margin."""
    rows = []
    for c in comparisons:
        d = c["difference"]
        if c["measure"] == measure and d["value"] is not None:
            colour = {"PASS": BLUE, "FAIL": ORANGE}.get(c["verdict"], GREY)
            rows.append((c["key"], d["value"], d["ci"], colour, f"{signed(d['value'])}  {c['verdict']}"))
    if not rows:
        return ""
    margin = next(c["margin"] for c in comparisons if c["measure"] == measure)
    ends = [x for r in rows for x in (r[1], *(r[2] or ()))]
    reach = max(3 * margin, *(abs(x) for x in ends)) * 1.05
    title = f"{measure}: difference from the reference, 95 % intervals"
    return forest(title, rows, (-reach, reach), [(0.0, "same"), (-margin, f"margin -{margin:g}")], "difference")


def loss_curve(rows: Sequence[Mapping[str, Any]]) -> str:
    """How often the device answers when packets are lost."""
    clean = next((r for r in rows if r["kind"] == "none"), None)
    lost = [r for r in rows if r["kind"] == "loss" and r["share_answered"] is not None]
    if clean is None or clean["share_answered"] is None or not lost:
        return ""
    points = [(0.0, 100 * clean["share_answered"])] + [(100 * r["size"], 100 * r["share_answered"]) for r in lost]
    labels = ("packets lost, %", "hops answered, %")
    plot = Plot("Packet loss: how often it answers", (0, 10), (0, 100), labels, (360, 250))
    return plot.line(points).dots(points).svg()


def shift_bars(rows: Sequence[Mapping[str, Any]]) -> str:
    """How far the estimates move, by disturbance."""
    shown = [r for r in rows if r["kind"] != "none" and r["logit_shift_median"] is not None]
    if not shown:
        return ""
    most = max(0.1, *(r["logit_shift_p95"] for r in shown)) * 1.05
    marks = [
        (r["disturbance"], r["logit_shift_median"], (r["logit_shift_median"], r["logit_shift_p95"]), BLUE,
         f"{r['flips']} of {r['decisions']} decisions flip")
        for r in shown
    ]  # fmt: skip
    title = "How far estimates move: median and 95th percentile, in logits"
    return forest(title, marks, (0.0, most), [], "change of the shown logit")
