"""The layout of the live view: a pure function from the state of a run to a screen of text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge.bundle.words import label, shown_unit
from edge.explain.record import flag_because
from edge.rounding import fixed
from edge.sinks.live.frame import Frame, Row, Span, Style, clean, cut, ends, fit
from edge.sinks.live.state import REASON_TEXT, RHYTHM_TEXT, LiveState
from edge.waves.record import interval_values

if TYPE_CHECKING:
    from edge.records import LabEstimate
    from edge.rhythm.record import RhythmRecord
    from edge.waves.record import WaveRecord

MIN_WIDTH = 40
"""Smallest full layout, columns; a narrower terminal shows what fits."""

WAVE_ROWS_MAX = 12
WAVE_ROWS_MIN = 3
PAGE_S = 5
"""Time for which a page of outputs stays on screen when they do not all fit, s."""

_ROWS_ABOVE = 4
"""Rows for title, beats, vital signs and table head."""
WAVES_HEIGHT = 16
"""Smallest terminal with a row for the intervals, rows."""
REASONS_HEIGHT = 20
"""Smallest terminal with rows for the reasons of flagged outputs, rows."""
REASON_ROWS = 3
"""Most rows for reasons."""


def layout(state: LiveState, width: int, height: int, seconds: float = 0.0) -> Frame:
    """Lay out the screen.

    Args:
        state: The state to show.
        width: Columns of the terminal.
        height: Rows of the terminal.
        seconds: Wall time, s; it selects the page of a long table.
    """
    width = max(width, 1)
    page: list[Row] = [(Span(f" page {clean(state.page)}"),)] if state.page else []
    below = [*page, _status(state, width), *_notice(state.notice, width)]
    labs = () if state.outputs is None else state.outputs.labs
    measured = [_measured(state, width), *_changed(state)] if height >= WAVES_HEIGHT else []
    below = [*(_reasons(labs) if height >= REASONS_HEIGHT else []), *below]
    spare = max(0, height - _ROWS_ABOVE - len(measured) - len(below))
    table_rows = min(len(labs) or 1, max(0, spare - WAVE_ROWS_MIN))
    wave_rows = max(min(spare - table_rows, WAVE_ROWS_MAX), min(spare, WAVE_ROWS_MIN))
    rows: list[Row] = [_title(state, width)]
    rows += _wave(state, width, wave_rows)
    rows += [_vitals(state, width), *measured]
    rows.append(_head(state, labs, table_rows, width))
    rows += _table(state, labs, table_rows, seconds, wide=width >= NETWORK_WIDTH)
    room = max(0, height - len(below))
    rows = [*rows, *[()] * (room - len(rows))][:room]
    return tuple(fit(row, width) for row in (*rows, *below)[-height:])


def _notice(text: str, width: int) -> list[Row]:
    """Return the notice, complete, on at most three rows."""
    return [(Span(line, "notice"),) for line in textwrap.wrap(clean(text), width)[:3]]


def _title(state: LiveState, width: int) -> Row:
    e = state.latest
    bundle = clean(e.bundle.name if e else state.bundle)
    device = clean(e.device if e else state.source)
    link, style = state.link_now()
    mark = {"ok": "●", "warn": "◐", "bad": "○"}[style]
    left = f" anyecg  {device}  ·  {bundle}" if bundle else f" anyecg  {device}"
    clock = _clock(e.window.end_s if e else state.wave.end_s)
    return ends((Span(left, "bar"),), (Span(f" {clock}  {mark} {clean(link)} ", "bar"),), width, "bar")


def _clock(seconds: float) -> str:
    whole = int(seconds) if math.isfinite(seconds) else 0
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _wave(state: LiveState, width: int, rows: int) -> list[Row]:
    label = 9 if width >= MIN_WIDTH else 0
    columns = width - label
    picture = state.wave.draw(columns, rows, millivolts=state.millivolts)
    low, high = state.wave.scale()
    unit = "mV" if state.millivolts else ""
    names = {0: f"{high:+.2f} {unit}", rows - 1: f"{low:+.2f}"} if math.isfinite(high) and label and rows > 1 else {}
    out: list[Row] = [
        (Span(line, "wave"), Span(f" {names.get(i, '')}"[:label], "dim")) for i, line in enumerate(picture)
    ]
    marks = [" "] * columns
    for share in state.shown_beats():
        marks[min(columns - 1, int(share * columns))] = "▴"
    return [*out, (Span("".join(marks), "wave"), Span(" R" if label and state.beats_s else "", "dim"))]


def _vitals(state: LiveState, width: int) -> Row:
    e = state.latest
    if e is None:
        return (Span(" HR --- bpm   "), Span(clean(state.remark) or "waiting for signal", "dim"))
    rate = "---" if e.heart_rate_bpm is None else f"{e.heart_rate_bpm:3.0f}"
    score = e.quality.score if math.isfinite(e.quality.score) else 0.0
    full = round(10 * min(1.0, max(0.0, score)))
    style: Style = "ok" if e.abstained is None else "bad" if score < 0.3 else "warn"
    bar = "█" * full + "░" * (10 - full)
    row: Row = (
        Span(" HR "), Span(rate, "bold"), Span(" bpm   quality "), Span(f"{bar} {score:.2f}", style), Span("  "),
    )  # fmt: skip
    if state.lost:
        return fit((*row, Span(clean(state.lost), "bad")), width)
    flags = ", ".join(clean(flag).replace("_", " ") for flag in e.quality.flags)
    return fit((*row, Span(flags or ("clean" if e.abstained is None else ""), "warn" if flags else "dim")), width)


def _measured(state: LiveState, width: int) -> Row:
    """Return the intervals and amplitudes of the newest window; a blank row without them."""
    waves = None if state.latest is None else state.latest.waves
    if waves is None:
        return ()
    rhythm = "" if state.latest is None or state.latest.rhythm is None else rhythm_text(state.latest.rhythm)
    parts = [rhythm, *(f"{name} {value}" for name, value in measured_text(waves))]
    why = ", ".join(
        f"{clean(part.upper())} {clean(reason).replace('_', ' ')}" for part, reason in waves.missing.items()
    )
    return fit((Span(" " + "  ".join(filter(None, parts))), Span(f"  {why}" if why else "", "dim")), width)


def _changed(state: LiveState) -> list[Row]:
    """Return the row of the change against the quiet hour; none without a baseline."""
    change = None if state.latest is None else state.latest.change
    if change is None:
        return []
    from edge.baseline.words import change_parts

    spans = [Span(" change ", "dim")]
    for text, outside in change_parts(change):
        spans += [Span(text, "warn" if outside else ""), Span("  ")]
    return [tuple(spans)]


def measured_text(waves: WaveRecord) -> list[tuple[str, str]]:
    """Return the main measurements of a window, each as a name and a value with its unit; ``-`` without a value."""
    heights = (("ST", fixed(waves.st_mv, 2)), ("T", fixed(waves.t_mv, 2)))
    return [
        *((name, "-" if value is None else f"{value:.0f} ms") for name, value in interval_values(waves)),
        *((name, "-" if value is None else f"{value:+.2f} mV") for name, value in heights),
    ]


def rhythm_text(rhythm: RhythmRecord) -> str:
    """Return the rhythm of a window in words, with ectopic beats and pauses if there are any."""
    parts = [RHYTHM_TEXT[rhythm.name]]
    if rhythm.bigeminy:
        parts.append("bigeminy")
    elif rhythm.ectopic_share:
        parts.append(f"{100 * rhythm.ectopic_share:.0f} % ectopic")
    if rhythm.pauses:
        parts.append(f"{rhythm.pauses} pause" + ("s" if rhythm.pauses > 1 else ""))
    return ", ".join(parts)


_COLUMNS = (
    (18, "OUTPUT"),
    (13, "ESTIMATE"),
    (15, "INTERVAL"),
    (10, "THRESHOLD"),
    (6, "FLAG"),
    (9, "EVIDENCE"),
    (4, "WIN"),
)
"""Width in cells and name of each column: 76 cells with the leading blank, which fit 80 columns."""
NETWORK_WIDTH = 86
"""Narrowest terminal, columns, with the network's own answer after these columns, for outputs fused with waves."""


