"""WFDB records (PhysioNet), read in chunks through the ``wfdb`` library of the ``replay`` extra.

Samples are read as counts, frame by frame and without smoothing, so a signal keeps its rate in a record with several
rates. A signal file that is shorter than its header says is read to its end, with a note: a recorder that loses power
leaves such a file, and its samples are still useful.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import (
    CHUNK_SAMPLES,
    MAX_OFFSET,
    READER_FAULTS,
    Chunk,
    ReadOptions,
    Signal,
    check_file,
    check_rate,
    choose_lead,
    first_line,
    unix_ns,
    voltage_scale_mv,
)
from firmware_bridge.errors import InputError, MissingExtraError

_NO_SAMPLE = {"16": -(1 << 15), "61": -(1 << 15), "160": -(1 << 15), "212": -(1 << 11), "80": -(1 << 7),
              "24": -(1 << 23), "32": -(1 << 31), "310": -(1 << 9), "311": -(1 << 9), "508": -(1 << 7),
              "516": -(1 << 15), "524": -(1 << 23)}  # fmt: skip
"""The count that means "no sample", by signal format. Source: WFDB Applications Guide, signal(5)."""

_BITS = {"8": 8, "16": 16, "61": 16, "160": 16, "80": 8, "24": 24, "32": 32, "212": 12, "310": 32 / 3, "311": 32 / 3}
"""Bits per sample in a signal file, by format; compressed formats are not listed."""

MAX_SIGNALS = 256
"""Most signals in a header; one with more does not describe an ECG."""

MAX_HEADER_BYTES = 1 << 20


class _Header(Protocol):
    """The used part of the library's headers; only a multi-segment header has the last two."""

    n_sig: int | None
    n_seg: int | None
    fs: float | None
    base_datetime: datetime | None
    sig_len: int | None
    sig_name: list[str | None] | None
    units: list[str | None] | None
    adc_gain: list[float | None] | None
    baseline: list[int | None] | None
    adc_zero: list[int | None]
    samps_per_frame: list[int | None] | None
    byte_offset: list[int | None]
    fmt: list[str]
    file_name: list[str]
    seg_name: list[str]
    seg_len: list[int]


class _Piece(NamedTuple):
    """A run of frames of a record or one of its segments; ``record`` is None for a gap."""

    record: str | None
    channel: int
    frames: int
    offset: float
    fmt: str
    missing_count: int | None


def _wfdb() -> ModuleType:
    try:
        wfdb = importlib.import_module("wfdb")
    except ImportError:
        raise MissingExtraError("reading WFDB records", "replay") from None
    return wfdb


