"""A sink that prints plain lines, for logs and for terminals without cursor control."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from edge.bundle.words import label
from edge.explain.record import flag_because
from edge.process.files import output_error
from edge.sinks import BaseSink, SinkClosedError
from edge.sinks.live.frame import clean
from edge.sinks.live.layout import network_text, number, with_unit
from edge.sinks.live.state import OUTPUT_REASON_TEXT, REASON_TEXT
from firmware_bridge.samples import LinkEventKind

if TYPE_CHECKING:
    from edge.records import Estimate, LabEstimate, RunSummary
    from firmware_bridge.samples import LinkEvent

EVERY_S = 10.0
"""Seconds of signal between two lines while nothing changes."""

_QUIET = {LinkEventKind.INFO, LinkEventKind.CORRUPT}


class PlainSink(BaseSink):
    """Prints one line every few seconds of signal, and one whenever the state changes.

    Args:
        stream: The output.
        every_s: Seconds of signal between lines; 0 for a line per hop.
        link: Whether to tell what happens on the link; ``LinkSink`` does it as well.
        notice: Whether to begin with the notice.
        name: Name of the patch, at the beginning of each line; empty for none.
    """

    def __init__(
        self, stream: TextIO, every_s: float = EVERY_S, *, link: bool = True, notice: bool = True, name: str = ""
    ) -> None:
        self._stream = stream
        self._link, self._notice = link, notice
        self._head = f"{clean(name)}: " if name else ""
        self._every_s = every_s
        self._next_s = float("-inf")
        self._state: object = ()

    def open(self) -> None:
        """Do nothing."""

    def estimate(self, e: Estimate) -> None:
        """Print a line if it is time or the state changed.

        Raises:
            SinkClosedError: The reader has closed the output.
        """
        if not self._next_s < float("inf"):
            self._next_s = e.window.end_s
        state = (e.abstained, tuple(lab.key for lab in e.labs if lab.flag))
        if state == self._state and e.window.end_s < self._next_s:
            return
        if self._notice and not self._state:
            self._line(clean(e.notice))
        self._state = state
        self._next_s = e.window.end_s + self._every_s
        self._line(estimate_line(e))

    def event(self, ev: LinkEvent) -> None:
        """Print what happened on the link."""
        if self._link and ev.kind not in _QUIET:
            self._line(f"link {ev.kind}" + (f": {clean(ev.detail)}" if ev.detail else ""))

    def close(self, summary: RunSummary | None) -> None:
        """Do nothing: the command line prints the summary."""

    def _line(self, text: str) -> None:
        try:
            self._stream.write(f"{self._head}{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            raise SinkClosedError("the reader has closed the output") from None
        except OSError as error:
            raise output_error("the output", error) from None


def estimate_line(e: Estimate) -> str:
    """Return an estimate as one line: heart rate and quality, then flagged heads and values."""
    rate = "---" if e.heart_rate_bpm is None else f"{e.heart_rate_bpm:.0f}"
    head = f"{e.window.end_s:8.0f} s  HR {rate:>3} bpm  quality {e.quality.score:.2f}"
    if e.abstained is not None:
        return f"{head}  no estimate: {REASON_TEXT[e.abstained]}"
    answered = [lab for lab in e.labs if lab.abstained is None]
    parts = [_lab(lab) for lab in answered if lab.flag or lab.unit != "1"]
    probable = max((lab for lab in answered if lab.unit == "1" and not lab.flag), key=_value, default=None)
    if not any(lab.flag for lab in e.labs) and probable is not None:
        parts.insert(0, f"nothing flagged (highest: {_lab(probable)})")
    silent = len(e.labs) - len(answered)
    if silent:
        parts.append(f"{silent} output{'s' if silent > 1 else ''} {OUTPUT_REASON_TEXT['rhythm']}")
    lost = f"  lost {e.lost_samples}" if e.lost_samples else ""
    return f"{head}  {'; '.join(parts)}{lost}{_change(e)}"


def _change(e: Estimate) -> str:
    if e.change is None:
        return ""
    from edge.baseline.words import change_text

    return f"  change: {change_text(e.change)}"


def _value(lab: LabEstimate) -> float:
    return -1.0 if lab.value is None else lab.value


def _lab(lab: LabEstimate) -> str:
    interval = ""
    if lab.interval is not None:
        interval = f" ({number(lab.interval[0], lab.unit)} to {number(lab.interval[1], lab.unit)})"
    mark = "FLAG " if lab.flag else ""
    own = " anchored" if lab.anchor is not None else ""
    network = f", network alone {network_text(lab)}" if lab.network is not None else ""
    why = f", {clean(flag_because(lab.reasons))}" if lab.flag and lab.reasons is not None else ""
    return f"{mark}{clean(label(lab.key))} {with_unit(lab.value, lab.unit)}{interval}{own}{network}{why}"
