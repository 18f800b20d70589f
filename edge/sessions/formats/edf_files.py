"""EDF+ files, one for each gap-free segment, with beats, waves and abstentions as annotations (Kemp 2003)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge.sessions.ecg import Segment
from edge.sessions.folder import unix_ms
from edge.sessions.formats.digits import CHUNK, Digits, digits_for
from edge.sessions.marks import Placed

BITS = 16
RECORD_S = (0.5, 2.0)
"""Shortest and longest data record, s, from which the one is taken that leaves the fewest samples to fill."""
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_TEXTS = {"beat": "R peak", "P": "P wave", "QRS": "QRS", "T": "T wave"}


@dataclass(frozen=True, slots=True)
class EdfFile:
    """A written file.

    Attributes:
        path: The file.
        exact: Whether the samples are those of the device, bit by bit.
        filled: Samples at the end that only fill the last data record; an annotation says so.
        step: Size of one step in the unit of the samples.
    """

    path: Path
    exact: bool
    filled: int
    step: float


def write_edf(path: Path, segment: Segment, start_unix_s: float, device: str, marks: Sequence[Placed]) -> EdfFile:
    """Write a segment.

    Args:
        path: The file.
        segment: The segment.
        start_unix_s: Unix time of its first sample, s.
        device: Name of the device.
        marks: Beats, waves and abstentions.

    Raises:
        OSError: The file cannot be written.
    """
    n = len(segment.samples)
    digits = digits_for(segment.samples, segment.step, BITS)
    per_record = _per_record(n, segment.fs_hz)
    records = -(-n // per_record)
    filled = records * per_record - n
    record_s = float(_number(per_record / segment.fs_hz))
    whole_s, ms = divmod(unix_ms(start_unix_s), 1000)
    start, begin_s = datetime.fromtimestamp(whole_s, UTC), ms / 1000
    lists = _annotations(marks, per_record, record_s, records, begin_s, segment.fs_hz)
    if filled:
        lists[-1] += _tal(begin_s + n / segment.fs_hz, filled / segment.fs_hz, "end of the signal; filled up")
    width = -(-max(map(len, lists)) // 2)
    with path.open("wb") as file:
        file.write(_header(segment, digits, device, start, (records, record_s, per_record, width)))
        block = max(1, CHUNK // per_record)
        for first in range(0, records, block):
            some = min(block, records - first)
            values = digits.of(segment.samples[first * per_record : (first + some) * per_record])
            values = np.pad(values, (0, some * per_record - len(values)), mode="edge")
            rows = values.astype("<i2").reshape(some, per_record)
            for row, text in zip(rows, lists[first : first + some], strict=True):
                file.write(row.tobytes() + text.ljust(2 * width, b"\0"))
    return EdfFile(path, digits.exact, filled, digits.step)


def _per_record(n: int, fs_hz: float) -> int:
    """Return the number of samples of a data record: the one that leaves the fewest to fill, close to a second."""
    second = max(1, round(fs_hz))
    if n <= RECORD_S[0] * fs_hz:
        return n
    low, high = max(1, round(RECORD_S[0] * fs_hz)), min(n, round(RECORD_S[1] * fs_hz))
    return min((-n % size, abs(size - second), size) for size in range(low, high + 1))[2]


def _annotations(
    marks: Sequence[Placed], per_record: int, record_s: float, records: int, begin_s: float, fs_hz: float
) -> list[bytes]:
    lists = [f"+{_seconds(begin_s + number * record_s)}\x14\x14\0".encode() for number in range(records)]
    for mark in marks:
        text = f"no estimate: {mark.text}" if mark.kind == "abstention" else _TEXTS[mark.kind]
        length_s = (mark.end - mark.start) / fs_hz
        lists[mark.start // per_record] += _tal(begin_s + mark.start / fs_hz, length_s, text)
    return lists


def _tal(onset_s: float, length_s: float, text: str) -> bytes:
    length = f"\x15{_seconds(length_s)}" if length_s > 0.0 else ""
    return f"+{_seconds(onset_s)}{length}\x14{text}\x14\0".encode()


def _seconds(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _header(
    segment: Segment, digits: Digits, device: str, start: datetime, shape: tuple[int, float, int, int]
) -> bytes:
    records, record_s, per_record, width = shape
    unit, scale = ("uV", 1000.0) if segment.unit == "mV" else ("", 1.0)
    limit = 2 ** (BITS - 1)
    ends = [(digit - digits.baseline) * digits.step * scale for digit in (-limit, limit - 1)]
    name = device.encode("ascii", "replace").decode().replace(" ", "_")
    date = f"{start.day:02d}-{MONTHS[start.month - 1]}-{start.year}"
    head = _text("0", 8) + _text("X X X X", 80) + _text(f"Startdate {date} X X {name}", 80)
    head += _text(f"{start:%d.%m.%y}", 8) + _text(f"{start:%H.%M.%S}", 8) + _text(str(256 * 3), 8)
    head += _text("EDF+C", 44) + _text(str(records), 8) + _text(_number(record_s), 8) + _text("2", 4)
    columns = (
        (16, "ECG", "EDF Annotations"), (80, name, ""), (8, unit, ""),
        (8, _number(ends[0]), "-1"), (8, _number(ends[1]), "1"), (8, str(-limit), str(-limit)),
        (8, str(limit - 1), str(limit - 1)), (80, "", ""), (8, str(per_record), str(width)), (32, "", ""),
    )  # fmt: skip
    return head + b"".join(_text(one, size) + _text(other, size) for size, one, other in columns)


def _text(text: str, size: int) -> bytes:
    return text.encode("ascii", "replace")[:size].ljust(size)


def _number(value: float) -> str:
    """Return a number in the eight characters of a field, as precise as they allow."""
    for digits in range(9, 0, -1):
        text = f"{value:.{digits}g}"
        if "e" in text:
            text = f"{value:.8f}".rstrip("0").rstrip(".")
        if len(text) <= 8:
            return text
    return f"{value:.8f}"[:8]
