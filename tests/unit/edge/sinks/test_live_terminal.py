"""The live view on a screen: nothing is cut off, colours are readable on any background, keys work, flags stay."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import sys
import termios
import time
from dataclasses import replace

import pytest

from edge.records import BundleRef, Estimate, LabEstimate, QualityRecord, WindowSpan
from edge.sinks.live.frame import SGR, row_text
from edge.sinks.live.layout import PAGE_S, layout
from edge.sinks.live.state import LiveState
from edge.sinks.live.view import LiveSink

LEAST_CONTRAST = 3.0
"""WCAG 2.1, 1.4.3, of large or bold text, and 1.4.11, of graphics."""
CUBE = (0, 95, 135, 175, 215, 255)


def head(key: str, *, flag: bool) -> LabEstimate:
    return LabEstimate(
        key=key, loinc="", unit="1", value=0.4, interval=(0.3, 0.5), threshold=0.5, flag=flag, windows=9, tier="strong"
    )


def estimate(*labs: LabEstimate) -> Estimate:
    return Estimate(
        "2026-11-22T16:00:00.000Z", True, "s", "patch", WindowSpan(0, 10), BundleRef("demo", "0" * 64),
        QualityRecord(0.9), 60.0, labs, None, 0, {"total": 0.9},
    )  # fmt: skip


class Screen:
    """What a terminal of ``columns`` by ``rows`` without automatic wrap shows (ECMA-48, as xterm does it)."""

    def __init__(self, columns: int, rows: int) -> None:
        self.cells = [[" "] * columns for _ in range(rows)]
        self._x = self._y = 0

    def feed(self, text: str) -> None:
        for parameters, command, other in re.findall(r"\x1b\[([0-9;?]*)([A-Za-z])|([^\x1b])", text):
            if other:
                self.cells[self._y][self._x] = other
                self._x = min(self._x + 1, len(self.cells[0]) - 1)
            elif command == "H":
                y, x = parameters.split(";")
                self._y, self._x = int(y) - 1, int(x) - 1
            elif command == "K":
                begin = 0 if parameters == "2" else self._x
                self.cells[self._y][begin:] = " " * (len(self.cells[0]) - begin)


@pytest.mark.parametrize("columns", [40, 80, 100])
def test_the_last_column_is_shown(monkeypatch, columns) -> None:
    state, stream = LiveState("patch"), io.StringIO()
    sink = LiveSink(state, stream)
    monkeypatch.setattr("edge.sinks.live.view.terminal_size", lambda _: (columns, 24))
    state.estimate(estimate(*(head(f"output_{i}", flag=i == 1) for i in range(3))))
    screen = Screen(columns, 24)
    for _ in range(2):
        state.notice = f"{'n' * columns}{'m' * columns}"  # two full rows
        sink.draw()
        screen.feed(stream.getvalue())
    shown = ["".join(row).rstrip() for row in screen.cells]
    assert [line.rstrip() for line in map(row_text, layout(state, columns, 24))] == shown
    assert shown[-1] == "m" * columns


def rgb(colour: int) -> tuple[int, int, int]:
    """Return a colour of the cube of xterm's 256-colour palette."""
    assert 16 <= colour < 232, "not a fixed colour: a theme may make it anything"
    number = colour - 16
    return CUBE[number // 36], CUBE[number // 6 % 6], CUBE[number % 6]


def luminance(colour: tuple[int, int, int]) -> float:
    parts = (c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


@pytest.mark.parametrize("style", [name for name, sgr in SGR.items() if re.search(r"3\d", sgr)])
@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255)], ids=["dark", "light"])
def test_every_colour_is_readable_on_dark_and_light_terminals(style, background) -> None:
    (colour,) = re.findall(r"38;5;(\d+)m", SGR[style])
    light, dark = sorted((luminance(rgb(int(colour))), luminance(background)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= LEAST_CONTRAST


def pages(state: LiveState, height: int, count: int) -> list[str]:
    return ["\n".join(map(row_text, layout(state, 80, height, i * PAGE_S))) for i in range(count)]


def test_a_flagged_output_is_on_every_page() -> None:
    state = LiveState("patch")
    state.estimate(estimate(*(head(f"output_{i:02d}", flag=i in {11, 37}) for i in range(40))))
    shown = pages(state, 20, 40)
    assert all("output 11" in page and "output 37" in page and "2 flagged" in page for page in shown)
    assert all(any(f"output {i:02d}" in page for page in shown) for i in range(40)), "every output has its turn"


def test_flagged_outputs_that_fill_the_table_take_turns() -> None:
    state = LiveState("patch")
    state.estimate(estimate(*(head(f"output_{i:02d}", flag=i < 30) for i in range(40))))
    shown = pages(state, 20, 40)
    assert all(any(f"output {i:02d}" in page for page in shown) for i in range(30))
    assert all("30 flagged" in page for page in shown)


def test_the_hint_gives_way_on_a_narrow_terminal() -> None:
    state = LiveState("patch")
    state.hint = "q quits"
    state.estimate(replace(estimate(head("output", flag=False)), lost_samples=123_456_789))
    assert "q quits" in "\n".join(map(row_text, layout(state, 80, 24)))
    assert all(len(row_text(row)) <= 30 for row in layout(state, 30, 24))


def until(fd: int, wanted: bytes, seconds: float = 120.0) -> bytes:
    out, end = b"", time.monotonic() + seconds
    while wanted not in out and time.monotonic() < end:
        if select.select([fd], [], [], 0.5)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:  # the other side is closed
                return out
            out += data
    assert wanted in out, out[-2000:]
    return out


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal that controls a process")
@pytest.mark.parametrize(("key", "code", "why"), [(b"q", 0, b"ended by: q"), (b"\x03", 130, b"ended by: SIGINT")])
def test_a_key_ends_a_run(key, code, why) -> None:
    command = [sys.executable, "-m", "edge.cli", "run", "--source", "sim:?seed=1", "--view", "live"]
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, command, environment)  # the child of the fork
    until(terminal, b"q quits")
    echo = termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO)
    os.write(terminal, b"x" + key)
    until(terminal, why)
    until(terminal, b"not a medical device")
    restored = termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
    assert echo == 0
    assert restored == termios.ICANON | termios.ECHO
