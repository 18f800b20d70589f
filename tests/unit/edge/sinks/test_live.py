"""The live view: its content, that it fits the terminal, that it is fast, and that it restores the terminal."""

from __future__ import annotations

import fcntl
import math
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import textwrap
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frontend.ecgfounder import EcgFounderFrontEnd
from edge.records import ABSTAIN_REASONS, NOTICE, BundleRef, Estimate, LabEstimate, QualityRecord, WindowSpan
from edge.sinks import SinkClosedError
from edge.sinks.live.frame import clean, row_ansi, row_text
from edge.sinks.live.layout import layout
from edge.sinks.live.state import REASON_TEXT, LiveState
from edge.sinks.live.svg import SvgSink
from edge.sinks.live.view import LiveSink, can_draw, open_view, terminal_size
from edge.sinks.live.wave import WaveBuffer
from edge.sinks.plain import PlainSink
from firmware_bridge.samples import LinkEvent, LinkEventKind

ROOT = Path(__file__).parents[4]
HIGH = LabEstimate(
    key="potassium_high",
    loinc="2823-3",
    unit="1",
    value=0.62,
    interval=(0.51, 0.71),
    threshold=0.5,
    flag=True,
    windows=118,
    tier="strong",
)
LOW = LabEstimate(
    key="potassium_low",
    loinc="2823-3",
    unit="1",
    value=0.04,
    interval=(0.02, 0.09),
    threshold=0.5,
    flag=False,
    windows=118,
    tier="moderate",
)
VALUE = LabEstimate(
    key="potassium",
    loinc="2823-3",
    unit="mmol/L",
    value=5.312,
    interval=(4.7, 5.9),
    threshold=None,
    flag=None,
    windows=118,
    tier="limited",
)
ESTIMATE = Estimate(
    "2026-11-22T16:00:00.000Z", True, "s", "patch 7", WindowSpan(118, 128), BundleRef("demo 0.1", "0" * 64),
    QualityRecord(0.93), 72.4, (HIGH, LOW, VALUE), None, 17, {"front_end": 0.2, "model": 0.4, "total": 0.9},
)  # fmt: skip


def event(kind, detail="", **data):
    return LinkEvent(kind, 0, detail, data)


def beats(seconds=6.0, fs=125.0):
    t = np.arange(int(seconds * fs)) / fs
    return np.exp(-(((t % 0.8) - 0.4) ** 2) / 2e-4)


def filled(**kwargs):
    state = LiveState("patch 7", "demo 0.1", limit_ms=1000, **kwargs)
    state.event(event(LinkEventKind.CONNECTED))
    state.signal(beats(), 125.0, 122.0)
    state.beat(127.6)
    state.estimate(ESTIMATE)
    return state


def text(state, width=80, height=24, seconds=0.0):
    return [row_text(row) for row in layout(state, width, height, seconds)]


def test_everything_a_person_needs_is_on_80_by_24():
    screen = "\n".join(text(filled()))
    for wanted in ("patch 7", "demo 0.1", "00:02:08", "receiving", "HR  72 bpm", "0.93", "potassium high    62 %",
                   "51 – 71", "50 %", "▲ yes", "strong", "118", "5.31 mmol/L", "4.7 – 5.9", "limited",
                   "latency 0.9/1000 ms", "lost 17 samples", "corrupt 0", "reconnects 0", "▴", "mV",
                   NOTICE):  # fmt: skip
        assert wanted in screen, wanted


@pytest.mark.parametrize("reason", ABSTAIN_REASONS)
def test_abstention_is_shown_in_words_and_the_notice_stays(reason):
    state = filled()
    state.estimate(replace(ESTIMATE, labs=(), abstained=reason))
    screen = "\n".join(text(state))
    assert REASON_TEXT[reason] in screen
    assert "potassium high" in screen
    assert NOTICE in screen


@settings(max_examples=80, deadline=None)
@given(width=st.integers(1, 300), height=st.integers(1, 80), labs=st.integers(0, 120), seconds=st.floats(0, 1e6))
def test_the_frame_never_leaves_the_terminal(width, height, labs, seconds):
    state = filled()
    state.estimate(replace(ESTIMATE, labs=(HIGH,) * labs, notice=NOTICE * 3))
    rows = text(state, width, height, seconds)
    assert len(rows) == height
    assert all(len(row) <= width for row in rows)


