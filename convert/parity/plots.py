"""Plots of a parity report: outputs of both forms, what each head lost, and the noise of each layer."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from convert.parity.forms import TITLES, HeadDifference, Link, ParityReport, Stage
from convert.parity.layers import LayerRow, short_name

COLOUR = "#2b6cb0"
GREY = "#999"

NAMED = 36
"""Number of heads that the plot names: those that lost most."""

MIN_APART = 0.025
"""Smallest distance of two names of layers, relative to the plot."""

FLOOR = 1e-6
"""Smallest lost correlation of the plot; smaller ones are drawn there."""


def plots(report: ParityReport, link: Link | None) -> list[tuple[str, str]]:
    """Return the plots of a report as alternative text and PNG in base64.

    Args:
        report: The report with the outputs of the forms.
        link: The link whose heads are shown; ``None`` for none.
    """
    out = []
    if link is not None and link.finite:
        pair = _pair(report.outputs, link)
        if pair is not None:
            out.append((f"outputs, {TITLES[link.before]} and {TITLES[link.after]}", _png(_outputs(*pair))))
        known = [h for h in link.heads if h.correlation is not None]
        if known:
            out.append(("lost correlation by head", _png(_lost(known))))
    if any(row.sqnr_db is not None for row in report.layers):
        out.append(("signal to quantization noise by layer", _png(_layers(report.layers))))
    return out


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


def _outputs(before: Stage, after: Stage) -> Any:
    figure, axes = _figure(5.5, 4.5)
    n = min(len(before.outputs), len(after.outputs))
    a, b = before.outputs[:n].ravel(), after.outputs[:n].ravel()
    axes.plot(a, b, ".", ms=2, color=COLOUR)
    ends = [float(a.min()), float(a.max())]
    axes.plot(ends, ends, color=GREY, lw=0.8)
    axes.set(xlabel=f"output, {TITLES[before.kind]}", ylabel=f"output, {TITLES[after.kind]}")
    return figure


def _lost(heads: Sequence[HeadDifference]) -> Any:
    rows = lost_correlation(heads)
    shown = rows[:NAMED][::-1]
    figure, axes = _figure(7.5, 1.3 + 0.19 * len(shown))
    lost = [max(value, FLOOR) for _, value in shown]
    axes.hlines(range(len(shown)), FLOOR, lost, color="#cbd5e0", lw=1)
    axes.plot(lost, range(len(shown)), "o", ms=4, color=COLOUR)
    median = float(np.median([value for _, value in rows]))
    said = f"{median:.1e}" if median >= FLOOR else f"below {FLOOR:.0e}"
    axes.axvline(max(median, FLOOR), color=GREY, ls="--", lw=0.8, label=f"median of {len(rows)} heads: {said}")
    axes.set_yticks(range(len(shown)), [key for key, _ in shown], fontsize=7)
    axes.set(xscale="log", xlim=(0.7 * FLOOR, max(2.0 * max(lost), 1e-2)), ylim=(-0.8, len(shown) - 0.2))
    which = f"the {len(shown)} heads that lost most" if len(rows) > len(shown) else "all heads"
    axes.set_xlabel(f"lost correlation over the windows, 1 - r; {which}")
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.legend(loc="lower right", fontsize=7)
    return figure


def _layers(rows: Sequence[LayerRow]) -> Any:
    figure, axes = _figure(10, 3.4)
    points = [(row.index, row.sqnr_db) for row in rows if row.sqnr_db is not None]
    axes.plot([i for i, _ in points], [db for _, db in points], ".-", ms=3, lw=0.6, color=COLOUR)
    groups = _apart(layer_groups(rows), rows[-1].index)
    axes.set_xticks([i for i, _ in groups], [name for _, name in groups], rotation=45, ha="right", fontsize=7)
    axes.set(xlabel="first operation of each part of the network", ylabel="centred SQNR, dB")
    axes.grid(visible=True, alpha=0.3)
    return figure


def _apart(groups: Sequence[tuple[int, str]], last: int) -> list[tuple[int, str]]:
    """Return the parts whose names do not overlap in the plot; longer parts go first."""
    ends = [*(start for start, _ in groups[1:]), last + 1]
    by_length = sorted(zip(groups, ends, strict=True), key=lambda row: row[0][0] - row[1])
    kept: list[tuple[int, str]] = []
    for (start, name), _ in by_length:
        if all(abs(start - other) >= MIN_APART * (last + 1) for other, _ in kept):
            kept.append((start, name))
    return sorted(kept)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _pair(outputs: Sequence[Stage], link: Link) -> tuple[Stage, Stage] | None:
    stages = {stage.kind: stage for stage in outputs}
    if link.before not in stages or link.after not in stages:
        return None
    return stages[link.before], stages[link.after]


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode()
