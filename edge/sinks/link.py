"""What happens on the link, in sentences for people: on standard error in every view, and in the service's status."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from edge.sinks import BaseSink
from edge.sinks.live.frame import clean
from edge.sinks.live.state import REASON_TEXT
from firmware_bridge.samples import LinkEventKind

if TYPE_CHECKING:
    from edge.records import Estimate, RunSummary
    from firmware_bridge.samples import LinkEvent

LINES_BURST = 20
"""Lines that may follow each other at once."""
LINES_EVERY_S = 60.0
"""Time after which one more line may follow, s: a link that comes and goes all day writes 1440 lines."""
STATUS_BURST = 20
STATUS_EVERY_S = 1.0
COUNT_EVERY_S = 10.0
"""Time between two reports of a status in which only numbers changed, s."""


class Pace:
    """Allows a burst, then one more after each interval.

    Args:
        burst: Number that may follow each other at once.
        every_s: Interval, s.
        clock: Function that returns monotonic time, s.
    """

    def __init__(self, burst: int, every_s: float, clock: Callable[[], float]) -> None:
        self._burst, self._every_s, self._clock = burst, every_s, clock
        self._left, self._last_s = float(burst), clock()

    def take(self) -> bool:
        """Return whether one more may pass now, and count it."""
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._last_s) / self._every_s)
        self._last_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class LinkStory:
    """Turns link events into sentences: waiting and why, connected, lost, back.

    Args:
        clock: Function that returns monotonic time, s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost_s: float | None = None

    def sentence(self, ev: LinkEvent) -> str | None:
        """Return what the event means for a person; ``None`` if it does not change the state of the link."""
        detail, reason = clean(ev.detail), ev.data.get("reason")
        if ev.kind is LinkEventKind.CONNECTED:
            away_s = None if self._lost_s is None else self._clock() - self._lost_s
            self._lost_s = None
            return f"connected: {detail}" if away_s is None else f"connected again after {span(away_s)}: {detail}"
        if ev.kind in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED}:
            self._lost_s = self._clock() if self._lost_s is None else self._lost_s
            return f"connection lost: {detail}"
        if ev.kind is LinkEventKind.INFO and isinstance(reason, str):
            fix = clean(str(ev.data.get("fix", "")))
            return f"waiting for {clean(str(ev.data.get('where', '')))}: {clean(reason)}" + (f" ({fix})" if fix else "")
        if ev.kind is LinkEventKind.REFUSED or (ev.kind is LinkEventKind.INFO and ev.data.get("fault") == "undecoded"):
            return detail
        return None


class LinkSink(BaseSink):
    """Writes the story of the link as lines, a bounded number; a failed write never ends a run.

    Args:
        stream: The output.
        clock: Function that returns monotonic time, s.
        name: Name of the patch, at the beginning of each line; empty for none.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic, name: str = "") -> None:
        self._stream = stream
        self._head = f"{clean(name)}: " if name else ""
        self._story = LinkStory(clock)
        self._pace = Pace(LINES_BURST, LINES_EVERY_S, clock)
        self._held: str | None = None
        self._left_out = 0

    def open(self) -> None:
        """Do nothing."""

    def estimate(self, e: Estimate) -> None:
        """Write the last line that was held back, as soon as one may follow."""
        del e
        if self._held is not None:
            self._say(self._held)

    def event(self, ev: LinkEvent) -> None:
        """Write what happened on the link."""
        line = self._story.sentence(ev)
        if line is None:
            return
        if self._held is not None:
            self._left_out += 1
        self._say(line)

    def close(self, summary: RunSummary | None) -> None:
        """Write the last line, if it was held back."""
        del summary
        if self._held is not None:
            self._write(self._held)
            self._held = None

    def _say(self, line: str) -> None:
        self._held = line
        if self._pace.take():
            self._held = None
            self._write(line)

    def _write(self, line: str) -> None:
        more = f" ({self._left_out} lines like this were left out)" if self._left_out else ""
        self._left_out = 0
        # Without a reader of standard error the run goes on.
        with suppress(OSError, ValueError):
            self._stream.write(f"{self._head}{line}{more}\n")
            self._stream.flush()


class StatusSink(BaseSink):
    """Reports in one line what the run does, for ``systemctl status``.

    Args:
        send: Function that takes the line.
        device: Name of the device.
        clock: Function that returns monotonic time, s.
    """

    def __init__(self, send: Callable[[str], None], device: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._send, self._device, self._clock = send, clean(device), clock
        self._story = LinkStory(clock)
        self._pace = Pace(STATUS_BURST, STATUS_EVERY_S, clock)
        self._link: str | None = f"waiting for {self._device}"
        self._count = 0
        self._state: object = ()
        self._said_s = clock()

    def open(self) -> None:
        """Report that the run waits for its device."""
        self._report(self._link or "", self._link)

    def estimate(self, e: Estimate) -> None:
        """Report the heart rate and the number of estimates, or why there is none."""
        self._count += e.abstained is None
        if e.abstained is None:
            self._link = None
        if self._link is not None:
            return self._report(self._link, self._link)
        number = f"{self._count:,} estimate{'' if self._count == 1 else 's'}"
        if e.abstained is not None:
            return self._report(f"recording {self._device}: {REASON_TEXT[e.abstained]}; {number}", e.abstained)
        rate = "heart rate unknown" if e.heart_rate_bpm is None else f"{e.heart_rate_bpm:.0f} bpm"
        return self._report(f"recording {self._device}: {rate}, {number}", "recording")

    def event(self, ev: LinkEvent) -> None:
        """Report the state of the link."""
        line = self._story.sentence(ev)
        if line is None:
            return
        # Connected, the next estimates say more; lost, they only say that nothing comes.
        self._report(line, line)
        self._link = None if ev.kind is LinkEventKind.CONNECTED else line

    def close(self, summary: RunSummary | None) -> None:
        """Report the end."""
        del summary
        self._send(f"ended after {self._count:,} estimates")

    def _report(self, line: str, state: object) -> None:
        now_s = self._clock()
        if state == self._state and now_s - self._said_s < COUNT_EVERY_S:
            return
        if self._pace.take():
            self._state, self._said_s = state, now_s
            self._send(line)


def span(seconds: float) -> str:
    """Return a length of time for people: ``4 s``, ``12 min``, ``3 h 5 min``, ``2 d 4 h``."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
