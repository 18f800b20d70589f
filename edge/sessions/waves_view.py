"""The chapter of a session's page about the waves: typical values, their course, and why some are missing."""

from __future__ import annotations

from html import escape
from statistics import median
from typing import TYPE_CHECKING

from edge.sessions.words import share_text
from edge.sinks.live.state import RHYTHM_TEXT

if TYPE_CHECKING:
    from edge.sessions.chart import Chart
    from edge.sessions.curve import Curve, WaveTrends

SHOWN = {
    "pr_ms": ("PR", "ms"),
    "p_ms": ("P", "ms"),
    "qrs_ms": ("QRS", "ms"),
    "qt_ms": ("QT", "ms"),
    "qtc_fridericia_ms": ("QTc (Fridericia)", "ms"),
    "qtc_bazett_ms": ("QTc (Bazett)", "ms"),
    "jt_ms": ("JT", "ms"),
    "st_mv": ("ST, 60 ms after QRS", "mV"),
    "st_slope_mv_s": ("Slope of ST", "mV/s"),
    "t_mv": ("T amplitude", "mV"),
    "t_width_ms": ("T width at half height", "ms"),
    "t_symmetry": ("T rise over fall", ""),
}
"""Names and units of the rows of the table."""
DRAWN = ("pr_ms", "qrs_ms", "qtc_fridericia_ms", "st_mv", "t_mv")
"""Measurements with a chart."""
WHY = {
    "few_beats": "fewer than three beats that look alike",
    "unclear": "its beginning or end cannot be told",
    "absent": "no P wave that repeats from beat to beat",
    "flat": "not higher than the noise",
    "band": "the device filters the slow part of the ECG",
    "band_unknown": "the pass band of the device is unknown",
    "scale_unknown": "the scale of the device is unknown",
}
"""Reasons in words."""
_RHYTHMS: dict[str, str] = {str(name): text for name, text in RHYTHM_TEXT.items()}
PARTS = {"beat": "everything", "p": "P and PR", "qrs": "QRS", "t": "T and QT", "st": "ST", "mv": "amplitudes"}


def waves_chapter(trends: WaveTrends, chart: Chart) -> str:
    """Return the chapter as HTML."""
    if not trends.windows:
        return "<p>There are no measurements in this session.</p>"
    rhythm = _rhythm(trends)
    rows = "".join(_row(name, curve) for name, curve in trends.curves.items() if name in SHOWN)
    figures = "".join(_figure(name, trends.curves[name], chart) for name in DRAWN)
    missing = "".join(
        f"<li>{PARTS.get(part, escape(part))}: {WHY.get(reason, escape(reason))} "
        f"({share_text(count, trends.windows)} of the windows)</li>"
        for (part, reason), count in trends.missing.most_common()
    )
    return (
        rhythm
        + '<p class="soft">Measured on the average beat of each window of ten seconds. The table has the median of the '
        "session and its lowest and highest mean over a step of the charts.</p>"
        '<div class="scroll"><table><thead><tr><th scope="col">Measurement</th><th scope="col" class="num">Median</th>'
        '<th scope="col" class="num">Lowest</th><th scope="col" class="num">Highest</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        + (f"<p>Not measured:</p><ul>{missing}</ul>" if missing else "")
        + figures
    )


def _rhythm(trends: WaveTrends) -> str:
    """Return what the session says of the rhythm, in hops."""
    whole = trends.rhythms.total()
    if not whole:
        return ""
    names = ", ".join(
        f"{_RHYTHMS.get(name, escape(name))} in {share_text(count, whole)}"
        for name, count in trends.rhythms.most_common()
    )
    ectopic = ""
    if trends.ectopic[1]:
        ectopic = f" Ectopic beats: {100 * trends.ectopic[0] / trends.ectopic[1]:.1f} %."
    pauses = f" RR intervals of 2 s or more in {trends.pauses} hops." if trends.pauses else ""
    return f"<p>Of {whole} hops: {names}.{ectopic}{pauses}</p>"


def _row(name: str, curve: Curve) -> str:
    title, unit = SHOWN[name]
    means = [mean for run in curve.runs() for _step, mean, _low, _high in run]
    values = (median(means), min(means), max(means)) if means else ()
    cells = [f"{value:.{0 if unit == 'ms' else 2}f} {unit}".rstrip() for value in values] or ["-"] * 3
    return f'<tr><th scope="row">{title}</th>' + "".join(f'<td class="num">{cell}</td>' for cell in cells) + "</tr>"


def _figure(name: str, curve: Curve, chart: Chart) -> str:
    title, unit = SHOWN[name]
    if not any(curve.count):
        return ""
    svg = chart.draw(curve, f"{title}, {unit}", ends=None)
    return f'<figure><h3>{title} <span class="soft">{unit}</span></h3>{svg}</figure>'
