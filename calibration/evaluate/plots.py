"""Plots of the evaluation report, from the numbers of the JSON report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calibration.report.plots import Names, auroc_forest
from calibration.report.text import number
from convert.pages.svg import BLUE, GREEN, GREY, ORANGE, Plot, forest
from edge.bundle.words import sentence

COLOURS = {"strong": BLUE, "moderate": GREEN, "limited": ORANGE}
"""Colour of a head by its evidence level; the text at its right names the level, too."""

Head = Mapping[str, Any]


def coloured_forest(heads: Sequence[Head], names: Names, when: str) -> str:
    """Draw the AUROC of every head with its interval, best first, with one colour for each evidence level.

    Args:
        heads: Heads of the report.
        names: Names of the heads.
        when: Horizon of the heads for the title, such as ``now``.
    """
    title = f"AUROC {when}, with 95 % intervals (bootstrap over patients)"
    return auroc_forest(heads, names, title, colours=COLOURS)


def now_and_ahead(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    """Plot the AUROC at a horizon against the AUROC now, one dot for each lab and direction."""
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
    """Plot the AUROC of the network against that of a baseline, one dot per head, coloured by the verdict."""
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
    counts = f"better {len(by_verdict['better'])}, worse {len(by_verdict['worse'])}"
    return plot.note(f"inconclusive {len(by_verdict['INCONCLUSIVE'])}").note(counts, 1).svg()


def _square(title: str, points: Sequence[tuple[float, float]], labels: tuple[str, str], *, draw: bool = True) -> Plot:
    low = min(0.45, *(min(p) for p in points)) - 0.01
    high = max(0.75, *(max(p) for p in points)) + 0.01
    ends = (max(0.0, low), min(1.0, high))
    plot = Plot(title, ends, ends, labels, (310, 296), alt=title)
    plot.line([(ends[0], ends[0]), (ends[1], ends[1])], GREY, dash=True, width=1)
    return plot.dots(points, BLUE, 3.2, 0.75) if draw else plot


def ten_minutes(heads: Sequence[Mapping[str, Any]], names: Names) -> str:
    """Draw the AUROC of ten minutes minus that of one segment with its interval, largest first, without horizons."""
    now = [h for h in heads if h["kind"] == "probability" and h["horizon_min"] is None]
    found = [h for h in now if h["difference"] and h["difference"]["value"] is not None]
    if not found:
        return ""
    colours = {"better": BLUE, "worse": ORANGE}
    rows = [
        (sentence(names[h["key"]]), h["difference"]["value"], h["difference"]["ci"], colours.get(h["verdict"], GREY),
         f"{number(h['single'])} to {number(h['aggregate'])}")
        for h in sorted(found, key=lambda h: -h["difference"]["value"])
    ]  # fmt: skip
    reach = max(0.02, *(abs(x) for r in rows for x in (r[1], *(r[2] or ())))) * 1.05
    return forest(
        "Ten minutes minus one segment, now, 95 % intervals",
        rows,
        (-reach, reach),
        [(0.0, "same")],
        "difference of AUROC",
    )
