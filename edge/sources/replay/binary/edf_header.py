"""The header of EDF, EDF+, BDF and BDF+ files.

The formats: https://www.edfplus.info/specs/edf.html, edfplus.html, and https://www.biosemi.com/faq/file_format.htm.
Byte 0 and the word BIOSEMI say which one a file has; its suffix and the reserved field do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from edge.sources.replay.labels import clean_name, decoded
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

FIXED_BYTES = 256
"""Bytes of the fixed header, and of the header of each signal."""

_BDF = b"\xffBIOSEMI"
_EDF = b"0       "
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
"""Bytes of the fields of a signal: label, transducer, dimension, physical minimum and maximum, digital minimum and
maximum, filters, samples in a data record, reserved."""

_ANNOTATIONS = ("edf annotations", "bdf annotations")


@dataclass(frozen=True, slots=True)
class EdfSignal:
    """The header of one signal.

    Attributes:
        label: Its name, safe for a terminal; empty if the file gives none.
        dimension: Unit of the physical values, as in the file.
        physical: Physical minimum and maximum; NaN if the file gives no number.
        digital: Digital minimum and maximum; NaN if the file gives no number.
        samples: Samples in a data record.
        offset: Where its samples begin in a data record, bytes.
    """

    label: str
    dimension: str
    physical: tuple[float, float]
    digital: tuple[float, float]
    samples: int
    offset: int


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """The header of a file.

    Attributes:
        width: Bytes of a sample: 2 (EDF) or 3 (BDF).
        data_start: Where the first data record begins, bytes.
        record_bytes: Bytes of a data record.
        record_s: Length of a data record, s; NaN if the file gives no number.
        records: Number of whole data records that exist and belong to the recording.
        plus: ``"C"`` or ``"D"`` for EDF+ and BDF+, continuous or not; empty for EDF and BDF.
        start: Date and time of the beginning; ``None`` if unknown or hidden.
        signals: The signals without annotations.
        annotations: The first signal of annotations, or ``None``.
        notes: Warnings for the user.
    """

    width: int
    data_start: int
    record_bytes: int
    record_s: float
    records: int
    plus: str
    start: datetime | None
    signals: tuple[EdfSignal, ...]
    annotations: EdfSignal | None
    notes: tuple[str, ...] = field(default=())


def is_edf(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` is EDF or BDF."""
    if head.startswith(_BDF):
        return True
    return head.startswith(_EDF) and _whole(head[184:192]) is not None and _whole(head[252:256]) is not None


