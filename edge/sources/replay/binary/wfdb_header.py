"""The header of a WFDB record (``.hea``).

The format: https://physionet.org/physiotools/wag/header-5.htm. A field that may be missing has the default of that
page. Everything else that is not as the page says is an error, because its samples would be wrong without a word.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edge.sources.replay.base import check_file
from edge.sources.replay.labels import clean_name, decoded
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

MAX_HEADER_BYTES = 1 << 20
MAX_SIGNALS = 256
"""Most signals in a header; one with more does not describe an ECG."""

MAX_FRAME_SAMPLES = 1 << 16
"""Most samples of all signals in a frame."""

MAX_FRAMES = 1 << 50

DEFAULT_FS_HZ = 250.0
DEFAULT_GAIN = 200.0
"""Rate, and counts per physical unit, where the header gives none (header-5)."""

MAX_INTEGER = 1 << 40
"""Largest integer of a header: the fields have 32 bits in the WFDB library, and sums of samples must fit 64."""
_ANY = 10**40
_TOKEN_MAX = 256
_FORMAT = re.compile(r"(\d{1,4})(?:x(\d{1,9}))?(?::(\d{1,12}))?(?:\+(\d{1,15}))?")
_GAIN = re.compile(r"([^(/]*)(?:\(([^)/]*)\))?(?:/(.*))?")


@dataclass(frozen=True, slots=True)
class WfdbSignal:
    """One signal line.

    Attributes:
        file: Name of the signal file.
        fmt: Format of the file, such as 212; 0 for a signal without samples.
        per_frame: Samples in a frame.
        skew: Frames by which the samples come late in the file.
        byte_offset: Where the samples begin in the file, bytes; samples in a compressed file.
        gain: Counts per unit; NaN if the header gives no number, 0 if it gives none or 0.
        zero: Count that means 0 units.
        unit: Physical unit.
        initial: First sample, from which format 8 counts.
        checksum: Sum of the samples modulo 65536; ``None`` if the header gives none.
        name: Name of the signal, safe for a terminal; empty if the header gives none.
    """

    file: str
    fmt: int
    per_frame: int
    skew: int
    byte_offset: int
    gain: float
    zero: int
    unit: str
    initial: int
    checksum: int | None
    name: str


@dataclass(frozen=True, slots=True)
class WfdbHeader:
    """The header of a record.

    Attributes:
        path: The file.
        fs_hz: Frames per second; NaN if the header gives no number.
        frames: Number of frames; ``None`` if the header does not give it.
        start: Date and time of the beginning; ``None`` if unknown.
        signals: The signals; empty in the header of a multi-segment record.
        segments: Name and number of frames of each segment; empty in a record of one segment.
        announced: Number of segments that the header announces; 0 in a record of one segment.
        default_fs: Whether the header gives no rate.
    """

    path: Path
    fs_hz: float
    frames: int | None
    start: datetime | None
    signals: tuple[WfdbSignal, ...]
    segments: tuple[tuple[str, int], ...]
    announced: int
    default_fs: bool

    @property
    def names(self) -> list[str]:
        """Names of the signals."""
        return [s.name or f"signal {i + 1}" for i, s in enumerate(self.signals)]


def read_header(path: Path) -> WfdbHeader:
    """Read a header.

    Raises:
        InputError: The file is missing, too long or no header; or it names files outside its folder.
    """
    if check_file(path) > MAX_HEADER_BYTES:
        raise InputError(f"{path} is too long for a header", "download it again")
    with open_regular(path) as file:
        raw = file.read(MAX_HEADER_BYTES)
    lines = [line for line in (decoded(r) for r in re.split(rb"[\r\n]+", raw)) if line and line[0] != "#"]
    fields = lines[0].split() if lines else []
    if len(fields) < 2 or max(map(len, fields)) > _TOKEN_MAX:
        raise _unreadable(path, "its first line is not that of a record")
    _, slash, segments = fields[0].partition("/")
    announced = _whole(path, segments, "number of segments") if slash else 0
    count = _whole(path, fields[1], "number of signals")
    if not 0 < count <= MAX_SIGNALS:
        raise InputError(f"{path} announces {count} signals", "download it again")
    frames = _whole(path, fields[3], "number of samples") if len(fields) > 3 else 0
    if not frames >= 0:
        raise _unreadable(path, f"its number of samples is {frames}")
    rate = fields[2].split("/", 1)[0].split("(", 1)[0] if len(fields) > 2 else ""
    return WfdbHeader(
        path=path,
        fs_hz=_number(rate) if rate else DEFAULT_FS_HZ,
        frames=min(frames, MAX_FRAMES) or None,
        start=_start(fields[4:6]),
        signals=() if slash else _signals(path, lines[1:], count),
        segments=_segments(path, lines[1 : 1 + announced]) if slash else (),
        announced=announced,
        default_fs=not rate,
    )


def _signals(path: Path, lines: list[str], count: int) -> tuple[WfdbSignal, ...]:
    if len(lines) < count:
        raise _unreadable(path, f"it announces {count} signals and describes {len(lines)}")
    found = tuple(_signal(path, line) for line in lines[:count])
    if sum(s.per_frame for s in found) > MAX_FRAME_SAMPLES:
        raise _unreadable(path, f"a frame has more than {MAX_FRAME_SAMPLES} samples")
    return found


def _signal(path: Path, line: str) -> WfdbSignal:
    fields = line.split(None, 8)
    if len(fields) < 2 or max(map(len, fields[:8])) > _TOKEN_MAX:
        raise _unreadable(path, "it does not describe its signals")
    layout = _FORMAT.fullmatch(fields[1])
    if layout is None:
        raise _unreadable(path, f"the format {clean_name(fields[1])!r} is unknown")
    per_frame = int(layout[2] or 1)
    if not per_frame:
        raise _unreadable(path, "a signal has no samples in a frame")
    gain, baseline, unit = _gain(path, fields[2]) if len(fields) > 2 else (0.0, None, "mV")
    adc_zero = _field(path, fields, 4, "ADC zero")
    return WfdbSignal(
        file=file_in_folder(path, fields[0], "signal file"),
        fmt=int(layout[1]),
        per_frame=per_frame,
        skew=int(layout[3] or 0),
        byte_offset=int(layout[4] or 0),
        gain=gain,
        zero=adc_zero or 0 if baseline is None else baseline,
        unit=unit,
        initial=_initial(path, fields, adc_zero),
        checksum=_field(path, fields, 6, "checksum"),
        name=clean_name(fields[8]) if len(fields) > 8 else "",
    )


def _initial(path: Path, fields: list[str], adc_zero: int | None) -> int:
    initial = _field(path, fields, 5, "initial value")
    return (adc_zero or 0) if initial is None else initial


def _gain(path: Path, text: str) -> tuple[float, int | None, str]:
    """Return gain, baseline and unit of a field such as ``200(1024)/mV``."""
    found = _GAIN.fullmatch(text)
    if found is None:
        raise _unreadable(path, f"its gain is {clean_name(text)!r}")
    baseline = None if found[2] is None else _whole(path, found[2], "baseline")
    return _number(found[1]), baseline, found[3] or "mV"


def _field(path: Path, fields: list[str], index: int, what: str) -> int | None:
    return _whole(path, fields[index], what) if len(fields) > index else None


def _segments(path: Path, lines: list[str]) -> tuple[tuple[str, int], ...]:
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) != 2 or max(map(len, fields)) > _TOKEN_MAX:
            raise _unreadable(path, f"a segment is {clean_name(line)!r}")
        frames = _whole(path, fields[1], "number of samples in a segment", _ANY)
        if not 0 <= frames <= MAX_FRAMES:
            raise _unreadable(path, f"a segment has {frames} samples")
        found.append((fields[0] if fields[0] == "~" else file_in_folder(path, fields[0], "segment"), frames))
    return tuple(found)


def file_in_folder(path: Path, name: str, what: str) -> str:
    """Return the name of a file in the folder of the header.

    Raises:
        InputError: The name leads out of the folder, or is none.
    """
    if name in {".", ".."} or any(c in "/\\" or not c.isprintable() for c in name):
        raise InputError(f"{path} names a {what} outside its folder: {clean_name(name)!r}", "do not trust this record")
    return name


def _whole(path: Path, text: str, what: str, most: int = MAX_INTEGER) -> int:
    if re.fullmatch(r"[-+]?\d{1,40}(?:\.0*)?", text) is None or not text.isascii():
        raise _unreadable(path, f"its {what} is {clean_name(text)!r}")
    found = int(text.split(".", 1)[0])
    if abs(found) > most:
        raise _unreadable(path, f"its {what} is {found}")
    return found


def _number(text: str) -> float:
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(f"{path} is not a readable WFDB header: {why}", "download it again")


def _start(fields: list[str]) -> datetime | None:
    """Return date and time; ``None`` if one is missing or no date. The time may lack hours and minutes."""
    if len(fields) < 2:
        return None
    time, date = [_number(t) for t in fields[0].split(":")], [_number(d) for d in fields[1].split("/")]
    if len(date) != 3 or len(time) > 3 or not all(0 <= n < 10_000 for n in (*time, *date)):
        return None
    hour, minute, second = [0.0] * (3 - len(time)) + time
    try:
        return datetime(  # noqa: DTZ001  # the format knows no time zone
            int(date[2]), int(date[1]), int(date[0]), int(hour), int(minute), int(second), int(second % 1 * 1e6)
        )
    except ValueError:
        return None
