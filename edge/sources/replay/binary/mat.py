"""MATLAB files without a header file beside them: one array of numbers of any name.

Version 4 holds the recordings of the CinC 2017 challenge; versions 5 to 7 are what MATLAB, Octave and SciPy write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge.sources.replay.base import (
    Chunk,
    ReadOptions,
    Signal,
    UnstatedError,
    check_file,
    check_rate,
    choose_lead,
    is_lead_name,
)
from edge.sources.replay.binary.mat5 import MatContent, is_mat4, read_mat4, read_mat5
from edge.sources.replay.binary.mat_array import MatArray
from edge.sources.replay.binary.told import tell
from edge.sources.replay.labels import guess_note, listed
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular
from firmware_bridge.samples import Unit

_MAT5 = b"MATLAB 5.0"
_HDF5 = b"\x89HDF"
_RATES = frozenset({
    "fs", "fsamp", "fsample", "sf", "sfreq", "sr", "srate", "samplerate", "samplingrate", "samplefreq", "samplingfreq",
    "samplefrequency", "samplingfrequency", "fshz", "freq", "frequency",
})  # fmt: skip
"""Names of a single number that is the sampling rate, Hz, without punctuation."""

_CLOCKS = frozenset({"t", "tm", "ts", "time", "times", "timestamp", "timestamps", "sec", "seconds", "ms", "x_time"})
_NO_NAME = "val"
"""What the converters of PhysioNet call every array."""

_MAX_VALUE = 3e38
"""Largest sample, which float32 still holds."""


def is_mat(head: bytes, size: int) -> bool:
    """Return whether a file that begins with ``head`` is a MATLAB file."""
    return head.startswith((b"MATLAB ", _HDF5)) or is_mat4(head, size)


class MatReader:
    """One lead of an array in a MATLAB file.

    Args:
        path: The file.
        options: ``lead`` or ``column`` choose; ``fs_hz`` is required unless the file holds it as a number of that name.
            Samples are counts unless ``lsb_mv`` or ``unit`` is set.

    Raises:
        InputError: The file is damaged or of another format, holds no array, several arrays, or no rate.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        content = _content(path)
        notes: list[str] = []
        self._path = path
        self._array, self._lead, (names, index) = _choose(path, content, options, notes)
        self._scale = {"mV": 1.0, "uV": 1e-3}.get(options.unit or "")
        unit: Unit = "counts" if self._scale is None else "mV"
        lsb_mv = options.lsb_mv if self._scale is None else None
        fs_hz, rate_from = _rate(path, content, options)
        self.signal = Signal(
            lead=names[index],
            leads=names,
            fs_hz=fs_hz,
            unit=unit,
            lsb_mv=lsb_mv,
            notes=tuple(notes),
            decided=tell("MATLAB", names, index, options, (fs_hz, rate_from), (unit, lsb_mv, "")),
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield the lead's samples."""
        for raw in self._array.blocks(self._path, self._lead):
            if raw.dtype.kind in "iu" and raw.dtype.str[1:] not in {"u4", "u8", "i8"} and self._scale is None:
                yield Chunk(raw.astype(np.int32))
                continue
            values = raw.astype(np.float64) * (1.0 if self._scale is None else self._scale)
            missing = ~(np.abs(values) <= _MAX_VALUE)
            yield Chunk(np.where(missing, 0.0, values).astype(np.float32), missing if missing.any() else None)


def _content(path: Path) -> MatContent:
    size = check_file(path)
    with open_regular(path) as file:
        head = file.read(1024)
    if head.startswith((b"MATLAB 7.3", _HDF5)) or head[512:516] == _HDF5:
        raise InputError(f"{path} is a MATLAB file of version 7.3 (HDF5)", "save it with -v7, or as CSV")
    if head.startswith(_MAT5) or (head[126:128] in {b"IM", b"MI"} and head[124:126] in {b"\0\1", b"\1\0"}):
        return read_mat5(path, size)
    content = read_mat4(path, size)
    if content == MatContent() and not is_mat4(head, size):
        raise InputError(f"{path} is not a MATLAB file of version 4 to 7", "save it with -v7, or as CSV")
    return content


def _choose(
    path: Path, content: MatContent, options: ReadOptions, notes: list[str]
) -> tuple[MatArray, int, tuple[tuple[str, ...], int]]:
    """Return the array, the lead in it, and the names of all leads with the index of the one."""
    arrays = [a for a in content.arrays if a.name.lower() not in _CLOCKS] or content.arrays
    if not arrays:
        what = f"; it holds {listed(content.other)}" if content.other else ""
        raise InputError(f"{path} holds no array of samples{what}", "save one array of samples")
    wanted = options.lead if options.lead is not None else options.column
    named = [a for a in arrays if wanted is not None and a.name.casefold() == wanted.strip().casefold()]
    asked = wanted is not None and not named
    if named:
        arrays = named[:1]
    elif wanted is None and len(arrays) > 1:
        arrays = _guess(path, arrays, notes)
    places = [(a, i) for a in arrays for i in range(a.leads)]
    names = [_lead_name(a, i, alone=len(arrays) == 1) for a, i in places]
    chosen = ReadOptions(lead=options.lead, column=options.column) if asked else ReadOptions()
    alive = [asked or _varies(path, a, i) for a, i in places] if len(places) > 1 else [True]
    index = choose_lead(names, chosen, alive, str(path))
    if len(arrays) == 1 and arrays[0].leads > 1:
        notes += guess_note(names, index, asked=asked, known=is_lead_name(names[index]))
    return *places[index], (tuple(names), index)


def _varies(path: Path, array: MatArray, lead: int) -> bool:
    """Return whether a row or column can be a signal: it is no clock, no counter and no constant."""
    first = next(array.blocks(path, lead), np.zeros(0)).astype(np.float64)
    steps = np.diff(first[np.isfinite(first)])
    return bool(np.any(steps > 0) and np.any(steps < 0))


def _lead_name(array: MatArray, lead: int, *, alone: bool) -> str:
    if alone and array.name == _NO_NAME:
        return str(lead + 1)
    return array.name if array.leads == 1 else f"{array.name} {lead + 1}"


def _guess(path: Path, arrays: list[MatArray], notes: list[str]) -> list[MatArray]:
    """Return the only array with the name of an ECG.

    Raises:
        UnstatedError: Several arrays could be the recording.
    """
    shapes = [f"{a.name} ({a.leads} x {a.samples})" for a in arrays]
    ecg = [a for a in arrays if is_lead_name(a.name)]
    if len(ecg) != 1:
        raise UnstatedError(
            f"{path} holds several arrays: {listed(shapes)}", f"choose one, such as lead={arrays[0].name}", "lead"
        )
    notes.append(f"{ecg[0].name} was taken of {listed(shapes)}; choose another one with lead=")
    return ecg


def _rate(path: Path, content: MatContent, options: ReadOptions) -> tuple[float, str]:
    """Return the sampling rate, Hz, and the name of the number that states it."""
    if options.fs_hz is not None:
        return check_rate(options.fs_hz, str(path)), ""
    found = {
        name: value for name, value in content.scalars.items()
        if re.sub(r"[^a-z]", "", name.rsplit(".", 1)[-1].lower()) in _RATES
    }  # fmt: skip
    if len(set(found.values())) != 1:
        raise UnstatedError(
            f"{path} does not contain its sampling rate", "add fs=, such as replay:A00001.mat?fs=300", "rate"
        )
    name, fs_hz = next(iter(found.items()))
    return check_rate(fs_hz, str(path)), f"{name} in the file"