def read_header(path: Path, size: int) -> EdfHeader:
    """Read a header.

    Args:
        path: The file.
        size: Its size, bytes.

    Raises:
        InputError: The file is not EDF or BDF, or a field of the header makes it unreadable; the message names it.
    """
    with open_regular(path) as file:
        head = file.read(FIXED_BYTES)
        count = _whole(head[252:256])
        if len(head) < FIXED_BYTES or count is None:
            raise InputError(f"{path} is not a readable EDF file: its header is damaged", "use another copy")
        if count < 1 or FIXED_BYTES * (count + 1) > size:
            raise InputError(
                f"{path} is not a readable EDF file: its header announces {count} signals", "use another copy"
            )
        table = file.read(FIXED_BYTES * count)
    width = 3 if head.startswith(_BDF) else 2
    if width == 2 and (head[0] == _BDF[0] or b"BIOSEMI" in head[:10]):
        raise InputError(f"{path} begins like BDF, and its first bytes are damaged", "use another copy")
    notes = []
    if width == 2 and head[:8].strip(b" \x00") != b"0":
        notes.append(
            f"{path.name} does not say that it is EDF (version {clean_name(decoded(head[:8]))!r}); read as EDF"
        )
    signals = _signals(path, table, count, width)
    data_start = FIXED_BYTES * (count + 1)
    if _whole(head[184:192]) != data_start:
        said = clean_name(decoded(head[184:192]))
        notes.append(f"{path.name} states a header of {said!r} bytes; its {count} signals need {data_start}")
    record_bytes = width * sum(s.samples for s in signals)
    records, more = _records(path.name, _whole(head[236:244]), (size - data_start) // max(1, record_bytes))
    if not record_bytes or records <= 0:
        raise InputError(f"{path} holds no samples", "use another copy")
    named = [s for s in signals if s.label.lower() not in _ANNOTATIONS]
    if not named:
        raise InputError(f"{path} holds annotations and no signal", "name the recording that they belong to")
    reserved = head[192:236].decode("latin-1").upper()
    return EdfHeader(
        width=width,
        data_start=data_start,
        record_bytes=record_bytes,
        record_s=_number(head[244:252]),
        records=records,
        plus=reserved[4] if reserved.startswith(("EDF+C", "EDF+D", "BDF+C", "BDF+D")) else "",
        start=_start(head, plus=reserved.startswith(("EDF+", "BDF+"))),
        signals=tuple(named),
        annotations=next((s for s in signals if s.label.lower() in _ANNOTATIONS and s.samples), None),
        notes=(*notes, *more),
    )


def _signals(path: Path, table: bytes, count: int, width: int) -> list[EdfSignal]:
    columns = []
    start = 0
    for size in _WIDTHS:
        columns.append([table[start + i * size : start + (i + 1) * size] for i in range(count)])
        start += size * count
    labels, _, dimensions, pmin, pmax, dmin, dmax, _, samples, _ = columns
    found, offset = [], 0
    for i in range(count):
        number = _whole(samples[i])
        label = clean_name(decoded(labels[i]))
        if number is None or number < 0:
            said = clean_name(decoded(samples[i]))
            raise InputError(
                f"{path}: signal {i + 1} ({label or 'without a name'}) has {said!r} samples in a data record",
                "use another copy",
            )
        ranges = [_number(raw[i]) for raw in (pmin, pmax, dmin, dmax)]
        dimension = decoded(dimensions[i])
        found.append(EdfSignal(label, dimension, (ranges[0], ranges[1]), (ranges[2], ranges[3]), number, offset))
        offset += width * number
    return found


def _records(name: str, announced: int | None, available: int) -> tuple[int, tuple[str, ...]]:
    """Return the number of data records to replay, and the note about it."""
    if announced is None or announced <= 0:
        if available:
            said = "does not state its number of data records" if announced != -1 else "was never closed"
            return available, (f"{name} {said}, or is truncated: the {available} that exist will be replayed",)
        return 0, ()
    if available < announced:
        return available, (f"{name} is truncated: {available} of {announced} data records exist and will be replayed",)
    if available > announced:
        return announced, (
            f"{name} states {announced} data records; the {available - announced} after them are not read",
        )
    return announced, ()


def _text(raw: bytes) -> str:
    return raw.decode("latin-1").strip(" \x00\t\r\n")


def _whole(raw: bytes) -> int | None:
    """Return the whole number of a field; ``None`` if it holds none."""
    number = _number(raw)
    return int(number) if math.isfinite(number) and number == int(number) else None


def _number(raw: bytes) -> float:
    """Return the number of a field, also with a decimal comma; NaN if it holds none."""
    text = _text(raw)
    if not text.isascii() or "_" in text:
        return math.nan
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return math.nan


def _start(head: bytes, *, plus: bool) -> datetime | None:
    """Return the date and time of the beginning; ``None`` if there is none, or EDF+ hides the date."""
    if plus and _text(head[88:168]).startswith("Startdate X"):
        return None
    parts = [head[168:176][at : at + 2] for at in (0, 3, 6)] + [head[176:184][at : at + 2] for at in (0, 3, 6)]
    day, month, year, hour, minute, second = (_whole(part) for part in parts)
    if day is None or month is None or year is None or hour is None or minute is None or second is None:
        return None
    year += 1900 if year >= _CLIP_YEAR else 2000
    try:
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  # the format knows no time zone
    except ValueError:
        return None


_CLIP_YEAR = 85
"""Two-digit years from here on belong to 1985 to 1999 (EDF+, clause 2.1.3.1)."""
