"""EDF, EDF+ and BDF recordings through the ``edfio`` library of the ``replay`` extra.

A discontinuous recording (EDF+D) is replayed with its gaps. The onset of every data record comes from the annotation of
the record, because the library joins the samples without gaps (mne-tools/mne-python#13429 shows the consequences).
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import (
    CHUNK_SAMPLES,
    MAX_OFFSET,
    READER_FAULTS,
    Chunk,
    ReadOptions,
    Signal,
    UnstatedError,
    check_file,
    check_rate,
    choose_lead,
    first_line,
    unix_ns,
    voltage_scale_mv,
)
from firmware_bridge.errors import InputError, MissingExtraError

_FIXED_BYTES = 256
"""Bytes of the fixed header and of the header of each signal. Source: edfplus.info, EDF specification 1992."""

MAX_BDF_BYTES = 1 << 28
"""Largest BDF file, bytes: the library reads the whole file, and a larger one would not fit a small device."""


class _EdfSignal(Protocol):
    """The used part of the library's signal class."""

    label: str
    physical_dimension: str
    physical_min: float
    physical_max: float
    digital_min: int
    digital_max: int
    samples_per_data_record: int
    sampling_frequency: float

    def get_digital_slice(self, start_second: float, stop_second: float) -> NDArray[np.int16]: ...


def _edfio() -> ModuleType:
    try:
        return importlib.import_module("edfio")
    except ImportError:
        raise MissingExtraError("reading EDF recordings", "replay") from None


class EdfReader:
    """One signal of an EDF or BDF recording.

    Args:
        path: The file.
        options: ``lead`` or ``column`` choose; ``lsb_mv`` and ``unit`` override the header's scale.

    Raises:
        MissingExtraError: The ``replay`` extra is not installed.
        InputError: The file is broken or does not have the lead.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        size = check_file(path)
        self._path = path
        bdf = path.suffix.lower() == ".bdf"
        if bdf and size > MAX_BDF_BYTES:
            raise InputError(f"{path} is too large for a BDF file: {size >> 20} MiB", "convert it to EDF")
        library = _edfio()
        notes: list[str] = []
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                edf = library.read_bdf(str(path)) if bdf else library.read_edf(str(path), lazy_load_data=True)
                signals: list[_EdfSignal] = list(edf.signals)
                self._records = int(edf.num_data_records)
                self._record_s = float(edf.data_record_duration)
        except READER_FAULTS as error:
            raise InputError(f"{path} is not a readable EDF file: {first_line(error)}", "use another copy") from None
        start_ns = None
        with contextlib.suppress(*READER_FAULTS):  # an anonymised date
            start_ns = unix_ns(edf.startdatetime)
        if any("records" in str(w.message) or "truncated" in str(w.message) for w in caught):
            notes.append(f"{path.name} is truncated: {self._records} data records exist and will be replayed")
        if not signals or self._records <= 0:
            raise InputError(f"{path} holds no samples", "use another copy")
        names = [s.label.strip() or f"signal {i + 1}" for i, s in enumerate(signals)]
        scales = [voltage_scale_mv(s.physical_dimension) for s in signals]
        index = choose_lead(names, options, [s is not None for s in scales], str(path))
        self._signal = signals[index]
        self._per_record = int(self._signal.samples_per_data_record)
        lsb_mv = self._calibrate(scales[index], options)
        self._onsets = self._read_onsets(bdf=bdf)
        self.signal = Signal(
            lead=names[index],
            leads=tuple(names),
            fs_hz=options.fs_hz or check_rate(float(self._signal.sampling_frequency), str(path)),
            unit="counts",
            lsb_mv=lsb_mv,
            notes=tuple(notes),
            start_unix_ns=start_ns,
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield the signal's counts, offset removed."""
        step = max(1, CHUNK_SAMPLES // self._per_record)
        for first, last, lost in self._runs():
            for record in range(first, last, step):
                values = self._read(record, min(last, record + step))
                yield Chunk(values, lost=lost if record == first else 0)

    def _calibrate(self, scale_mv: float | None, options: ReadOptions) -> float | None:
        """Set the count that means 0 mV, and return the millivolts per count."""
        s = self._signal
        span = float(s.digital_max) - float(s.digital_min)
        gain = (float(s.physical_max) - float(s.physical_min)) / span if span else 0.0
        self._sign = -1 if gain < 0 else 1
        self._zero = round(s.digital_min - s.physical_min / gain) if gain else 0
        if abs(self._zero) > MAX_OFFSET:
            raise UnstatedError(
                f"{self._path} has an impossible scale: {self._zero:g} counts are 0 {s.physical_dimension}",
                "set the scale with lsb_mv=",
                "scale",
            )
        if options.lsb_mv is not None:
            return options.lsb_mv
        if options.unit is not None:
            scale_mv = voltage_scale_mv(options.unit)
        return None if scale_mv is None or not gain else abs(gain) * scale_mv

    def _runs(self) -> Iterator[tuple[int, int, int]]:
        """Yield runs of data records without a gap: first, one past the last, samples lost before the run."""
        if self._onsets is None:
            yield 0, self._records, 0
            return
        fs_hz = self._per_record / self._record_s
        first, lost = 0, 0
        for record in range(1, self._records):
            gap_s = self._onsets[record] - self._onsets[record - 1] - self._record_s
            missing = round(gap_s * fs_hz)
            if missing > 0:
                yield first, record, lost
                first, lost = record, missing
        yield first, self._records, lost

    def _read(self, first: int, last: int) -> NDArray[np.int32]:
        s = self._signal
        try:
            raw = s.get_digital_slice(
                first * self._per_record / s.sampling_frequency, last * self._per_record / s.sampling_frequency
            )
        except READER_FAULTS as error:
            raise InputError(
                f"{self._path} is broken at data record {first}: {first_line(error)}", "use another copy"
            ) from None
        return self._sign * (raw.astype(np.int32) - np.int32(self._zero))

    def _read_onsets(self, *, bdf: bool) -> list[float] | None:
        """Return the onset of every data record, s; ``None`` for a recording without gaps.

        Raises:
            InputError: A record of an EDF+D file has no onset.
        """
        with self._path.open("rb") as file:
            head = file.read(_FIXED_BYTES)
            if not head[192:236].startswith((b"EDF+D", b"BDF+D")):
                return None
            count = int(head[252:256])
            table = file.read(_FIXED_BYTES * count)
            per_record = [int(table[216 * count + 8 * i : 216 * count + 8 * i + 8]) for i in range(count)]
            labels = [table[16 * i : 16 * i + 16] for i in range(count)]
            which = next((i for i, label in enumerate(labels) if b"DF Annotations" in label), None)
            width = 3 if bdf else 2
            onsets = []
            for record in range(self._records):
                offset = _FIXED_BYTES * (count + 1) + width * sum(per_record) * record
                file.seek(offset + width * sum(per_record[: which or 0]))
                onset = file.read(64).split(b"\x14", 1)[0].split(b"\x15", 1)[0]
                try:
                    onsets.append(float(onset) if which is not None else float("nan"))
                except ValueError:
                    onsets.append(float("nan"))
                if not np.isfinite(onsets[-1]) or (record and onsets[-1] < onsets[-2]):
                    raise InputError(
                        f"{self._path} has gaps (EDF+D), and data record {record} has no start time",
                        "export it as EDF+C",
                    )
        return onsets
