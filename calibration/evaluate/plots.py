"""The plots of the evaluation, from the numbers of its JSON twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.report.svg import BLUE, GREY, ORANGE, Plot, forest
from calibration.report.text import number
from convert.stats.evidence import LIMITED_BELOW, STRONG_ABOVE

GREEN = "#3f7f5f"
COLOURS = {"strong": BLUE, "moderate": GREEN, "limited": ORANGE}
"""By tier; the tier also stands in words beside each."""

Head = Mapping[str, Any]


def auroc_forest(heads: Sequence[Head], of: str) -> str:
    """AUROC of every head with its interval, best first, coloured by tier.

    Args:
        heads: As the report has them.
        of: What they are, for the title.
    """
    judged = sorted((h for h in heads if h["auroc"] is not None), key=lambda h: -h["auroc"])
    if not judged:
        return ""
    rows = []
    for h in judged:
        unclear = h["conclusion"] == "INCONCLUSIVE"
        said = f"{h['auroc']:.3f}  {'inconclusive' if unclear else h['tier']}"
        rows.append((h["key"], h["auroc"], h["auroc_ci"], GREY if unclear else COLOURS[h["tier"]], said))
    least = min([0.4, *(r[2][0] for r in rows if r[2])])
    lines = [(0.5, "chance"), (LIMITED_BELOW, ""), (STRONG_ABOVE, "strong")]
    return forest(f"AUROC {of}, with 95 % intervals (bootstrap over patients)", rows, (least, 1.0), lines, "AUROC")


def now_and_ahead(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    """AUROC of a horizon against that of now: a dot a lab and direction."""
    points = [
        (r["now"]["auroc"], r[column]["auroc"])
        for r in rows
        if r["now"] and r[column] and r["now"]["auroc"] is not None and r[column]["auroc"] is not None
    ]
    if not points:
        return ""
    plot = _square(f"{column} min ahead", points, ("AUROC now", f"AUROC in (0, {column}] min"))
    above = sum(y > x for x, y in points)
    return plot.note(f"{above} of {len(points)} above the line").svg()


def against_baseline(heads: Sequence[Mapping[str, Any]], name: str) -> str:
    """AUROC of the network against a baseline's: a dot a head, filled where the interval of the difference is clear."""
    by_verdict: dict[str, list[tuple[float, float]]] = {"better": [], "worse": [], "INCONCLUSIVE": []}
    for h in heads:
        found = h["against"][name]
        if h["kind"] == "probability" and found["network"] is not None and found["verdict"] in by_verdict:
            by_verdict[found["verdict"]].append((found["other"], found["network"]))
    points = [p for some in by_verdict.values() for p in some]
    if not points:
        return ""
    plot = _square(f"against {name}", points, (f"AUROC of {name}", "AUROC of the network"), draw=False)
    plot.dots(by_verdict["INCONCLUSIVE"], GREY, 3.0, 0.7)
    plot.dots(by_verdict["worse"], ORANGE, 3.5).dots(by_verdict["better"], BLUE, 3.5)
    said = f"better {len(by_verdict['better'])}, worse {len(by_verdict['worse'])}"
    return plot.note(f"inconclusive {len(by_verdict['INCONCLUSIVE'])}").note(said, 1).svg()


def _square(title: str, points: Sequence[tuple[float, float]], labels: tuple[str, str], *, draw: bool = True) -> Plot:
    low = min(0.45, *(min(p) for p in points)) - 0.01
    high = max(0.75, *(max(p) for p in points)) + 0.01
    ends = (max(0.0, low), min(1.0, high))
    plot = Plot(title, ends, ends, labels, (310, 296), alt=title)
    plot.line([(ends[0], ends[0]), (ends[1], ends[1])], GREY, dash=True, width=1)
    return plot.dots(points, BLUE, 3.2, 0.75) if draw else plot


def ten_minutes(heads: Sequence[Mapping[str, Any]]) -> str:
    """Difference of the AUROC of ten minutes and of one segment, with its interval, largest first; heads of now."""
    now = [h for h in heads if h["kind"] == "probability" and h["horizon_min"] is None]
    found = [h for h in now if h["difference"] and h["difference"]["value"] is not None]
    if not found:
        return ""
    colours = {"better": BLUE, "worse": ORANGE}
    rows = [
        (h["key"], h["difference"]["value"], h["difference"]["ci"], colours.get(h["verdict"], GREY),
         f"{number(h['single'])} to {number(h['aggregate'])}")
        for h in sorted(found, key=lambda h: -h["difference"]["value"])
    ]  # fmt: skip
    reach = max(0.02, *(abs(x) for r in rows for x in (r[1], *(r[2] or ())))) * 1.05
    return forest(
        "Ten minutes less one segment, now, 95 % intervals",
        rows,
        (-reach, reach),
        [(0.0, "same")],
        "difference of AUROC",
    )


def reliability(head: Head) -> str:
    """Share of positives against the probability shown, in bins of equal mass."""
    c = head["calibration"]
    points = [(p, y) for p, y, _ in c["curve"]]
    most = min(1.0, max([0.2, *(max(p) for p in points)]) * 1.08)
    plot = Plot(head["key"], (0, most), (0, most), ("probability shown", "share of positives"), (210, 200))
    plot.line([(0, 0), (most, most)], GREY, dash=True, width=1).line(points, width=1).dots(points, BLUE, 3.0)
    return plot.note(f"ECE {number(c['ece'])}, by chance {number(c['ece_chance'])}").svg()
