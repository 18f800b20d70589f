"""Small plots as inline SVG for pages; the same numbers give the same bytes.

Colours are classes of ``host.css``, so that the plots follow the dark scheme and the print style of their page.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from firmware_bridge.text import printable

BLUE, ORANGE, GREEN, GREY = "blue", "orange", "green", "grey"
"""Colours of the plots; colour-blind readers can distinguish blue and orange."""

LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 36
"""Margins, pixels."""

MAX_CLOUD = 3000
"""Most dots of a cloud; of more, every n-th is drawn."""

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
        x_marks: Position and text of the marks of the horizontal axis; round numbers by default.
    """

    def __init__(
        self,
        title: str,
        x: Point,
        y: Point,
        labels: tuple[str, str],
        size: tuple[int, int] = (290, 250),
        alt: str = "",
        x_marks: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        self._x, self._y, self._size = _widened(x), _widened(y), size
        self._title, self._labels, self._alt = title, labels, alt or title
        self._marks = [(at, f"{at:g}") for at in ticks(*self._x)] if x_marks is None else x_marks
        self._turned = x_marks is not None
        self._parts: list[str] = []

    def _bottom(self) -> int:
        return self._size[1] - BOTTOM - (44 if self._turned else 0)

    def _px(self, x: float) -> float:
        low, high = self._x
        return LEFT + (x - low) / (high - low) * (self._size[0] - LEFT - RIGHT)

    def _py(self, y: float) -> float:
        low, high = self._y
        return self._bottom() - (y - low) / (high - low) * (self._bottom() - TOP)

    def line(self, points: Sequence[Point], colour: str = BLUE, *, dash: bool = False, width: float = 1.8) -> Plot:
        """Add a polyline."""
        path = " ".join(f"{self._px(x):.1f},{self._py(y):.1f}" for x, y in points)
        dashed = " dash" if dash else ""
        self._parts.append(f'<polyline points="{path}" class="s-{colour}{dashed}" stroke-width="{width:g}"/>')
        return self

    def dots(self, points: Sequence[Point], colour: str = BLUE, radius: float = 3.0, opacity: float = 1.0) -> Plot:
        """Add dots."""
        self._parts.append(f'<g class="f-{colour}" fill-opacity="{opacity:g}">')
        self._parts += [f'<circle cx="{self._px(x):.1f}" cy="{self._py(y):.1f}" r="{radius:g}"/>' for x, y in points]
        self._parts.append("</g>")
        return self

    def cloud(self, points: Sequence[Point], colour: str = BLUE, opacity: float = 0.5) -> Plot:
        """Add many dots as one path, at most :data:`MAX_CLOUD`."""
        shown = points[:: -(-len(points) // MAX_CLOUD) or 1]
        path = "".join(f"M{self._px(x):.1f} {self._py(y):.1f}h0" for x, y in shown)
        self._parts.append(f'<path d="{path}" class="cloud s-{colour}" stroke-opacity="{opacity:g}"/>')
        return self

    def whiskers(self, ends: Sequence[tuple[float, float, float]], colour: str = BLUE) -> Plot:
        """Add vertical intervals: position, lower and upper end of each."""
        path = "".join(f"M{self._px(x):.1f} {self._py(low):.1f}V{self._py(high):.1f}" for x, low, high in ends)
        self._parts.append(f'<path d="{path}" class="whisker s-{colour}" stroke-width="1.4" stroke-opacity="0.55"/>')
        return self

    def level(self, y: float, colour: str = GREY, text: str = "", *, dash: bool = True) -> Plot:
        """Add a horizontal line over the whole width, with a text at its right end."""
        self.line([(self._x[0], y), (self._x[1], y)], colour, dash=dash, width=1.2)
        if text:
            at = f'x="{self._size[0] - RIGHT - 2}" y="{self._py(y) - 4:.1f}"'
            self._parts.append(f'<text {at} class="s h end f-{colour}">{_text(text)}</text>')
        return self

    def note(self, text: str, row: int = 0) -> Plot:
        """Add a line of text at the lower right, inside the axes."""
        at = f'x="{self._size[0] - RIGHT - 6}" y="{self._bottom() - 8 - 13 * row}"'
        self._parts.append(f'<text {at} class="s h end">{_text(text)}</text>')
        return self

    def svg(self) -> str:
        """Return the finished plot."""
        (w, h), bottom = self._size, self._bottom()
        out = [_open(w, h, self._alt)]
        out.append(f'<text x="6" y="15" class="t">{_text(self._title)}</text>')
        for at, text in self._marks:
            x = self._px(at)
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" class="g"/>')
            place = f'transform="translate({x + 4:.1f} {bottom + 10}) rotate(-40)" class="s end"'
            place = place if self._turned else f'x="{x:.1f}" y="{bottom + 13}" class="s mid"'
            out.append(f"<text {place}>{_text(text)}</text>")
        for y in ticks(*self._y):
            out.append(f'<line x1="{LEFT}" x2="{w - RIGHT}" y1="{self._py(y):.1f}" y2="{self._py(y):.1f}" class="g"/>')
            out.append(f'<text x="{LEFT - 5}" y="{self._py(y) + 4:.1f}" class="s end">{y:g}</text>')
        middle, below = (LEFT + w - RIGHT) / 2, _text(self._labels[0])
        out.append(f'<text x="{middle:.0f}" y="{h - 5}" class="s mid">{below}</text>')
        turned = f'transform="translate(11 {(TOP + bottom) / 2:.0f}) rotate(-90)"'
        out.append(f'<text {turned} class="s mid">{_text(self._labels[1])}</text>')
        return "".join([*out, *self._parts, "</svg>"])


def forest(
    title: str,
    rows: Sequence[tuple[str, float, Sequence[float] | None, str, str]],
    ends: Point,
    lines: Sequence[tuple[float, str]],
    label: str,
    marks: Sequence[tuple[float, str]] | None = None,
) -> str:
    """Draw values with their intervals, one per row.

    Args:
        title: Title above the plot.
        rows: Name, value, interval or ``None``, colour, and text at the right of each row.
        ends: Ends of the axis.
        lines: Position and text of each vertical line.
        label: Label of the axis.
        marks: Position and text of the marks of the axis; round numbers by default.
    """
    # The left margin grows with the longest name, the right one with the longest text.
    left = max(165, 18 + round(6.6 * max((len(row[0]) for row in rows), default=0)))
    right = max(90, 24 + round(6.6 * max((len(row[4]) for row in rows), default=0)))
    w, step, top = 420 + left + right, 20, 48
    h = top + step * len(rows) + 42
    low, high = ends

    def px(x: float) -> float:
        return left + (min(max(x, low), high) - low) / (high - low) * (w - left - right)

    out = [_open(w, h, title), f'<text x="8" y="15" class="t">{_text(title)}</text>']
    bottom = h - 36
    for x, text in [(x, f"{x:g}") for x in ticks(low, high, 8)] if marks is None else marks:
        out.append(f'<line x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{top - 8}" y2="{bottom}" class="g"/>')
        out.append(f'<text x="{px(x):.1f}" y="{bottom + 14}" class="s mid">{_text(text)}</text>')
    for x, word in lines:
        out.append(
            f'<line x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{top - 8}" y2="{bottom}" class="s-grey dash"/>'
            f'<text x="{px(x):.1f}" y="{top - 13}" class="s mid">{_text(word)}</text>'
        )
    for k, (name, value, ci, colour, text) in enumerate(rows):
        y = top + step * k + 8
        out.append(f'<text x="{left - 10}" y="{y + 4}" class="m end">{_text(name)}</text>')
        if ci is not None:
            ends_px = f'x1="{px(ci[0]):.1f}" x2="{px(ci[1]):.1f}"'
            out.append(f'<line {ends_px} y1="{y}" y2="{y}" class="s-{colour}" stroke-width="2"/>')
        out.append(f'<rect x="{px(value) - 4:.1f}" y="{y - 4}" width="8" height="8" class="f-{colour}"/>')
        out.append(f'<text x="{w - right + 12}" y="{y + 4}" class="m">{_text(text)}</text>')
    at = f'x="{(left + w - right) / 2:.0f}" y="{h - 5}"'
    out.append(f'<text {at} class="s mid">{_text(label)}</text>')
    return "".join([*out, "</svg>"])


def _text(text: str) -> str:
    return html.escape(printable(text), quote=True)


def _open(width: int, height: int, alt: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{_text(alt)}">'


def _widened(ends: Point) -> Point:
    low, high = ends
    return (low, high) if high > low else (low - 0.5, high + 0.5)
