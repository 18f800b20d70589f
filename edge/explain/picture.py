"""The person's average beat beside the reference beat, as SVG; each part has the colour of its share of the reason."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from edge.explain.parts import TAIL, Parts
from edge.explain.reasons import Reasons, looks
from edge.explain.record import PARTS, Part
from edge.waves.path import FS_HZ

WIDTH, HEIGHT = 900, 420
_PANEL = 400
_TOP, _BOTTOM = 70, 250
_SPAN_S = (-0.35, 0.65)
_PLAIN, _HOT = (0x8A, 0x94, 0x9E), (0xC4, 0x3C, 0x0C)


def picture(
    reasons: Reasons, words: str, person: Parts, reference: Parts, notice: str, why_none: str = "no reasons"
) -> str:
    """Return the picture of one output as SVG.

    Args:
        reasons: Its reasons.
        words: The output in words.
        person: The person's beat.
        reference: The reference beat.
        notice: The notice at the bottom.
        why_none: What is said if there are no reasons.
    """
    shares = reasons.shares
    low, high = _range(person, reference)
    body = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(24, 32, words, 18, bold=True),
        _text(24, 54, "Average beat of this person" + ("" if shares else f": {why_none}"), 13),
        _text(24 + _PANEL + 50, 54, "Reference beat", 13),
        *_beat(person, shares, 24, low, high),
        *_beat(reference, {}, 24 + _PANEL + 50, low, high, person.height / reference.height),
        *_bars(shares, person, reference),
        _text(24, HEIGHT - 12, notice, 11),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
        f"{''.join(body)}</svg>\n"
    )


def _range(person: Parts, reference: Parts) -> tuple[float, float]:
    waves = (person.beat(1.0)[0], reference.beat(1.0)[0] * person.height / reference.height)
    low, high = min(w.min() for w in waves), max(w.max() for w in waves)
    return float(low - 0.05 * (high - low)), float(high + 0.05 * (high - low))


def _beat(
    parts: Parts, shares: dict[Part, float], left: float, low: float, high: float, gain: float = 1.0
) -> list[str]:
    """Return the lines of a beat, part by part."""
    rr_s = float(np.mean(parts.rr_s))
    wave, r = parts.beat(rr_s)
    x = left + (np.arange(len(wave)) - r) / FS_HZ * _PANEL / (_SPAN_S[1] - _SPAN_S[0]) - _SPAN_S[0] * _PANEL
    y = _BOTTOM - (gain * wave - low) / (high - low) * (_BOTTOM - _TOP)
    q0 = r - parts.r
    q1, end = q0 + len(parts.qrs), len(wave) - TAIL
    t0 = end - len(parts.t)
    spans: list[tuple[Part, int, int]] = [
        ("P", 0, len(parts.p)), ("PR", len(parts.p), q0), ("QRS", q0, q1), ("ST", q1, t0), ("T", t0, end),
    ]  # fmt: skip
    lines = [f'<path d="M{left} {_BOTTOM + 10}h{_PANEL}" stroke="#ccc"/>']
    for part, a, b in spans:
        if b > a:
            lines.append(_line(x[max(a - 1, 0) : b + 1], y[max(a - 1, 0) : b + 1], _colour(shares.get(part, 0.0))))
    lines.append(_line(x[end - 1 :], y[end - 1 :], _colour(0.0)))
    qt = _colour(shares.get("QT", 0.0))
    bracket = f"M{x[q0]:.1f} {_BOTTOM + 22}v-6h{x[end - 1] - x[q0]:.1f}v6"
    lines.append(f'<path d="{bracket}" fill="none" stroke="{qt}" stroke-width="2"/>')
    lines.append(_text(float(x[q0]), _BOTTOM + 38, f"QTc {1e3 * parts.qtc_s:.0f} ms", 12, qt))
    pr = _colour(shares.get("PR", 0.0))
    lines.append(_text(left, _BOTTOM + 38, f"PR {1e3 * parts.pr_s:.0f} ms", 12, pr))
    lines.append(
        _text(left + _PANEL - 90, _BOTTOM + 38, f"{60.0 / rr_s:.0f} bpm", 12, _colour(shares.get("rate", 0.0)))
    )
    return lines


def _line(x: NDArray[np.float64], y: NDArray[np.float64], colour: str) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5" stroke-linejoin="round"/>'


def _bars(shares: dict[Part, float], person: Parts, reference: Parts) -> list[str]:
    out = []
    for i, part in enumerate(part for part in PARTS if part in shares):
        top, how = _BOTTOM + 58 + 18 * i, looks(part, person, reference)
        length = 260 * shares[part]
        out.append(f'<rect x="84" y="{top}" width="{length:.0f}" height="12" fill="{_colour(shares[part])}"/>')
        out.append(_text(24, top + 11, part, 13, bold=True))
        out.append(_text(92 + length, top + 11, f"{100 * shares[part]:.0f} %" + (f", {how}" if how else ""), 13))
    return out


def _colour(share: float) -> str:
    strength = min(share / 0.5, 1.0)
    return "#" + "".join(f"{round(a + strength * (b - a)):02x}" for a, b in zip(_PLAIN, _HOT, strict=True))


def _text(x: float, y: float, text: str, size: int, colour: str = "#222", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}"{weight}>{escape(text)}</text>'