class WfdbReader:
    """One signal of a WFDB record.

    Args:
        base: The record's path without suffix.
        options: ``lead`` or ``column`` choose; ``lsb_mv`` and ``unit`` override the header's gain.

    Raises:
        MissingExtraError: The ``replay`` extra is not installed.
        InputError: The record is broken, does not have the lead, or names files outside its folder.
    """

    def __init__(self, base: Path, options: ReadOptions) -> None:
        self._base = base
        self._lib = _wfdb()
        self._notes: list[str] = []
        header = self._header(base.name)
        multi = getattr(header, "n_seg", None) is not None and hasattr(header, "seg_name")
        layout = self._layout(header) if multi else header
        names = self._names(layout)
        units = [u or "" for u in (layout.units or [])] or [""] * len(names)
        channel = choose_lead(names, options, [voltage_scale_mv(u) is not None for u in units], str(base))
        self._per_frame = int((layout.samps_per_frame or [1] * len(names))[channel] or 1)
        fs_hz = float(header.fs or 0.0) * self._per_frame
        self._lsb_mv, self._gain = self._scale(layout, channel, units[channel], options)
        self._pieces = self._segments(header, names[channel]) if multi else [self._piece(base.name, header, channel)]
        if not sum(piece.frames for piece in self._pieces):
            raise InputError(f"{base} holds no samples", "download it again")
        self.signal = Signal(
            lead=names[channel],
            leads=tuple(names),
            fs_hz=options.fs_hz or check_rate(fs_hz, str(base)),
            unit="counts",
            lsb_mv=self._lsb_mv,
            notes=tuple(self._notes),
            start_unix_ns=unix_ns(header.base_datetime),
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield the signal's counts, offset removed."""
        lost = 0
        for piece in self._pieces:
            if piece.record is None:
                lost += piece.frames * self._per_frame
                continue
            # Format 8 stores differences, so the level is known only when reading from the beginning.
            step = piece.frames if piece.fmt == "8" else max(1, CHUNK_SAMPLES // self._per_frame)
            for start in range(0, piece.frames, step):
                raw = self._read(piece, start, min(piece.frames, start + step))
                missing = None if piece.missing_count is None else raw == piece.missing_count
                values = np.rint(raw - piece.offset).astype(np.int32)
                if self._gain < 0:
                    values = -values
                yield Chunk(values, missing if missing is not None and missing.any() else None, lost=lost)
                lost = 0
        if lost:
            yield Chunk(np.zeros(0, np.int32), lost=lost)

    def _header(self, name: str) -> _Header:
        path = self._base.with_name(name + ".hea")
        if check_file(path) > MAX_HEADER_BYTES:
            raise InputError(f"{path} is too long for a header", "download it again")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = self._lib.rdheader(str(path.with_suffix("")))
        except READER_FAULTS as error:
            raise InputError(
                f"{path} is not a readable WFDB header: {first_line(error)}", "download it again"
            ) from None
        if not 0 < int(header.n_sig or 0) <= MAX_SIGNALS:
            raise InputError(f"{path} announces {header.n_sig} signals", "download it again")
        return cast("_Header", header)

    def _names(self, header: _Header) -> list[str]:
        names = [n or "" for n in (header.sig_name or [])] or [""] * int(header.n_sig or 0)
        return [name.strip() or f"signal {i + 1}" for i, name in enumerate(names)]

    def _scale(self, header: _Header, channel: int, unit: str, options: ReadOptions) -> tuple[float | None, float]:
        gain = float((header.adc_gain or [0.0] * int(header.n_sig or 0))[channel] or 0.0)
        per_unit = voltage_scale_mv(unit)
        if options.lsb_mv is not None:
            return options.lsb_mv, 1.0
        if options.unit is not None:
            per_unit = voltage_scale_mv(options.unit)
        if per_unit is None or gain == 0.0 or not math.isfinite(gain):
            return None, 1.0
        return per_unit / abs(gain), gain

    def _piece(self, name: str, header: _Header, channel: int) -> _Piece:
        fmt = str(header.fmt[channel])
        if header.adc_gain is None or header.baseline is None:
            raise InputError(f"{name}.hea does not describe its signals", "download it again")
        baseline = header.baseline[channel]
        offset = float((baseline if baseline is not None else header.adc_zero[channel]) or 0)
        if not abs(offset) <= MAX_OFFSET:
            raise InputError(f"{name}.hea has an impossible baseline: {offset:g}", "download it again")
        frames = self._frames(header, channel)
        return _Piece(name, channel, frames, offset, fmt, _NO_SAMPLE.get(fmt))

    def _frames(self, header: _Header, channel: int) -> int:
        """Return the number of frames in the signal file, at most the number in the header."""
        file_name = str(header.file_name[channel])
        if Path(file_name).name != file_name or file_name in {"", ".", "..", "~", "-"}:
            raise InputError(
                f"{self._base}.hea names a signal file outside its folder: {file_name!r}", "do not trust this record"
            )
        path = self._base.with_name(file_name)
        size = check_file(path)
        bits = _BITS.get(str(header.fmt[channel]))
        announced = int(header.sig_len) if header.sig_len else None
        if bits is None:
            if announced is None:
                raise InputError(
                    f"{self._base}.hea does not contain the length of its compressed signal", "download it again"
                )
            return announced
        together = zip(header.file_name, header.samps_per_frame or [1] * len(header.file_name), strict=True)
        per_frame = sum(int(spf or 1) for other, spf in together if other == file_name)
        available = int((size - int(header.byte_offset[channel] or 0)) * 8 / (bits * per_frame))
        if available <= 0:
            raise InputError(f"{path} holds no samples", "download it again")
        if announced is not None and available < announced:
            self._notes.append(
                f"{path.name} is truncated: {available} of {announced} frames exist and will be replayed"
            )
        return available if announced is None else min(available, announced)

    def _layout(self, header: _Header) -> _Header:
        first = next((n for n in header.seg_name if n != "~"), None)
        if first is None:
            raise InputError(f"{self._base} has no segment with samples", "name another record")
        return self._header(self._segment_name(first))

    def _segment_name(self, name: str) -> str:
        if Path(name).name != name:
            raise InputError(
                f"{self._base}.hea names a segment outside its folder: {name!r}", "do not trust this record"
            )
        return name

    def _segments(self, header: _Header, lead: str) -> list[_Piece]:
        pieces: list[_Piece] = []
        for name, frames in zip(header.seg_name, header.seg_len, strict=True):
            if not int(frames):
                continue
            gap = _Piece(None, 0, int(frames), 0.0, "", None)
            if name == "~":
                pieces.append(gap)
                continue
            segment = self._header(self._segment_name(name))
            names = self._names(segment)
            if lead not in names:
                pieces.append(gap)
                continue
            channel = names.index(lead)
            if _gain(segment, channel) != self._gain and self._lsb_mv is not None:
                raise InputError(
                    f"{self._base}: the gain of {lead} changes in segment {name}",
                    "use each segment as a recording of its own",
                )
            piece = self._piece(name, segment, channel)
            pieces.append(piece)
            if piece.frames < int(frames):
                pieces.append(gap._replace(frames=int(frames) - piece.frames))
        return pieces

    def _read(self, piece: _Piece, start: int, stop: int) -> NDArray[np.int64]:
        assert piece.record is not None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                record = self._lib.rdrecord(
                    str(self._base.with_name(piece.record)),
                    sampfrom=start,
                    sampto=stop,
                    channels=[piece.channel],
                    physical=False,
                    smooth_frames=False,
                )
            raw: NDArray[np.int64] = np.asarray(record.e_d_signal[0], dtype=np.int64)
        except READER_FAULTS as error:
            raise InputError(
                f"{self._base} is broken at frame {start}: {first_line(error)}", "download it again"
            ) from None
        if raw.shape != ((stop - start) * self._per_frame,):
            raise InputError(f"{self._base} is truncated at frame {start}", "download it again")
        return raw


def _gain(header: _Header, channel: int) -> float:
    return float((header.adc_gain or [0.0])[channel] or 0.0)
