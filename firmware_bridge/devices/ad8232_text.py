"""AD8232 or any other front end whose microcontroller prints the converter's values as text, one line per sample.

Sans-IO. Source: sparkfun/AD8232_Heart_Rate_Monitor (9600 baud, one decimal value and CR LF per sample, ``!`` while an
electrode is off). Columns are separated by commas, semicolons or blanks; of ``name:value`` only the value is read. Text
before the first end of a line is discarded, since it may be half a line.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from firmware_bridge.decoding.cutter import Heap
from firmware_bridge.decoding.options import LSB_MV_OPTION, choice, sampling_rate, scale
from firmware_bridge.decoding.stream import Blocks, RateCheck, junk_event
from firmware_bridge.devices import Device, DeviceKind, Write
from firmware_bridge.errors import UsageError
from firmware_bridge.items import DATA_CHANNEL, hole_bytes
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem

RATE = "190"
"""Lines of three digits per second at 9600 baud; the sketch itself does not time its samples."""
LINE_MAX = 200
"""Longest line in bytes; a longer one is damage."""
COLUMNS = tuple(range(1, 33))
UNITS = {"ms": 1_000_000, "us": 1_000, "s": 1_000_000_000}
"""Units of the time column -> nanoseconds."""
STEP_MAX_NS = 3_600_000_000_000
"""A longer step of the time column means another clock."""
WRAP = 1 << 32
"""``millis()`` and ``micros()`` of an Arduino wrap to 0 here."""
VALUE_MAX = 2**31 - 1
_SEPARATORS = bytes.maketrans(b",;\t", b"   ")
_DIGITS = b"0123456789 \r\n"
_PRINTABLE = bytes([9, 13, *range(32, 127)])


@dataclass(frozen=True, slots=True)
class _Line:
    value: int
    lead_off: bool
    time_ns: int | None = None


class TextDecoder:
    """One session with one board.

    Args:
        rate: Samples (lines) per second, as text.
        column: Number of the column with the ECG, from 1, as text.
        time: Number of the column with a time, from 1, as text; ``None`` for none.
        time_unit: Unit of that column: ``ms``, ``us`` or ``s``.
        lsb_mv: Millivolts per count, as text.
    """

    def __init__(
        self,
        rate: str = RATE,
        column: str = "1",
        time: str | None = None,
        time_unit: str = "ms",
        lsb_mv: str | None = None,
    ) -> None:
        self._blocks = Blocks(sampling_rate(rate), scale(lsb_mv))
        self._column = choice("column", column, COLUMNS) - 1
        self._time = None if time is None else choice("time", time, COLUMNS) - 1
        if time_unit not in UNITS:
            raise UsageError(f"time_unit={time_unit!r} is not possible", f"time_unit is one of {', '.join(UNITS)}")
        self._tick_ns = UNITS[time_unit]
        self._count: Counter[str] = Counter()
        self._line_size = 5.0
        """Bytes of a line, as the last ones had."""
        self._heap = Heap()
        self._check = RateCheck(self._blocks.fs_hz)
        self._last: int | None = None
        """Time column of the last sample, in nanoseconds, unwrapped."""
        self._begin()

    def _begin(self) -> None:
        self._held = b""
        self._dropping = True
        """Whether everything up to the next end of a line is discarded."""
        self._bad = 0
        """Damaged lines since the last sample."""
        self._missing = 0
        """Bytes that a damaged recording lost since the last whole line."""
        self._last = None
        self._heap.fresh()
        self._check.fresh()

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode received bytes; return blocks and events in order. Never raises."""
        if channel != DATA_CHANNEL:
            self._count["foreign_channel_bytes"] += len(data)
            return []
        out: list[LinkItem] = []
        text, end, rest = (self._held + data).rpartition(b"\n")
        if end:
            if self._dropping:
                half, _end, text = (text + end).partition(b"\n")
                self._discard(half, arrival_ns, out)
                self._dropping = False
                if self._missing:
                    self._bad += max(1, round((self._missing + len(half) + 1) / self._line_size))
                    self._missing = 0
            self._lines(text, arrival_ns, out)
        if not self._dropping and len(rest) > LINE_MAX:
            self._bad += 1
            self._dropping = True
        if self._dropping:
            self._discard(rest, arrival_ns, out)
            rest = b""
        self._held = rest
        return out

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport."""
        missing = hole_bytes(event)
        if missing is not None:
            # A number of which only the end is left would be a wrong sample.
            self._missing += len(self._held) + missing
            self._held, self._dropping = b"", True
            return []
        if event.kind not in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.END}:
            return []
        out: list[LinkItem] = [junk_event(junk, event.arrival_ns, self._count) for junk in self._heap.take()]
        self._begin()
        return out

    def writes(self) -> list[Write]:
        """Return nothing: the board receives no commands."""
        return []

    def counters(self) -> dict[str, int]:
        """Return the counters since the decoder was created; counters that are zero are absent."""
        return dict(self._count)

    def _discard(self, piece: bytes, arrival_ns: int, out: list[LinkItem]) -> None:
        out += [junk_event(junk, arrival_ns, self._count) for junk in self._heap.discard(piece)]

    def _lines(self, text: bytes, arrival_ns: int, out: list[LinkItem]) -> None:
        lines = text.split(b"\n")
        if whole := text.rstrip(b"\n"):
            self._line_size = (len(whole) + 1) / (whole.count(b"\n") + 1)
        if self._time is None and self._column == 0 and not text.translate(None, _DIGITS):
            # Digits only, as almost always: no line needs a check of its own.
            words = [word for line in lines if (word := line.strip())]
            if all(len(word) < 10 and word.isdigit() for word in words) and len(max(lines, key=len)) <= LINE_MAX:
                self._block([int(word) for word in words], None, arrival_ns, out)
                return
        pending: list[int] = []
        shared: _Line | None = None
        for line in lines:
            if not line.strip():
                continue
            sample = self._line(line)
            if shared and not (sample and sample.time_ns is None and sample.lead_off == shared.lead_off):
                self._block(pending, shared, arrival_ns, out)
                pending, shared = [], None
            if sample is None:
                self._bad += bool(line.translate(None, _PRINTABLE)) or len(line) > LINE_MAX
                self._discard(line, arrival_ns, out)
            else:
                shared = sample
                pending.append(sample.value)
        self._block(pending, shared, arrival_ns, out)

    def _line(self, line: bytes) -> _Line | None:
        """Parse a line; return ``None`` if it is not a sample."""
        if len(line) > LINE_MAX or b"\r" in line.strip():
            return None
        words = line.translate(_SEPARATORS).split()
        first = words[0] if words else b""
        lowered = line.lower()
        off = first == b"!" or (b"lead" in lowered and b"off" in lowered)
        wanted = words[self._column] if self._column < len(words) else b""
        if not off and wanted != b"!":
            value = _number(wanted)
            if value is None or abs(value) > VALUE_MAX:
                return None
            if value != int(value):
                self._count["rounded_samples"] += 1
            time_ns = self._time_ns(words)
            return None if self._time is not None and time_ns is None else _Line(round(value), False, time_ns)
        return _Line(0, True, self._time_ns(words))

    def _time_ns(self, words: list[bytes]) -> int | None:
        if self._time is None or self._time >= len(words):
            return None
        time = _number(words[self._time])
        return None if time is None or not 0 <= time < WRAP * 1000 else round(time * self._tick_ns)

    def _block(self, values: list[int], last: _Line | None, arrival_ns: int, out: list[LinkItem]) -> None:
        """Make a block of lines of the same kind; ``last`` is the last of them, with its time."""
        if not values:
            return
        out += [junk_event(junk, arrival_ns, self._count) for junk in self._heap.take()]
        self._heap.frame()
        time_ns, off = (None, False) if last is None else (last.time_ns, last.lead_off)
        lost, self._bad = self._bad, 0
        if time_ns is not None:
            known = self._last is not None
            time_ns, missing = self._placed(time_ns, arrival_ns, out)
            lost = missing if known else lost
            self._last = time_ns
        self._count["samples"] += len(values)
        if lost:
            self._count["lost_samples"] += lost
        if off:
            self._count["lead_off_samples"] += len(values)
        samples = np.array(values, np.int32)
        out.append(self._blocks.one(samples, arrival_ns, lost, lead_off=off, device_time_ns=time_ns))
        if self._time is None:
            out += self._check.push(len(values) + lost, arrival_ns)

    def _placed(self, time_ns: int, arrival_ns: int, out: list[LinkItem]) -> tuple[int, int]:
        """Return the unwrapped time, and the samples missing before it."""
        if self._last is None:
            return time_ns, 0
        wrap_ns = WRAP * self._tick_ns
        step_ns = time_ns - self._last % wrap_ns
        if step_ns < -wrap_ns // 2 and self._tick_ns < UNITS["s"]:
            step_ns += wrap_ns
        if 0 <= step_ns <= STEP_MAX_NS:
            return self._last + step_ns, max(0, round(step_ns * 1e-9 * self._blocks.fs_hz) - 1)
        self._count["restarts"] += 1
        out.append(LinkEvent(LinkEventKind.RESTARTED, arrival_ns, "the time column jumped: the board restarted"))
        return time_ns, 0


def _number(word: bytes) -> float | None:
    try:
        value = float(word.rpartition(b":")[2])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


DEVICE = Device(
    profile=DeviceKind(
        name="ad8232_text",
        title="AD8232 or another board that prints its values as text",
        transports=("serial", "tcp"),
        fs_hz=(),
        scale="unknown",
        band_hz=None,
        clock="none, or a column of the text (option time)",
        loss_detection=(
            "none without a time column: a damaged line counts as one sample, and a line that never arrived is not "
            "noticed; with a time column (option time) the number of missing samples follows from the time"
        ),
        baud=9600,
        options={
            "rate": "lines per second (default 190, the maximum at 9600 baud); measure it, the sketch has no timer",
            "column": "number of the column with the ECG, from 1 (default 1)",
            "time": "number of the column with a time, from 1 (default: none)",
            "time_unit": "ms (default), us or s",
            "lsb_mv": LSB_MV_OPTION,
        },
        notes=(
            (
                "the scale depends on the converter's resolution and reference and on the board's gain: the unit "
                "is counts until the board is calibrated (option lsb_mv)"
            ),
            "the pass band is set by parts on the board: often 0.5 to 40 Hz, so ST segments cannot be trusted",
        ),
    ),
    decoder=TextDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
