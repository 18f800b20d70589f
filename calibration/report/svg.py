"""Small plots as self-contained inline SVG; the same numbers give the same bytes."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

BLUE, ORANGE, GREY, PALE, INK = "#1f5fa8", "#c2571a", "#8a8f98", "#e3e6ea", "#22262b"
"""Colours of the plots; colour-blind readers can distinguish blue and orange."""

LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 36
"""Margins, pixels."""

Point = tuple[float, float]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers between two ends, about the given count."""
    width = max(high - low, 1e-12)
    raw = width / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


class Plot:
    """A plot with one pair of axes.

    Args:
        title: Title above the plot.
        x: Ends of the horizontal axis.
        y: Ends of the vertical axis.
        labels: Labels of the horizontal and the vertical axis.
        size: Width and height, pixels.
        alt: Alternative text for screen readers; the title by default.
    """

    def __init__(
        self, title: str, x: Point, y: Point, labels: tuple[str, str], size: tuple[int, int] = (250, 236), alt: str = ""
    ) -> None:
        self._x, self._y, self._size = _widened(x), _widened(y), size
        self._title, self._labels, self._alt = title, labels, alt or title
        self._parts: list[str] = []

    def _px(self, x: float) -> float:
        low, high = self._x
        return LEFT + (x - low) / (high - low) * (self._size[0] - LEFT - RIGHT)

    def _py(self, y: float) -> float:
        low, high = self._y
        return self._size[1] - BOTTOM - (y - low) / (high - low) * (self._size[1] - TOP - BOTTOM)

    def line(self, points: Sequence[Point], colour: str = BLUE, *, dash: bool = False, width: float = 1.8) -> Plot:
        """Add a polyline."""
        path = " ".join(f"{self._px(x):.1f},{self._py(y):.1f}" for x, y in points)
        dashed = ' stroke-dasharray="4 3"' if dash else ""
        self._parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashed}/>')
        return self

    def dots(self, points: Sequence[Point], colour: str = BLUE, radius: float = 3.0, opacity: float = 1.0) -> Plot:
        """Add dots."""
        self._parts.append(f'<g fill="{colour}" fill-opacity="{opacity:g}">')
        self._parts += [f'<circle cx="{self._px(x):.1f}" cy="{self._py(y):.1f}" r="{radius:g}"/>' for x, y in points]
        self._parts.append("</g>")
        return self

    def level(self, y: float, colour: str = GREY, text: str = "", *, dash: bool = True) -> Plot:
        """Add a horizontal line over the whole width, with a text at its right end."""
        self.line([(self._x[0], y), (self._x[1], y)], colour, dash=dash, width=1.2)
        if text:
            at = f'x="{self._size[0] - RIGHT - 2}" y="{self._py(y) - 4:.1f}"'
            self._parts.append(f'<text {at} text-anchor="end" fill="{colour}" class="s">{html.escape(text)}</text>')
        return self

    def note(self, text: str, row: int = 0) -> Plot:
        """Add a line of text at the lower right, inside the axes."""
        at = f'x="{self._size[0] - RIGHT - 6}" y="{self._size[1] - BOTTOM - 8 - 13 * row}"'
        self._parts.append(f'<text {at} text-anchor="end" class="s h">{html.escape(text)}</text>')
        return self

    def svg(self) -> str:
        """Return the finished plot."""
        w, h = self._size
        out = [_open(w, h, self._alt)]
        out.append(f'<text x="{LEFT}" y="15" class="t">{html.escape(self._title)}</text>')
        for x in ticks(*self._x):
            out.append(f'<line x1="{self._px(x):.1f}" x2="{self._px(x):.1f}" y1="{TOP}" y2="{h - BOTTOM}" class="g"/>')
            out.append(f'<text x="{self._px(x):.1f}" y="{h - BOTTOM + 13}" text-anchor="middle" class="s">{x:g}</text>')
        for y in ticks(*self._y):
            out.append(f'<line x1="{LEFT}" x2="{w - RIGHT}" y1="{self._py(y):.1f}" y2="{self._py(y):.1f}" class="g"/>')
            out.append(f'<text x="{LEFT - 5}" y="{self._py(y) + 4:.1f}" text-anchor="end" class="s">{y:g}</text>')
        middle, below = (LEFT + w - RIGHT) / 2, html.escape(self._labels[0])
        out.append(f'<text x="{middle:.0f}" y="{h - 5}" text-anchor="middle" class="s">{below}</text>')
        turned = f'transform="translate(11 {(TOP + h - BOTTOM) / 2:.0f}) rotate(-90)"'
        out.append(f'<text {turned} text-anchor="middle" class="s">{html.escape(self._labels[1])}</text>')
        return "".join([*out, *self._parts, "</svg>"])


