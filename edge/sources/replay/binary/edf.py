"""EDF, EDF+, BDF and BDF+ recordings.

The kit reads them itself: a library that joins the samples of a discontinuous recording without its gaps, or that
trusts every field of the header, gives a wrong signal without a word (mne-tools/mne-python#13429).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import (
    CHUNK_SAMPLES,
    MAX_LSB_MV,
    MAX_OFFSET,
    MIN_LSB_MV,
    Chunk,
    ReadOptions,
    Signal,
    UnstatedError,
    check_file,
    check_rate,
    choose_lead,
    is_lead_name,
    unix_ns,
    voltage_scale_mv,
)
from edge.sources.replay.binary.edf_header import EdfHeader, EdfSignal, read_header
from edge.sources.replay.binary.edf_times import Run, read_onsets, runs_of
from edge.sources.replay.binary.told import tell
from edge.sources.replay.labels import guess_note
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

SLOWEST_HZ = 20.0
"""Lowest rate of a voltage that is taken for an ECG, Hz; slower ones are respiration or skin conductance."""
_READ_BYTES = 1 << 18
"""Bytes of data records that are read at a time."""


class EdfReader:
    """One signal of an EDF or BDF recording.

    Args:
        path: The file.
        options: ``lead`` or ``column`` choose; ``lsb_mv`` and ``unit`` override the header's scale, ``fs_hz`` its rate.

    Raises:
        InputError: The file is broken or does not have the lead.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._header = header = read_header(path, check_file(path))
        names = [s.label or f"signal {i + 1}" for i, s in enumerate(header.signals)]
        volts = [
            voltage_scale_mv(s.dimension) is not None and s.samples >= SLOWEST_HZ * header.record_s
            for s in header.signals
        ]
        index = choose_lead(names, options, volts, str(path))
        self._signal = header.signals[index]
        if not self._signal.samples:
            raise InputError(f"{path} holds no sample of {names[index]}", "choose another lead")
        fs_hz = self._rate(header, options)
        lsb_mv, notes = self._calibrate(options)
        onsets = read_onsets(path, header)
        self._runs, more = runs_of(header, onsets, self._signal.samples / header.record_s)
        asked = options.lead is not None or options.column is not None
        form = f"{'EDF' if header.width == 2 else 'BDF'}{'+' + header.plus if header.plus else ''}"
        clock = "none" if onsets is None else "start times of the data records"
        start_ns = unix_ns(header.start)
        if start_ns is not None and onsets is not None and 0.0 <= onsets[0] < 1.0:
            start_ns += round(float(onsets[0]) * 1e9)
        self.signal = Signal(
            lead=names[index],
            leads=tuple(names),
            fs_hz=fs_hz,
            unit="counts",
            lsb_mv=lsb_mv,
            notes=(
                *header.notes,
                *guess_note(names, index, asked=asked, known=is_lead_name(names[index])),
                *notes,
                *more,
            ),
            start_unix_ns=start_ns,
            decided=tell(form, names, index, options, (fs_hz, "header"), ("counts", lsb_mv, "header"), clock=clock),
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield the signal's counts, offset removed."""
        with open_regular(self._path) as file:
            for run in self._runs:
                lost, restarted = run.lost, run.restarted
                for raw in self._pieces(file, run):
                    yield Chunk(self._counts(raw), lost=lost, restarted=restarted)
                    lost, restarted = 0, False

    def _rate(self, header: EdfHeader, options: ReadOptions) -> float:
        """Return the rate, Hz.

        Raises:
            InputError: The length of a data record is no time.
        """
        if not 0.0 < header.record_s < math.inf:
            said = "no number" if math.isnan(header.record_s) else f"{header.record_s:g} s"
            raise InputError(
                f"{self._path} states data records of {said}, so its sampling rate is unknown",
                "export it again with a length of the data records",
            )
        return options.fs_hz or check_rate(self._signal.samples / header.record_s, str(self._path))

    def _calibrate(self, options: ReadOptions) -> tuple[float | None, tuple[str, ...]]:
        """Set the count that means 0 mV, and return the millivolts per count with a note if the header's are no use."""
        signal, width = self._signal, self._header.width
        gain, fault = _gain(signal, width)
        self._sign = -1 if gain < 0 else 1
        zero = signal.digital[0] - signal.physical[0] / gain if gain else 0.0
        if not abs(zero) <= MAX_OFFSET:
            raise UnstatedError(
                f"{self._path} has an impossible scale: {zero:g} counts are 0 {signal.dimension}",
                "set the scale with lsb_mv=",
                "scale",
            )
        self._zero = round(zero)
        if options.lsb_mv is not None:
            return options.lsb_mv, ()
        scale_mv = voltage_scale_mv(signal.dimension if options.unit is None else options.unit)
        if fault:
            return None, (f"the scale of {signal.label} is unknown: {fault}",)
        if scale_mv is None:
            said = f"its unit is {signal.dimension!r}" if signal.dimension else "it states no unit"
            return None, (f"the scale of {signal.label} is unknown: {said}; set it with unit= or lsb_mv=",)
        lsb_mv = abs(gain) * scale_mv
        if not MIN_LSB_MV <= lsb_mv <= MAX_LSB_MV:
            return None, (f"the scale of {signal.label} is unknown: one count is {lsb_mv:g} mV",)
        return lsb_mv, ()

    def _pieces(self, file: BinaryIO, run: Run) -> Iterator[bytes]:
        """Yield the bytes of the signal, in order."""
        header, signal = self._header, self._signal
        size = signal.samples * header.width
        if header.record_bytes <= _READ_BYTES:
            step = max(1, min(_READ_BYTES // header.record_bytes, CHUNK_SAMPLES // signal.samples))
            for record in range(run.first, run.stop, step):
                count = min(step, run.stop - record)
                block = self._bytes(file, record, 0, count * header.record_bytes)
                rows = np.frombuffer(block, np.uint8).reshape(count, header.record_bytes)
                yield rows[:, signal.offset : signal.offset + size].tobytes()
            return
        for record in range(run.first, run.stop):
            for start in range(0, size, CHUNK_SAMPLES * header.width):
                yield self._bytes(file, record, signal.offset + start, min(CHUNK_SAMPLES * header.width, size - start))

    def _bytes(self, file: BinaryIO, record: int, offset: int, size: int) -> bytes:
        header = self._header
        file.seek(header.data_start + record * header.record_bytes + offset)
        found = file.read(size)
        if len(found) != size:
            raise InputError(f"{self._path} became shorter while it was read", "copy it again")
        return found

    def _counts(self, raw: bytes) -> NDArray[np.int32]:
        if self._header.width == 2:
            counts = np.frombuffer(raw, "<i2").astype(np.int32)
        else:
            wide = np.zeros((len(raw) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
            counts = (wide.view("<i4").ravel() >> 8).astype(np.int32)
        return self._sign * (counts - np.int32(self._zero))


def _gain(signal: EdfSignal, width: int) -> tuple[float, str]:
    """Return the physical units per count, 0 if unknown, and what is wrong with the header's ranges."""
    low, high = signal.digital
    limit = 1 << (8 * width - 1)
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, "its digital range is no range of numbers"
    if not all(math.isfinite(value) for value in signal.physical):
        return 0.0, "its physical range is no range of numbers"
    if low == high or signal.physical[0] == signal.physical[1]:
        return 0.0, "its minimum and maximum are equal"
    if max(abs(low), abs(high)) > limit:
        return 0.0, f"its digital range {low:g} to {high:g} does not fit {8 * width} bits"
    return (signal.physical[1] - signal.physical[0]) / (high - low), ""