def _head(state: LiveState, labs: Sequence[LabEstimate], rows: int, width: int) -> Row:
    """Return the column names or, while abstaining, the reason in words."""
    if state.latest is not None and state.latest.abstained is not None:
        below = "  (below: the last estimate)" if labs else ""
        return fit((Span(f" no estimate: {REASON_TEXT[state.latest.abstained]}", "warn"), Span(below, "dim")), width)
    head = " " + "".join(f"{name:<{cells}}" for cells, name in _COLUMNS)
    if width >= NETWORK_WIDTH and any(lab.network is not None for lab in labs):
        head += "NETWORK"
    count = _count(labs, rows) if len(labs) > rows else ""
    if not count:
        return (Span(cut(head, width), "dim"),)
    # The number of flagged outputs must not be what a narrow terminal cuts.
    return ends((Span(head, "dim"),), (Span(count, "dim"),), width)


def _count(labs: Sequence[LabEstimate], rows: int) -> str:
    flagged = sum(lab.flag is True for lab in labs)
    return f"{rows} of {len(labs)}" + (f", {flagged} flagged" if flagged else "")


def _table(state: LiveState, labs: Sequence[LabEstimate], rows: int, seconds: float, *, wide: bool) -> list[Row]:
    if not labs:
        text = " no estimate yet" if state.outputs is None else " no outputs"
        nothing: Row = (Span(text, "dim"),)
        return [nothing][:rows]
    stale = state.latest is not None and state.latest.abstained is not None
    return [_lab_row(lab, stale=stale, wide=wide) for lab in _page(labs, rows, int(seconds // PAGE_S))]


def _page(labs: Sequence[LabEstimate], rows: int, number: int) -> list[LabEstimate]:
    """Return the outputs of one page. A flagged one stays on every page, unless the flagged ones alone fill it."""
    if len(labs) <= rows or rows <= 0:
        return list(labs)[: max(0, rows)]
    flagged, others = ([lab for lab in labs if (lab.flag is True) == wanted] for wanted in (True, False))
    if len(flagged) >= rows:
        fixed, turning = [], flagged
    else:
        fixed, turning = flagged, others
    room = rows - len(fixed)
    page = number % math.ceil(len(turning) / room)
    return [*fixed, *turning[page * room : page * room + room]]


def _lab_row(lab: LabEstimate, *, stale: bool, wide: bool) -> Row:
    unit = lab.unit
    interval = "-"
    if lab.interval is not None:
        interval = f"{number(lab.interval[0], unit)} – {number(lab.interval[1], unit)}"
    style: Style = "dim" if stale else "warn" if lab.flag else ""
    flag = "-" if lab.flag is None else "▲ yes" if lab.flag else "no"
    cells = (
        clean(label(lab.key)),
        with_unit(lab.value, unit) if lab.abstained is None else f"- ({lab.abstained})",
        interval,
        "-"
        if lab.threshold is None
        else with_unit(lab.threshold, unit)
        if unit == "1"
        else number(lab.threshold, unit),
        flag,
        lab.tier,
        str(lab.windows),
    )
    text = " " + "".join(f"{cut(cell, n - 1):<{n}}" for cell, (n, _) in zip(cells, _COLUMNS, strict=True))
    return (Span(text, style), Span(network_text(lab) if wide else "", "dim"))


def network_text(lab: LabEstimate) -> str:
    """Return the network's own answer beside a value that is fused with waves; empty elsewhere."""
    if lab.network is None:
        return ""
    return ("▲ " if lab.network.flag else "") + with_unit(lab.network.value, lab.unit)


def _reasons(labs: Sequence[LabEstimate]) -> list[Row]:
    """Return what the first flagged outputs rest on."""
    out: list[Row] = []
    for lab in labs:
        if lab.flag and lab.reasons is not None and len(out) < REASON_ROWS:
            what = f" ▲ {clean(label(lab.key))}: {clean(flag_because(lab.reasons))}"
            out.append((Span(what, "warn"), Span(f", {lab.reasons.age_s:.0f} s ago", "dim")))
    return out


def number(value: float | None, unit: str) -> str:
    """Format a value: probabilities in percent, others with three significant digits."""
    if value is None or not math.isfinite(value):
        return "-"
    if unit == "1":
        return f"{100 * value:.0f}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def with_unit(value: float | None, unit: str) -> str:
    """Format a value with its unit; see :func:`number`."""
    text = number(value, unit)
    return text if text == "-" else f"{text} {clean(shown_unit(unit))}".rstrip()


def _status(state: LiveState, width: int) -> Row:
    e = state.latest
    parts: list[Span] = [Span(" ")]
    if e is not None and e.latency_ms:
        total = e.latency_ms.get("total", sum(e.latency_ms.values()))
        late = state.limit_ms is not None and total > state.limit_ms
        limit = f"/{state.limit_ms:g}" if state.limit_ms is not None else ""
        parts.append(Span(f"latency {total:.1f}{limit} ms", "bad" if late else "ok"))
        parts.append(Span(" · "))
    lost = 0 if e is None else e.lost_samples
    parts.append(Span(f"lost {lost} samples", "warn" if lost else ""))
    parts.append(Span(f" · corrupt {state.corrupt}", "warn" if state.corrupt else ""))
    parts.append(Span(f" · reconnects {state.reconnects}", "warn" if state.reconnects else ""))
    if e is not None and not e.clock_synced:
        parts.append(Span(" · clock not set", "warn"))
    stages = [] if e is None else [f"{clean(k)} {v:.1f}" for k, v in e.latency_ms.items() if k != "total"]
    hint = f" · {state.hint}" if state.hint else ""
    for more in (hint, f" · hop {state.hops}", f"   ms: {', '.join(stages)}" if stages else ""):
        if sum(len(part.text) for part in parts) + len(more) <= width:
            parts.append(Span(more, "dim"))
    return fit(tuple(parts), width)
