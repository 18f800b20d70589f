"""Plots of a parity report: outputs of both forms, what each head lost, and the noise of each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convert.pages.svg import BLUE, GREY, Plot, forest
from convert.parity.forms import TITLES, HeadDifference, Link, Stage
from convert.parity.layers import LayerRow, short_name
from edge.bundle.words import key_words, sentence

NAMED = 36
"""Number of heads that the plot names: those that lost most."""

MIN_APART = 0.025
"""Smallest distance of two names of layers, relative to the plot."""

FLOOR = 1e-6
"""Smallest lost correlation of the plot; smaller ones are drawn there."""


def outputs_plot(outputs: Sequence[Stage], link: Link) -> str:
    """Plot the outputs of both forms of a link against each other; empty without finite outputs of both.

    Args:
        outputs: Outputs of the forms.
        link: The link.
    """
    pair = _pair(outputs, link)
    if pair is None or not link.finite:
        return ""
    before, after = pair
    n = min(len(before.outputs), len(after.outputs))
    a, b = before.outputs[:n].ravel(), after.outputs[:n].ravel()
    ends = (float(min(a.min(), b.min())), float(max(a.max(), b.max())))
    labels = (f"output, {TITLES[before.kind]}", f"output, {TITLES[after.kind]}")
    plot = Plot("Outputs of both forms", ends, ends, labels, (420, 340))
    plot.line([(ends[0], ends[0]), (ends[1], ends[1])], GREY, dash=True, width=1)
    return plot.cloud([(float(x), float(y)) for x, y in zip(a, b, strict=True)]).svg()


def lost_plot(link: Link) -> str:
    """Draw the correlation that each head lost, the largest loss first; empty without heads that vary."""
    rows = lost_correlation(link.heads) if link.finite else []
    if not rows:
        return ""
    median = float(np.median([value for _, value in rows]))
    top = max(2.0 * rows[0][1], 1e-2)
    shown = [
        (sentence(key_words(key)), math.log10(max(lost, FLOOR)), (math.log10(FLOOR), math.log10(max(lost, FLOOR))),
         BLUE, f"{lost:.1e}" if lost >= FLOOR else f"below {FLOOR:.0e}")
        for key, lost in rows[:NAMED]
    ]  # fmt: skip
    which = f"The {len(shown)} heads that lost most" if len(rows) > len(shown) else "All heads"
    marks = [(float(power), f"1e{power}") for power in range(round(math.log10(FLOOR)), math.floor(math.log10(top)) + 1)]
    return forest(
        f"{which}: lost correlation over the windows, 1 - r",
        shown,
        (math.log10(FLOOR), math.log10(top)),
        [(math.log10(max(median, FLOOR)), f"median of {len(rows)}")],
        "lost correlation, logarithmic",
        marks,
    )


def layers_plot(rows: Sequence[LayerRow]) -> str:
    """Plot the signal to quantization noise of every layer; empty if no layer was compared."""
    points = [(float(row.index), row.sqnr_db) for row in rows if row.sqnr_db is not None]
    if not points:
        return ""
    last = rows[-1].index
    marks = [(float(start), name) for start, name in _apart(layer_groups(rows), last)]
    values = [db for _, db in points]
    labels = ("first operation of each part of the network", "centred SQNR, dB")
    title = "Signal to quantization noise of each layer"
    ends = (min(values) - 2.0, max(values) + 2.0)
    plot = Plot(title, (0.0, float(last)), ends, labels, (860, 320), x_marks=marks)
    return plot.line(points, width=0.8).dots(points, radius=1.8).svg()


def lost_correlation(heads: Sequence[HeadDifference]) -> list[tuple[str, float]]:
    """Return what each head lost, ``1 - correlation``, with its key, the largest loss first."""
    found = [(h.key, 1.0 - h.correlation) for h in heads if h.correlation is not None]
    return sorted(found, key=lambda row: -row[1])


def layer_groups(rows: Sequence[LayerRow]) -> list[tuple[int, str]]:
    """Return where the parts of a network begin: index of the first operation, and name of the part."""
    out: list[tuple[int, str]] = []
    for row in rows:
        parts = short_name(row.name).split(".")
        # ECGFounder's names are stage_list.3.block_list.0.conv1; students have block3.depth.
        part = f"stage {parts[1]}" if parts[0] == "stage_list" and len(parts) > 1 else parts[0]
        if not out or out[-1][1] != part:
            out.append((row.index, part))
    return out


def _apart(groups: Sequence[tuple[int, str]], last: int) -> list[tuple[int, str]]:
    """Return the parts whose names do not overlap in the plot; longer parts go first."""
    ends = [*(start for start, _ in groups[1:]), last + 1]
    by_length = sorted(zip(groups, ends, strict=True), key=lambda row: row[0][0] - row[1])
    kept: list[tuple[int, str]] = []
    for (start, name), _ in by_length:
        if all(abs(start - other) >= MIN_APART * (last + 1) for other, _ in kept):
            kept.append((start, name))
    return sorted(kept)


def _pair(outputs: Sequence[Stage], link: Link) -> tuple[Stage, Stage] | None:
    stages = {stage.kind: stage for stage in outputs}
    if link.before not in stages or link.after not in stages:
        return None
    return stages[link.before], stages[link.after]
