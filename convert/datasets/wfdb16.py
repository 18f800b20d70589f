"""Read and write WFDB records with one file in format 16, the part of the format that MC-MED and the simulator use.

The ``wfdb`` library reads much more, but it loads pandas and takes milliseconds for each record. A training run opens
hundreds of thousands of records and mostly needs ten seconds of each. Records in other formats are read by ``wfdb``.
The format is defined in https://physionet.org/physiotools/wag/header-5.htm and signal-5.htm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import InputError, MissingExtraError
from firmware_bridge.reading import open_regular

_HEADER_LIMIT = 65536
"""Largest header that is read, bytes. A header of one signal has about a hundred."""

_INVALID = -32768
"""The sample value that format 16 reserves for "no data"."""

_DEFAULT_GAIN = 200.0
"""Counts per millivolt where the header gives no gain (header-5)."""

_GAIN = re.compile(r"^(?P<gain>[-+0-9.eE]+)?(?:\((?P<baseline>-?\d+)\))?(?:/(?P<units>\S+))?$")


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal line of a header.

    Attributes:
        file: Name of the file with the samples, in the folder of the header.
        lead: Description of the signal, such as ``"II"``.
        gain: Counts per physical unit.
        baseline: Count at zero.
        units: Physical unit.
    """

    file: str
    lead: str
    gain: float
    baseline: int
    units: str


@dataclass(frozen=True, slots=True)
class Header:
    """A WFDB header whose signals are all in one file in format 16.

    Attributes:
        path: Path of the header.
        fs_hz: Frames per second.
        n: Number of frames; 0 where the header does not give it.
        start: Base date and time, read as UTC; ``None`` where absent.
        signals: Signals in the order of the file.
        plain: Whether the samples are plain format 16; otherwise ``wfdb`` reads them.
    """

    path: Path
    fs_hz: float
    n: int
    start: datetime | None
    signals: tuple[Signal, ...]
    plain: bool


