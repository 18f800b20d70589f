"""Charts of a session over time, as inline SVG whose colours come from the style of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from edge.sessions.curve import Curve
from edge.sessions.trends import Trends

WIDTH, HEIGHT = 720, 160
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 8, 26
MAX_TICKS = 7
MAX_SHADES = 400
_TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


class Chart:
    """Draws curves of one session on the same time axis.

    Args:
        trends: The course of the session.
        shades: Spans without an estimate, Unix time, s.
    """

    def __init__(self, trends: Trends, shades: Sequence[tuple[float, float]]) -> None:
        self._trends = trends
        self._start_s = trends.start_unix_s
        self._length_s = max(trends.end_unix_s - trends.start_unix_s, 1.0)
        self._shaded = "".join(self._shade(*span) for span in _joined(shades, self._length_s / (WIDTH - LEFT - RIGHT)))
        self._times = self._time_axis()

    def draw(
        self,
        curve: Curve,
        alt: str,
        *,
        scale: float = 1.0,
        limit: float | None = None,
        ends: tuple[float, float] | None,
    ) -> str:
        """Return the SVG of a curve with its interval.

        Args:
            curve: The curve.
            alt: Alternative text.
            scale: Factor for the numbers at the axis.
            limit: Value of a dashed line, such as the threshold; ``None`` for none.
            ends: Lowest and highest value of the axis; ``None`` for those of the curve.
        """
        runs = curve.runs()
        low, high = ends or _range(runs, limit)

        def y(value: float) -> float:
            inside = min(max(value, low), high)
            return HEIGHT - BOTTOM - (inside - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

        parts = [self._shaded]
        for value in _ticks(low, high):
            parts.append(f'<path class="grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 5}" y="{y(value) + 4:.1f}" class="end">{value * scale:.4g}</text>')
        for run in runs:
            upper = " ".join(f"{self._x(step):.1f},{y(top):.1f}" for step, _mean, _low, top in run)
            lower = " ".join(f"{self._x(step):.1f},{y(bottom):.1f}" for step, _mean, bottom, _high in reversed(run))
            if len(run) > 1:
                parts.append(f'<polygon class="band" points="{upper} {lower}"/>')
                points = " ".join(f"{self._x(step):.1f},{y(mean):.1f}" for step, mean, _low, _high in run)
                parts.append(f'<polyline class="line" points="{points}"/>')
            else:
                parts.append(f'<circle class="dot" cx="{self._x(run[0][0]):.1f}" cy="{y(run[0][1]):.1f}" r="1.6"/>')
        if limit is not None and low <= limit <= high:
            parts.append(f'<path class="limit" d="M{LEFT} {y(limit):.1f}H{WIDTH - RIGHT}"/>')
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">'
            f"{''.join(parts)}{self._times}</svg>"
        )

    def _x(self, step: int) -> float:
        return self._at(self._trends.unix_s(step))

    def _at(self, unix_s: float) -> float:
        share = min(max((unix_s - self._start_s) / self._length_s, 0.0), 1.0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def _shade(self, start_s: float, end_s: float) -> str:
        left, right = self._at(start_s), self._at(end_s)
        return (
            f'<rect class="none" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
        )

    def _time_axis(self) -> str:
        every_s = next((t for t in _TICKS_S if self._length_s / t <= MAX_TICKS), 0)
        if not every_s:
            every_s = 86400 * math.ceil(self._length_s / 86400 / MAX_TICKS)
        form = "%H:%M:%S" if every_s < 60 else "%H:%M" if every_s < 86400 else "%m-%d"
        parts = []
        at = math.ceil(self._start_s / every_s) * every_s
        while at <= self._start_s + self._length_s:
            text = f"{datetime.fromtimestamp(at, UTC):{form}}"
            parts.append(f'<text x="{self._at(at):.1f}" y="{HEIGHT - 6}" class="mid">{text}</text>')
            at += every_s
        return "".join(parts)


def _joined(spans: Sequence[tuple[float, float]], least_s: float) -> list[tuple[float, float]]:
    """Join spans that a reader cannot tell apart; the longest remain if there are still too many."""
    out: list[tuple[float, float]] = []
    for start_s, end_s in sorted(spans):
        if out and start_s - out[-1][1] < least_s:
            out[-1] = (out[-1][0], max(end_s, out[-1][1]))
        else:
            out.append((start_s, end_s))
    return sorted(sorted(out, key=lambda s: s[0] - s[1])[:MAX_SHADES])


def _range(runs: Sequence[Sequence[tuple[int, float, float, float]]], limit: float | None) -> tuple[float, float]:
    values = [value for run in runs for _step, *three in run for value in three]
    values += [] if limit is None else [limit]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = max((high - low) * 0.08, abs(high) * 0.01, 1e-6)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
