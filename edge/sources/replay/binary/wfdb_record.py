"""WFDB records (PhysioNet), of one or more segments, in every sample format.

The kit reads them itself: the ``wfdb`` library loads pandas and scipy, loses a micro sign, reads a record without a
length or in format 61 not at all, and takes a negative rate for 250 Hz.

Samples are read as counts, frame by frame and without smoothing, so a signal keeps its rate in a record with several
rates. A signal file that is shorter than its header says is read to its end, with a note: a recorder that loses power
leaves such a file, and its samples are still useful.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import (
    MAX_LSB_MV,
    MAX_OFFSET,
    MIN_LSB_MV,
    Chunk,
    ReadOptions,
    Signal,
    UnstatedError,
    check_rate,
    choose_lead,
    is_lead_name,
    unix_ns,
    voltage_scale_mv,
)
from edge.sources.replay.binary.told import tell
from edge.sources.replay.binary.wfdb_header import DEFAULT_FS_HZ, DEFAULT_GAIN, WfdbHeader, WfdbSignal, read_header
from edge.sources.replay.binary.wfdb_signal import SignalFile, open_signal
from edge.sources.replay.labels import clean_name, guess_note, listed
from firmware_bridge.errors import InputError
from firmware_bridge.samples import Unit

MAX_CHECKED = 1 << 25
"""Most samples of which a checksum is computed before the replay begins."""


class WfdbReader:
    """One signal of a WFDB record.

    Args:
        base: The record's path without suffix.
        options: ``lead`` or ``column`` choose; ``lsb_mv`` and ``unit`` override the header's gain, ``fs_hz`` its rate.

    Raises:
        MissingExtraError: The signal is compressed, and the ``replay`` extra is not installed.
        InputError: The record is broken, does not have the lead, or names files outside its folder.
    """

    def __init__(self, base: Path, options: ReadOptions) -> None:
        self._base = base
        self._options = options
        self._notes: list[str] = []
        self._truncated = False
        header = self._header(base.name)
        layout = self._layout(header)
        names = layout.names
        volts = [voltage_scale_mv(s.unit) is not None for s in layout.signals]
        channel = choose_lead(names, options, volts, str(base))
        asked = options.lead is not None or options.column is not None
        self._notes += guess_note(names, channel, asked=asked, known=is_lead_name(names[channel]))
        self._per_frame = layout.signals[channel].per_frame
        fs_hz = self._rate(header)
        self._pieces = self._segments(header, layout, channel) if header.announced else self._whole(header, channel)
        files = [piece for piece in self._pieces if isinstance(piece, SignalFile)]
        if not sum(file.frames for file in files):
            raise InputError(f"{base} holds no sample of {names[channel]}", "download it again, or choose another lead")
        self._scale(files, names[channel])
        self._check_sums(files)
        self.signal = self._signal(header, names, channel, fs_hz, files)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the signal's counts, offset removed; millivolts if the gain changes between segments."""
        lost = 0
        for piece in self._pieces:
            if not isinstance(piece, SignalFile):
                lost += piece * self._per_frame
                continue
            scale = None if self._per_file is None else self._per_file[piece]
            for raw in piece.blocks():
                missing = None if piece.no_sample is None else raw == piece.no_sample
                yield Chunk(
                    self._values(raw, piece, scale),
                    missing if missing is not None and missing.any() else None,
                    lost=lost,
                )
                lost = 0
        if lost:
            yield Chunk(np.zeros(0, np.int32), lost=lost)

    def _signal(
        self, header: WfdbHeader, names: list[str], channel: int, fs_hz: float, files: Sequence[SignalFile]
    ) -> Signal:
        unit: Unit = "counts" if self._per_file is None else "mV"
        scale_from = "header" if files[0].signal.gain else "the default of WFDB"
        more: dict[str, object] = {"formats": "/".join(sorted({str(file.signal.fmt) for file in files}))}
        if header.announced:
            more["segments"] = len(files)
        return Signal(
            lead=names[channel],
            leads=tuple(names),
            fs_hz=fs_hz,
            unit=unit,
            lsb_mv=self._lsb_mv,
            notes=tuple(self._notes),
            start_unix_ns=unix_ns(header.start),
            decided=tell(
                "WFDB",
                names,
                channel,
                self._options,
                (fs_hz, "the default of WFDB" if header.default_fs else "header"),
                (unit, self._lsb_mv, "header, by segment" if self._per_file is not None else scale_from),
                more=more,
            ),
        )

    def _values(
        self, raw: NDArray[np.int64], file: SignalFile, scale: float | None
    ) -> NDArray[np.int32] | NDArray[np.float32]:
        counts = raw - file.signal.zero
        if _sign(file.signal, self._options) < 0:
            counts = -counts
        if scale is not None:
            return (counts * scale).astype(np.float32)
        return np.clip(counts, -_MAX_COUNT, _MAX_COUNT).astype(np.int32)

    def _header(self, name: str) -> WfdbHeader:
        return read_header(self._base.with_name(name + ".hea"))

    def _rate(self, header: WfdbHeader) -> float:
        fs_hz = header.fs_hz * self._per_frame
        if self._options.fs_hz is not None:
            return self._options.fs_hz
        if header.default_fs:
            self._notes.append(f"{header.path.name} gives no sampling rate: {DEFAULT_FS_HZ:g} Hz assumed, as WFDB says")
        return check_rate(fs_hz, str(self._base))

    def _layout(self, header: WfdbHeader) -> WfdbHeader:
        """Return the header that describes the signals: the record's, the layout's or the first segment's."""
        if not header.announced:
            return header
        first = next((name for name, _ in header.segments if name != "~"), None)
        if first is None:
            raise InputError(f"{self._base} has no segment with samples", "name another record")
        return self._segment(first)

    def _segment(self, name: str) -> WfdbHeader:
        segment = self._header(name)
        if segment.announced:
            raise InputError(f"{self._base}: segment {name} consists of segments itself", "name one of its records")
        return segment

    def _whole(self, header: WfdbHeader, channel: int) -> list[SignalFile | int]:
        """Return the signal's file, without what a truncated file lacks at its end."""
        pieces = self._file(header, channel, header.frames)
        return [p for p in pieces[:1] if isinstance(p, SignalFile)] if self._truncated else pieces

    def _segments(self, header: WfdbHeader, layout: WfdbHeader, channel: int) -> list[SignalFile | int]:
        """Return the signal in every segment, or the frames of a gap where a segment lacks it."""
        lead = layout.names[channel]
        which = layout.names[:channel].count(lead)
        pieces: list[SignalFile | int] = []
        for name, frames in header.segments:
            if not frames or name == "~":
                pieces.append(frames)
                continue
            segment = self._segment(name)
            found = [i for i, other in enumerate(segment.names) if other == lead]
            if which >= len(found):
                pieces.append(frames)
                continue
            signal = segment.signals[found[which]]
            if not math.isclose(segment.fs_hz, header.fs_hz, rel_tol=1e-6) or signal.per_frame != self._per_frame:
                raise InputError(
                    f"{self._base}: the rate of {lead} is another one in segment {name}",
                    "use each segment as a recording of its own",
                )
            pieces += self._file(segment, found[which], frames)
        self._check_segments(header, pieces)
        return pieces

    def _check_segments(self, header: WfdbHeader, pieces: list[SignalFile | int]) -> None:
        if len(header.segments) != header.announced:
            self._notes.append(
                f"{header.path.name} announces {header.announced} segments and lists {len(header.segments)}"
            )
        total = sum(frames for _, frames in header.segments)
        if header.frames is not None and header.frames != total:
            self._notes.append(f"{header.path.name} announces {header.frames} frames, and its segments have {total}")
            pieces.append(max(0, header.frames - total))

    def _file(self, header: WfdbHeader, channel: int, frames: int | None) -> list[SignalFile | int]:
        """Return the signal's file, and the frames that are missing after it."""
        zero = header.signals[channel].zero
        if not abs(zero) <= MAX_OFFSET:
            raise InputError(f"{header.path} has an impossible baseline: {zero}", "download it again")
        file = open_signal(header, channel, frames)
        if file is None:
            return [frames or 0]
        if frames is not None and file.stored < frames:
            self._truncated = True
            self._notes.append(
                f"{file.path.name} is truncated: {file.stored} of {frames} frames exist and will be replayed"
            )
        return [file, 0 if frames is None else frames - file.frames]

    def _scale(self, files: Sequence[SignalFile], lead: str) -> None:
        """Set one scale for all files, or one for each if they differ.

        Raises:
            InputError: They differ, and one is unknown.
        """
        self._lsb_mv: float | None = None
        self._per_file: dict[SignalFile, float] | None = None
        found = {file: self._lsb(file.signal) for file in files}
        scales = set(found.values())
        signs = {_sign(file.signal, self._options) for file in files}
        if len(scales) == 1 and len(signs) == 1:
            self._lsb_mv = scales.pop()
            self._note_scale(files[0], lead)
            return
        self._per_file = {file: lsb for file, lsb in found.items() if lsb is not None}
        if len(self._per_file) < len(found):
            raise UnstatedError(
                f"{self._base}: the scale of {lead} is known in some segments only", "set it with lsb_mv=", "scale"
            )
        self._notes.append(f"the gain of {lead} changes between segments; its samples are replayed in mV")

    def _lsb(self, signal: WfdbSignal) -> float | None:
        if self._options.lsb_mv is not None:
            return self._options.lsb_mv
        per_unit = voltage_scale_mv(signal.unit if self._options.unit is None else self._options.unit)
        gain = abs(signal.gain) or DEFAULT_GAIN
        if per_unit is None or not math.isfinite(gain):
            return None
        lsb_mv = per_unit / gain
        return lsb_mv if MIN_LSB_MV <= lsb_mv <= MAX_LSB_MV else None

    def _note_scale(self, file: SignalFile, lead: str) -> None:
        signal = file.signal
        if self._options.lsb_mv is not None or self._options.unit == "counts":
            return
        if self._lsb_mv is None and not 0.0 < abs(signal.gain) < math.inf:
            self._notes.append(
                f"the scale of {lead} is unknown: its gain is {signal.gain:g} per {clean_name(signal.unit)}"
            )
        elif self._lsb_mv is None:
            self._notes.append(
                f"the scale of {lead} is unknown: {signal.gain:g} counts are 1 {clean_name(signal.unit)}; "
                "set it with unit= or lsb_mv="
            )
        elif signal.gain == 0.0:
            self._notes.append(
                f"the header gives no gain of {lead}: {DEFAULT_GAIN:g} per {signal.unit} assumed, as WFDB says; "
                "its amplitude is not calibrated"
            )

    def _check_sums(self, files: Sequence[SignalFile]) -> None:
        """Note the files whose samples are not those that their header was written for."""
        wrong, checked = [], 0
        for file in files:
            checked += file.frames * self._per_frame
            # Headers that were written by hand, or before the samples, have 0.
            if file.signal.checksum and file.complete and checked <= MAX_CHECKED:
                total = sum(int(block.sum()) for block in file.blocks())
                if (total - file.signal.checksum) % 65536:
                    wrong.append(file.path.name)
        if wrong:
            names = listed(sorted(set(wrong)))
            self._notes.append(f"the checksum is wrong in {names}: samples are damaged, or belong to another header")


_MAX_COUNT = 2**31 - 1


def _sign(signal: WfdbSignal, options: ReadOptions) -> int:
    return -1 if signal.gain < 0 and options.lsb_mv is None else 1
