"""The live view of several patches: a table with one row for each."""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from edge.bundle.words import label
from edge.sinks import BaseSink
from edge.sinks.live.frame import Frame, Row, Span, Style, clean, cut, ends, fit
from edge.sinks.live.layout import PAGE_S, with_unit
from edge.sinks.live.state import REASON_TEXT, LiveState
from edge.sinks.live.view import LiveSink

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.records import Estimate
    from edge.sinks import Sink
    from firmware_bridge.samples import LinkEvent

NAME_CELLS = 20
LINK_CELLS = 22
_MARKS = {"ok": "●", "warn": "◐", "bad": "○"}
_SHORT: dict[str, str] = {
    "waiting for the device": "waiting",
    "disconnected, reconnecting": "disconnected",
    "stalled, reconnecting": "stalled",
}


class TableSink(LiveSink):
    """Draws several patches on a terminal. Each patch has its own part of it; the whole opens before and closes after.

    Args:
        title: What the first row shows.
        stream: The terminal.
        colour: Whether to use colours.
        clock: Function that returns monotonic time, s.
    """

    def __init__(
        self, title: str, stream: TextIO, *, colour: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._head, self._clock = LiveState(title, clock=clock), clock
        self._patches: dict[str, LiveState] = {}
        super().__init__(self._head, stream, colour=colour)

    def patch(self, name: str) -> Sink:
        """Return the part of a patch; a patch that starts again gets a new row in the same place."""
        state = LiveState(name, clock=self._clock)
        with self._lock:
            self._patches[name] = state
        return _Part(self, state)

    def ended(self, name: str, line: str) -> None:
        """Show that a patch has ended."""
        with self._lock:
            state = self._patches.setdefault(name, LiveState(name, clock=self._clock))
            state.link, state.lost = ("ended", "bad"), line
        self._changed.set()

    def update(self, change: Callable[[], None]) -> None:
        """Change the state of a patch; any thread may call it."""
        with self._lock:
            change()
        self._changed.set()

    def _layout(self, width: int, height: int, seconds: float) -> Frame:
        return table(self._head, list(self._patches.values()), width, height, seconds)


class _Part(BaseSink):
    def __init__(self, view: TableSink, state: LiveState) -> None:
        self._view, self._state = view, state

    def estimate(self, e: Estimate) -> None:
        self._view.update(lambda: self._state.estimate(e))

    def event(self, ev: LinkEvent) -> None:
        self._view.update(lambda: self._take(ev))

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        del samples, fs_hz, start_s  # the table shows no waveform
        self._view.update(self._state.heard)

    def _take(self, ev: LinkEvent) -> None:
        self._state.event(ev)
        if "error" in ev.data:
            self._state.link, self._state.lost = ("ended", "bad"), ev.detail


def table(head: LiveState, patches: Sequence[LiveState], width: int, height: int, seconds: float) -> Frame:
    """Lay out the screen.

    Args:
        head: State with the title, the notice and the hint.
        patches: State of each patch; its source is the name.
        width: Columns of the terminal.
        height: Rows of the terminal.
        seconds: Wall time, s; it selects the page of a long table.
    """
    width = max(width, 1)
    notice = next((state.notice for state in patches if state.latest is not None), head.notice)
    below: list[Row] = [(Span(line, "notice"),) for line in textwrap.wrap(clean(notice), width)[:3]]
    room = max(0, height - len(below) - 2)
    shown = _page(patches, room, int(seconds // PAGE_S))
    rows = [_title(head, patches, len(shown), width), fit((Span(_NAMES, "dim"),), width)]
    rows += [_row(state, width) for state in shown]
    rows = [*rows, *[()] * (height - len(below) - len(rows))][: max(0, height - len(below))]
    return tuple(fit(row, width) for row in (*rows, *below)[-height:])


_NAMES = f" {'PATCH':<{NAME_CELLS}}{'LINK':<{LINK_CELLS}}{'HR':>4}{'QUALITY':>9}  ESTIMATES"


def _title(head: LiveState, patches: Sequence[LiveState], shown: int, width: int) -> Row:
    receiving = sum(state.link_now()[1] == "ok" for state in patches)
    left = f" anyecg  {clean(head.source)}"
    part = "" if shown == len(patches) else f", {shown} shown"
    hint = f"  ·  {head.hint}" if head.hint else ""
    return ends(
        (Span(left, "bar"),), (Span(f" {receiving} of {len(patches)} patches{part}{hint} ", "bar"),), width, "bar"
    )


def _page(patches: Sequence[LiveState], rows: int, number: int) -> Sequence[LiveState]:
    """Return the patches of one page; those with a flagged output stay on every page as long as others fit as well."""
    if len(patches) <= rows or rows <= 0:
        return patches[: max(0, rows)]
    flagged = [state for state in patches if _flagged(state)]
    fixed = flagged if len(flagged) < rows else []
    turning = [state for state in patches if state not in fixed]
    room = rows - len(fixed)
    page = number % math.ceil(len(turning) / room)
    return [*fixed, *turning[page * room : page * room + room]]


def _flagged(state: LiveState) -> list[str]:
    labs = () if state.outputs is None else state.outputs.labs
    return [f"{clean(label(lab.key))} {with_unit(lab.value, lab.unit)}" for lab in labs if lab.flag]


def _row(state: LiveState, width: int) -> Row:
    link, style = state.link_now()
    row: list[Span] = [
        Span(f" {cut(clean(state.source), NAME_CELLS - 1):<{NAME_CELLS}}", "bold"),
        Span(f"{_MARKS[style]} {cut(clean(_SHORT.get(link, link)), LINK_CELLS - 3):<{LINK_CELLS - 2}}", style),
    ]
    e = state.latest
    if e is None:
        return fit((*row, Span(f"{'---':>4}{'-':>9}  "), Span(clean(state.lost or state.remark), "dim")), width)
    rate = "---" if e.heart_rate_bpm is None else f"{e.heart_rate_bpm:.0f}"
    quality: Style = "ok" if e.abstained is None else "warn"
    score = e.quality.score if math.isfinite(e.quality.score) else 0.0
    row += [Span(f"{rate:>4}"), Span(f"{score:>9.2f}  ", quality), *_found(state, e)]
    return fit(tuple(row), width)


def _found(state: LiveState, e: Estimate) -> list[Span]:
    """Return the flagged outputs, or why there is no estimate."""
    if state.lost:
        return [Span(clean(state.lost), "bad")]
    flagged = _flagged(state)
    text = "▲ " + ", ".join(map(clean, flagged)) if flagged else ""
    if e.abstained is not None:
        before = [Span(f"  before: {text}", "dim")] if text else []
        return [Span(REASON_TEXT[e.abstained], "warn"), *before]
    if text:
        return [Span(text, "warn")]
    return [Span("nothing flagged", "dim")]
