"""The live view in a terminal: waveform, heart rate, quality, estimates, budgets; plain ANSI, no library.

A separate thread draws it, because a write to a terminal over a stuck network connection blocks, and the link to the
patch must not wait for that.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from edge.sinks import BaseSink
from edge.sinks.live.frame import Frame, row_ansi
from edge.sinks.live.keys import Keys
from edge.sinks.live.layout import layout
from edge.sinks.live.state import LiveState
from edge.sinks.plain import PlainSink

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edge.records import Estimate, RunSummary
    from firmware_bridge.samples import LinkEvent

FRAME_S = 0.1
"""Shortest time between two frames, s."""

IDLE_S = 1.0
"""Longest time between two frames, s, so that silence of the link becomes visible."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"


class LiveSink(BaseSink):
    """Draws a run on a terminal; on close it restores the terminal and leaves the last frame there.

    Args:
        state: The state to draw.
        stream: The terminal.
        colour: Whether to use colours.
    """

    def __init__(self, state: LiveState, stream: TextIO, *, colour: bool = True) -> None:
        self._state = state
        self._stream = stream
        self._colour = colour
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._drawn: list[str] = []
        self._size = (0, 0)
        self._keys: Keys | None = None
        self._quit: Callable[[], object] | None = None

    def on_quit(self, stop: Callable[[], object]) -> None:
        """Set what the key ``q`` calls, from another thread."""
        self._quit = stop

    def open(self) -> None:
        """Take over the terminal."""
        if self._quit is not None:
            self._keys = Keys.of(self._stream, {"q": self._quit, "Q": self._quit})
            self._state.hint = "" if self._keys is None else "q quits"
        self._write(_ENTER)
        atexit.register(self._leave)
        self._thread = threading.Thread(target=self._loop, name="live view", daemon=True)
        self._thread.start()

    def estimate(self, e: Estimate) -> None:
        """Show the estimate."""
        with self._lock:
            self._state.estimate(e)
        self._changed.set()

    def event(self, ev: LinkEvent) -> None:
        """Show the state of the link."""
        with self._lock:
            self._state.event(ev)
        self._changed.set()

    def signal(self, samples: NDArray[np.float64], fs_hz: float, start_s: float) -> None:
        """Advance the waveform."""
        with self._lock:
            self._state.signal(samples, fs_hz, start_s)
        self._changed.set()

    def beat(self, t_s: float) -> None:
        """Mark the beat."""
        with self._lock:
            self._state.beat(t_s)

    def close(self, summary: RunSummary | None) -> None:
        """Restore the terminal; the last frame stays above the next output."""
        del summary  # the command line prints it below the frame
        if self._thread is None:
            return
        self._stop.set()
        self._changed.set()
        # A terminal that no longer accepts output must not keep the program from ending.
        self._thread.join(2.0)
        stuck, self._thread = self._thread.is_alive(), None
        if not stuck:
            self._state.hint = ""
            self._leave()
            atexit.unregister(self._leave)
            self._write("\n".join(self._frame()) + "\n")

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._changed.wait(IDLE_S)
            self._changed.clear()
            self.draw()
            self._stop.wait(FRAME_S)

    def draw(self) -> None:
        """Draw the rows that changed since the last frame, or all of them after a change of size."""
        size = terminal_size(self._stream)
        out: list[str] = []
        if size != self._size:
            self._size, self._drawn = size, []
            out.append("\x1b[2J")
        rows = self._frame()
        for y, row in enumerate(rows):
            if y >= len(self._drawn) or self._drawn[y] != row:
                # Erase first: after a full row the cursor stands on its last column and would erase it.
                out.append(f"\x1b[{y + 1};1H\x1b[K{row}")
        self._drawn = rows
        if out:
            self._write("".join(out))

    def _frame(self) -> list[str]:
        with self._lock:
            frame = self._layout(*self._size, time.monotonic())
        return [row_ansi(row, colour=self._colour) for row in frame]

    def _layout(self, width: int, height: int, seconds: float) -> Frame:
        """Return the screen."""
        return layout(self._state, width, height, seconds)

    def _leave(self) -> None:
        if self._keys is not None:
            self._keys.close()
        self._write(_LEAVE)

    def _write(self, text: str) -> None:
        # The terminal may be gone (a closed window); the run continues without it.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def terminal_size(stream: TextIO) -> tuple[int, int]:
    """Return columns and rows of the terminal ``stream``; 80 by 24 if unknown."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return 80, 24
    return (size.columns, size.lines) if size.columns and size.lines else (80, 24)


def can_draw(stream: TextIO) -> bool:
    """Return whether ``stream`` is a terminal that can show the live view."""
    encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
    return stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb"} and encoding == "utf8"


def open_view(
    state: LiveState, stream: TextIO | None = None, *, live: bool | None = None, link: bool = True
) -> LiveSink | PlainSink:
    """Return the view for a person: live on a terminal, otherwise plain lines. Honours ``NO_COLOR``.

    Args:
        state: A new state with the names of source and bundle.
        stream: The output; ``None`` for standard output.
        live: True for the live view, false for plain lines, ``None`` to decide by the stream.
        link: Whether plain lines also tell what happens on the link.
    """
    out = sys.stdout if stream is None else stream
    if can_draw(out) if live is None else live:
        return LiveSink(state, out, colour=not os.environ.get("NO_COLOR"))
    return PlainSink(out, link=link)