def forest(
    title: str,
    rows: Sequence[tuple[str, float, Sequence[float] | None, str, str]],
    ends: Point,
    lines: Sequence[tuple[float, str]],
    label: str,
) -> str:
    """Draw values with their intervals, one per row.

    Args:
        title: Title above the plot.
        rows: Name, value, interval or ``None``, colour, and text at the right of each row.
        ends: Ends of the axis.
        lines: Position and text of each vertical line.
        label: Label of the axis.
    """
    # The left margin grows with the longest name.
    left = max(165, 18 + round(7.2 * max((len(row[0]) for row in rows), default=0)))
    w, right, step, top = 595 + left, 190, 20, 48
    h = top + step * len(rows) + 42
    low, high = ends

    def px(x: float) -> float:
        return left + (min(max(x, low), high) - low) / (high - low) * (w - left - right)

    out = [_open(w, h, title), f'<text x="8" y="15" class="t">{html.escape(title)}</text>']
    bottom = h - 36
    for x in ticks(low, high, 8):
        out.append(f'<line x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{top - 8}" y2="{bottom}" class="g"/>')
        out.append(f'<text x="{px(x):.1f}" y="{bottom + 14}" text-anchor="middle" class="s">{x:g}</text>')
    for x, word in lines:
        out.append(
            f'<line x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{top - 8}" y2="{bottom}" stroke="{GREY}" '
            f'stroke-dasharray="4 3"/><text x="{px(x):.1f}" y="{top - 13}" text-anchor="middle" class="s">'
            f"{html.escape(word)}</text>"
        )
    for k, (name, value, ci, colour, text) in enumerate(rows):
        y = top + step * k + 8
        out.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end" class="m">{html.escape(name)}</text>')
        if ci is not None:
            ends_px = f'x1="{px(ci[0]):.1f}" x2="{px(ci[1]):.1f}"'
            out.append(f'<line {ends_px} y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<rect x="{px(value) - 4:.1f}" y="{y - 4}" width="8" height="8" fill="{colour}"/>')
        out.append(f'<text x="{w - right + 12}" y="{y + 4}" class="m">{html.escape(text)}</text>')
    at = f'x="{(left + w - right) / 2:.0f}" y="{h - 5}"'
    out.append(f'<text {at} text-anchor="middle" class="s">{html.escape(label)}</text>')
    return "".join([*out, "</svg>"])


def _open(width: int, height: int, alt: str) -> str:
    style = (
        f"text{{font-family:system-ui,'DejaVu Sans',sans-serif;fill:{INK}}}.t{{font-size:13px;font-weight:600}}"
        f".m{{font-size:12px}}.s{{font-size:11px}}.g{{stroke:{PALE};stroke-width:1}}"
        ".h{paint-order:stroke;stroke:#fff;stroke-width:3px}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{html.escape(alt, quote=True)}"><style>{style}</style>'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
    )


def _widened(ends: Point) -> Point:
    low, high = ends
    return (low, high) if high > low else (low - 0.5, high + 0.5)
