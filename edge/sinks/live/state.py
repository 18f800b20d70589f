"""The current state of a run for a person who watches it, collected from the calls to a sink."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from edge.records import NOTICE
from edge.sinks.live.wave import SECONDS, WaveBuffer
from firmware_bridge.samples import LinkEventKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.records import AbstainReason, Estimate, OutputReason
    from edge.rhythm.record import RhythmName
    from firmware_bridge.samples import LinkEvent

REASON_TEXT: dict[AbstainReason, str] = {
    "warming_up": "warming up: the first estimate needs 10 s of signal",
    "gap": "samples are missing in this window",
    "poor_signal": "the signal is too noisy",
    "flat": "the signal is flat: is the patch on the skin?",
    "saturated": "the signal is cut off at its limits",
    "lead_off": "an electrode has no contact",
    "scale_unknown": "this model reads amplitudes, and the device's scale is unknown",
    "stalled": "no data is coming from the device",
    "rhythm": "the outputs are not validated for this rhythm",
}
"""Text for each reason of abstention."""

OUTPUT_REASON_TEXT: dict[OutputReason, str] = {"rhythm": "not validated for this rhythm"}
"""Text for each reason of a single output."""

RHYTHM_TEXT: dict[RhythmName, str] = {
    "sinus": "sinus rhythm",
    "af_or_flutter": "atrial fibrillation or flutter",
    "paced": "paced",
    "undetermined": "rhythm undetermined",
    "unreadable": "rhythm unreadable",
}
"""Text for each rhythm."""

LinkStyle = Literal["ok", "warn", "bad"]

_LINK: dict[LinkEventKind, tuple[str, LinkStyle]] = {
    LinkEventKind.CONNECTED: ("connected", "ok"),
    LinkEventKind.HELLO: ("receiving", "ok"),
    LinkEventKind.DISCONNECTED: ("disconnected, reconnecting", "bad"),
    LinkEventKind.STALLED: ("stalled, reconnecting", "bad"),
    LinkEventKind.RESTARTED: ("patch restarted", "warn"),
    LinkEventKind.REFUSED: ("patch refuses", "warn"),
    LinkEventKind.END: ("ended", "warn"),
}

SILENT_S = 3.0
"""Time without signal after which the screen reports it, s."""


class LiveState:
    """The newest estimate, signal, beats and link state.

    Args:
        source: Name of the source to show before the first estimate.
        bundle: Name of the bundle to show before the first estimate.
        limit_ms: Latency budget, ms; ``None`` for none.
        millivolts: Whether the signal is in millivolts.
        page: Address of the page in the browser; empty without one.
        clock: Function that returns monotonic time, s.
    """

    def __init__(
        self,
        source: str = "",
        bundle: str = "",
        limit_ms: float | None = None,
        *,
        millivolts: bool = True,
        page: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self.bundle = bundle
        self.limit_ms = limit_ms
        self.millivolts = millivolts
        self.wave = WaveBuffer()
        self.beats_s: deque[float] = deque(maxlen=64)
        self.latest: Estimate | None = None
        self.outputs: Estimate | None = None
        """The newest estimate that carries outputs."""
        self.link: tuple[str, LinkStyle] = ("waiting for the device", "warn")
        self.remark = ""
        self.hint = ""
        """What a person at the terminal can do."""
        self.page = page
        self.lost = ""
        """Why there is no connection; empty while there is one."""
        self.notice = NOTICE
        self.hops = 0
        self.corrupt = 0
        self.reconnects = 0
        self._clock = clock
        self._connections = 0
        self._last_signal = -1.0

    def estimate(self, e: Estimate) -> None:
        """Take a new estimate or abstention."""
        self.latest = e
        self.hops += 1
        self.notice = e.notice or NOTICE
        if e.labs:
            self.outputs = e

    def event(self, ev: LinkEvent) -> None:
        """Take a link event."""
        self.link = _LINK.get(ev.kind, self.link)
        if ev.kind in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED} or "reason" in ev.data:
            self.lost = ev.detail
        if ev.kind is LinkEventKind.CONNECTED:
            self.lost = ""
            count = ev.data.get("count", 1)
            self._connections += count if isinstance(count, int) else 1
            self.reconnects = self._connections - 1
        if ev.kind is LinkEventKind.CORRUPT:
            frames = ev.data.get("frames", 1)
            self.corrupt += frames if isinstance(frames, int) else 1
        elif ev.detail:
            self.remark = ev.detail

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Take new signal to show."""
        self.heard()
        self.wave.push(samples, fs_hz, start_s)

    def heard(self) -> None:
        """Note that signal arrives."""
        if self._last_signal < 0 or self.link[0] == "connected":
            self.link = ("receiving", "ok")
        self._last_signal = self._clock()

    def beat(self, t_s: float) -> None:
        """Take a new R peak."""
        self.beats_s.append(t_s)

    def shown_beats(self) -> list[float]:
        """Return the positions of the beats on the screen, from 0 (left) to 1 (right)."""
        begin = self.wave.end_s - SECONDS
        return [(t - begin) / SECONDS for t in self.beats_s if begin <= t < self.wave.end_s]

    def link_now(self) -> tuple[str, LinkStyle]:
        """Return text and style for the state of the link, including silence."""
        silent = self._clock() - self._last_signal
        if self._last_signal >= 0 and silent > SILENT_S and self.link[1] == "ok":
            return f"no data for {silent:.0f} s", "bad"
        return self.link