def test_more_outputs_than_rows_are_paged_flagged_ones_first():
    labs = [LOW._replace(key=f"lab_{i}") for i in range(40)] + [HIGH]
    state = filled()
    state.estimate(replace(ESTIMATE, labs=tuple(labs)))
    seen = set()
    for page in range(10):
        rows = text(state, seconds=5.0 * page)
        seen |= {word for row in rows for word in re.findall(r"lab \d+|potassium high", row)}
    assert len(seen) == 41
    assert any("potassium high" in row for row in text(state, seconds=0))
    assert "of 41" in "\n".join(text(state, width=100))


def test_link_states_and_silence():
    now = [0.0]
    state = LiveState(clock=lambda: now[0])
    assert "waiting for the device" in text(state)[0]
    state.event(event(LinkEventKind.CONNECTED))
    state.signal(beats(1), 125.0, 0.0)
    now[0] = 2.0
    assert "receiving" in text(state)[0]
    now[0] = 12.0
    assert "no data for 12 s" in text(state)[0]
    state.event(event(LinkEventKind.DISCONNECTED, "unplugged"))
    assert "disconnected" in text(state)[0]
    state.event(event(LinkEventKind.CONNECTED))
    state.event(event(LinkEventKind.CORRUPT, frames=3))
    assert "corrupt 3 · reconnects 1" in "\n".join(text(state))


def test_hostile_names_cannot_move_the_cursor():
    state = filled()
    state.estimate(
        replace(ESTIMATE, device="\x1b[2J\x07\r\n漢字 e\u0301 \u202e x", labs=(HIGH._replace(key="\x1b]0;x\x07"),))
    )
    for row in layout(state, 80, 24):
        assert row_text(row).isprintable()
    assert clean("µmol/L") == "µmol/L"


def test_the_waveform_shows_peaks_gaps_and_moves_by_whole_dots():
    wave = WaveBuffer()
    wave.push(beats(), 125.0, 0.0)
    first = wave.draw(70, 6, millivolts=True)
    assert sum(c != " " for c in first[0]) in range(7, 18)
    assert sum(c != " " for c in first[-1]) > 50
    wave.push(np.zeros(125), 125.0, 8.0)
    gap = wave.draw(70, 6, millivolts=True)
    columns = ["".join(row[i] for row in gap).strip() for i in range(70)]
    assert columns[-5:] == [c for c in columns[-5:] if c]
    assert not any(columns[36:56])
    assert WaveBuffer().draw(10, 2, millivolts=True) == [" " * 10] * 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(-20, 20), st.sampled_from([125.0, 250.0])), max_size=6),
       st.integers(1, 200), st.integers(1, 20))  # fmt: skip
def test_any_signal_can_be_drawn(pushes, columns, rows):
    wave = WaveBuffer()
    for n, start, fs in pushes:
        wave.push(np.where(np.arange(n) % 7 == 3, np.nan, np.arange(n) * 1.0), fs, max(0.0, start))
        picture = wave.draw(columns, rows, millivolts=False)
        assert len(picture) == rows
        assert all(len(line) == columns for line in picture)


def test_pieces_of_signal_do_not_matter():
    whole, pieces = WaveBuffer(), WaveBuffer()
    whole.push(beats(), 125.0, 1.0)
    for i in range(0, 750, 7):
        pieces.push(beats()[i : i + 7], 125.0, 1.0 + i / 125.0)
    assert whole.draw(80, 5, millivolts=True) == pieces.draw(80, 5, millivolts=True)


@pytest.mark.alone
def test_a_frame_is_fast():
    """At most the time of the front end for eight windows (2 ms on a PC): 2 % of a core at 10 frames per second."""
    state = filled()
    best = {"frame": math.inf, "window": math.inf}
    front_end, window = EcgFounderFrontEnd(), np.random.default_rng(0).standard_normal(5000)

    def frame():
        "".join(row_ansi(row, colour=True) for row in layout(state, 80, 24))

    for _ in range(30):
        for name, work in (("frame", frame), ("window", lambda: front_end.filter(window))):
            begin = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - begin)
    assert best["frame"] < 8 * best["window"]


SCRIPT = """
import sys, time
sys.path.insert(0, {root!r})
from tests.unit.edge.sinks.test_live import *
view = open_view(LiveState("patch 7", "demo 0.1"))
view.open()
view.signal(beats(), 125.0, 122.0)
view.estimate(ESTIMATE)
sys.stdin.readline()
view.signal(beats(), 125.0, 128.0)
until_drawn(view)
{end}
view.close(None)
print("SUMMARY")
"""


def until_drawn(view):
    """Wait for the drawing thread; plain lines need no wait."""
    while isinstance(view, LiveSink) and (view._changed.is_set() or view._size != terminal_size(view._stream)):
        time.sleep(0.01)