def read_header(path: Path) -> Header:
    """Read a ``.hea`` file.

    Raises:
        InputError: The file is missing, too large, or not a header.
    """
    try:
        with open_regular(path) as file:
            raw = file.read(_HEADER_LIMIT + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > _HEADER_LIMIT:
        raise InputError(f"{path} is larger than any WFDB header", "check that it is a WFDB header")
    text = raw.decode("utf-8", errors="replace")
    lines = [line for line in (x.strip() for x in text.splitlines()) if line and not line.startswith("#")]
    if not lines:
        raise InputError(f"{path} holds no WFDB header")
    try:
        return _parse(path, lines)
    except (ValueError, IndexError, OverflowError) as error:
        raise InputError(f"{path} is not a usable WFDB header: {error}") from error


def _parse(path: Path, lines: list[str]) -> Header:
    fields = lines[0].split()
    if "/" in fields[0]:
        raise ValueError("multi-segment records are not supported")
    count = int(fields[1])
    fs_hz = float(fields[2].split("/")[0].split("(")[0]) if len(fields) > 2 else 250.0
    n = int(fields[3]) if len(fields) > 3 else 0
    if not 0.0 < fs_hz < 1e6 or not 1 <= count <= 64 or n < 0:
        raise ValueError(f"{count} signals, {fs_hz} Hz, {n} samples")
    if len(lines) < 1 + count:
        raise ValueError(f"the header announces {count} signals and describes {len(lines) - 1}")
    parts = [line.split(maxsplit=8) for line in lines[1 : 1 + count]]
    signals = tuple(_signal(part) for part in parts)
    plain = all(part[1] == "16" for part in parts) and len({signal.file for signal in signals}) == 1
    return Header(path, fs_hz, n, _start(fields[4:6]), signals, plain)


def _signal(part: list[str]) -> Signal:
    file = part[0]
    if Path(file).name != file or file in {"", ".", ".."}:
        raise ValueError(f"the signal file {file!r} is not a plain name")
    match = _GAIN.match(part[2]) if len(part) > 2 else None
    if len(part) > 2 and match is None:
        raise ValueError(f"invalid gain {part[2]!r}")
    named = match.groupdict() if match else {}
    gain = float(named.get("gain") or 0.0) or _DEFAULT_GAIN
    if not 1e-6 < abs(gain) < 1e12:
        raise ValueError(f"invalid gain {gain}")
    zero = int(part[4]) if len(part) > 4 else 0
    baseline = int(named["baseline"]) if named.get("baseline") else zero
    return Signal(file, part[8] if len(part) > 8 else "", gain, baseline, named.get("units") or "mV")


def _start(fields: list[str]) -> datetime | None:
    """Return the start from base time ``HH:MM:SS[.fff]`` and date ``DD/MM/YYYY``; ``None`` without a date.

    WFDB has no time zone. The tables of the data set are in UTC, so the start is read as UTC too.
    """
    if len(fields) < 2:
        return None
    day, month, year = (int(x) for x in fields[1].split("/"))
    hours, minutes, seconds = fields[0].split(":")
    whole = float(seconds)
    microsecond = round((whole - int(whole)) * 1e6) % 1_000_000
    return datetime(year, month, day, int(hours), int(minutes), int(whole), microsecond, tzinfo=UTC)


def read_samples(header: Header, lead: str, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
    """Read one lead.

    Args:
        header: Header of the record.
        lead: Description of the signal; case is ignored.
        start: Index of the first sample.
        stop: Index after the last sample; ``None`` reads to the end.

    Returns:
        Samples, ``(stop - start,)`` or shorter where the record ends, mV; NaN where the record has no data.

    Raises:
        InputError: The lead does not exist (the message lists the leads), is not in volts, or its file is missing or
            truncated.
        MissingExtraError: The record is not in format 16 and ``wfdb`` is not installed.
    """
    names = [signal.lead for signal in header.signals]
    wanted = [i for i, name in enumerate(names) if name.lower() == lead.lower()]
    if not wanted:
        raise InputError(f"{header.path} has no lead {lead!r}", f"it has: {', '.join(names)}")
    signal = header.signals[wanted[0]]
    scale = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "v": 1e3}.get(signal.units.lower())
    if scale is None:
        raise InputError(f"{header.path}: lead {lead} is in {signal.units!r}, not in volts")
    if not header.plain:
        return _through_wfdb(header, wanted[0], start, stop, scale)
    counts = _counts(header, start, stop)[:, wanted[0]]
    out = (counts.astype(np.float32) - np.float32(signal.baseline)) * np.float32(scale / signal.gain)
    out[counts == _INVALID] = np.nan
    return out


def _counts(header: Header, start: int, stop: int | None) -> NDArray[np.int16]:
    path = header.path.parent / header.signals[0].file
    width = len(header.signals)
    try:
        size = path.stat().st_size // (2 * width)
        n = header.n or size
        if size < n:
            raise InputError(f"{path} is truncated: {size} of {n} samples", "copy the record again")
        first = min(max(start, 0), n)
        last = n if stop is None else min(max(stop, first), n)
        raw = np.fromfile(path, dtype="<i2", count=(last - first) * width, offset=2 * width * first)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return raw.reshape(-1, width)


def _through_wfdb(header: Header, channel: int, start: int, stop: int | None, scale: float) -> NDArray[np.float32]:
    try:
        import wfdb
    except ImportError as error:
        raise MissingExtraError(f"{header.path} (not in format 16)", "replay") from error
    name = str(header.path.with_suffix(""))
    try:
        record = wfdb.rdrecord(name, sampfrom=start, sampto=stop, channels=[channel])
    except Exception as error:
        # wfdb raises many types on damaged files: ValueError, IndexError, TypeError, KeyError ...
        raise InputError(f"wfdb cannot read {name}: {error}") from error
    return np.asarray(record.p_signal[:, 0] * scale, dtype=np.float32)


def write_record(
    folder: Path, name: str, lead: str, signal_mv: NDArray[np.float32], fs_hz: float, gain: float, start: datetime
) -> None:
    """Write one lead as ``name.hea`` and ``name.dat``.

    Args:
        folder: Existing folder.
        name: Name of the record.
        lead: Description of the signal.
        signal_mv: Samples, ``(n,)``, mV. NaN becomes the reserved value; values out of range are clipped.
        fs_hz: Sampling rate, Hz.
        gain: Counts per millivolt.
        start: Base date and time.

    Raises:
        OSError: A file cannot be written.
    """
    write_leads(folder, name, {lead: signal_mv}, fs_hz, gain, start)


def write_leads(
    folder: Path, name: str, leads: Mapping[str, NDArray[np.float32]], fs_hz: float, gain: float, start: datetime
) -> None:
    """Write several leads as one record; see :func:`write_record`.

    Args:
        folder: Existing folder.
        name: Name of the record.
        leads: Samples of each lead by its description, ``(n,)``, mV.
        fs_hz: Sampling rate, Hz.
        gain: Counts per millivolt.
        start: Base date and time.

    Raises:
        OSError: A file cannot be written.
    """
    signals = np.stack([np.asarray(x, dtype=np.float64) for x in leads.values()], axis=1)
    counts = np.clip(np.rint(signals * gain), _INVALID + 1, 32767)
    digital = np.where(np.isnan(counts), _INVALID, counts).astype("<i2")
    stamp = f"{start:%H:%M:%S}.{start.microsecond // 1000:03d} {start:%d/%m/%Y}"
    lines = [f"{name} {len(leads)} {fs_hz:g} {len(digital)} {stamp}"]
    for k, lead in enumerate(leads):
        checksum = ((int(digital[:, k].astype(np.int64).sum()) + 32768) % 65536) - 32768
        first = int(digital[0, k]) if len(digital) else 0
        lines.append(f"{name}.dat 16 {gain:g}(0)/mV 16 0 {first} {checksum} 0 {lead}")
    (folder / f"{name}.dat").write_bytes(digital.tobytes())
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n", encoding="ascii")