def on_a_terminal(end="", env=None, resize=None):
    """Run the view on a pseudo-terminal of 80 by 24; return its output before and after an Enter."""
    main, sub = pty.openpty()
    fcntl.ioctl(sub, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    code = textwrap.dedent(SCRIPT).format(root=str(ROOT), end=end)
    environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1", **(env or {})}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=sub, stdout=sub, stderr=subprocess.PIPE, env=environment, cwd=ROOT
    )
    os.close(sub)
    parts = [read_until_quiet(main, after=b"potassium high")]
    if resize is not None:
        fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", *resize, 0, 0))
    os.write(main, b"\n")
    parts.append(read_until_quiet(main, process))
    errors = process.communicate(timeout=120)[1].decode()
    os.close(main)
    return parts, errors


def read_until_quiet(fd, process=None, after=b""):
    """Return the output until ``after`` has appeared, the process (if given) has ended, and no more arrives."""
    out = b""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        ready = select.select([fd], [], [], 0.5)[0]
        try:
            data = os.read(fd, 65536) if ready else b""
        except OSError:
            break
        out += data
        if not data and after in out and (process is None or process.poll() is not None):
            break
    return out.decode(errors="replace")


def test_on_a_terminal_it_draws_resizes_and_restores_the_terminal():
    (before, after), errors = on_a_terminal(resize=(40, 120))
    assert errors == ""
    assert before.startswith("\x1b[?1049h")
    assert "potassium high" in before
    assert "\x1b[38;5;28m" in before
    assert max(int(y) for y in re.findall(r"\x1b\[(\d+);1H", before)) <= 24
    assert max(int(y) for y in re.findall(r"\x1b\[(\d+);1H", after)) > 24
    tail = after[after.index("\x1b[?1049l") :]
    assert "\x1b[?25h" in after
    assert "potassium high" in tail
    assert NOTICE in tail
    assert tail.rstrip().endswith("SUMMARY")


def test_a_crash_restores_the_terminal_too():
    (_, after), errors = on_a_terminal(end="raise RuntimeError('boom')")
    assert "boom" in errors
    assert "\x1b[?25h\x1b[?1049l" in after


def test_no_color_is_honoured():
    (before, after), _ = on_a_terminal(env={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[(1;)?3[0-9]m", before + after)
    assert "potassium high" in before


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}])
def test_a_terminal_without_cursor_control_gets_lines(env):
    if "PYTHONIOENCODING" in env:
        env = {**env, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    (before, after), errors = on_a_terminal(env=env)
    assert errors == ""
    assert "\x1b" not in before + after
    assert "FLAG potassium high 62 % (51 to 71)" in before


def test_a_closed_window_does_not_end_the_run(tmp_path):
    with (tmp_path / "x").open("w") as stream:
        view = LiveSink(filled(), stream)
        view.open()
    view.estimate(ESTIMATE)
    time.sleep(0.3)
    view.close(None)


def test_without_a_terminal_plain_lines(tmp_path, capsys):
    view = open_view(LiveState())
    assert isinstance(view, PlainSink)
    assert not can_draw(sys.stdout)
    view.open()
    view.event(event(LinkEventKind.CONNECTED, "open"))
    for second in range(10, 60):
        labs = () if second < 15 else (HIGH, LOW, VALUE)
        reason = "warming_up" if second < 15 else None
        window = WindowSpan(second - 10, second)
        view.estimate(replace(ESTIMATE, window=window, labs=labs, abstained=reason, heart_rate_bpm=None))
    view.close(None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "link connected: open"
    assert lines[1] == NOTICE
    assert "no estimate: warming up" in lines[2]
    assert "FLAG potassium high 62 % (51 to 71); potassium 5.31 mmol/L (4.7 to 5.9)  lost 17" in lines[3]
    assert len(lines) == 8


def test_plain_lines_without_a_reader():
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    with pytest.raises(SinkClosedError):
        PlainSink(stream).estimate(ESTIMATE)
    os.close(os.dup(write))
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_the_picture_shows_the_screen(tmp_path):
    sink = SvgSink(tmp_path / "live.svg", LiveState("patch 7", "demo <0.1> & more"))
    sink.open()
    sink.signal(beats(), 125.0, 122.0)
    sink.beat(127.6)
    sink.estimate(replace(ESTIMATE, bundle=BundleRef("demo <0.1> & more", "0" * 64)))
    sink.event(event(LinkEventKind.END))
    sink.close(None)
    root = ET.fromstring((tmp_path / "live.svg").read_text())
    words = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert " ".join(words).count("potassium") == 3
    assert {"<0.1>", "&", "receiving", "62", "laboratory"} <= set(words)
    assert list(root.iter("{http://www.w3.org/2000/svg}path"))
