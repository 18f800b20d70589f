"""MATLAB version 4 files without a header file, as in the CinC 2017 challenge: one array of counts.

The format: five 32-bit integers (type, rows, columns, imaginary flag, length of the name), the name, the values by
column. Source: MathWorks, "MAT-File Level 4 Format", and the recordings themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge.sources.replay.base import (
    CHUNK_SAMPLES,
    Chunk,
    ReadOptions,
    Signal,
    UnstatedError,
    check_file,
    check_rate,
    choose_lead,
)
from firmware_bridge.errors import InputError

HEADER_BYTES = 20
_TYPES = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
MAX_ROWS = 64
"""Most leads in a file. An array with more rows has its leads in the columns instead."""


def is_mat4(head: bytes, size: int) -> bool:
    """Return whether a file that begins with ``head`` is a MATLAB 4 array."""
    if len(head) < HEADER_BYTES:
        return False
    kind, rows, columns, imaginary, name_bytes = struct.unpack("<5i", head[:HEADER_BYTES])
    return (
        0 <= kind <= 50
        and kind % 10 == 0
        and kind // 10 in _TYPES
        and rows > 0
        and columns > 0
        and imaginary == 0
        and 1 <= name_bytes <= 64
        and HEADER_BYTES + name_bytes <= size
    )


class MatReader:
    """One row of the array in a MATLAB 4 file.

    Args:
        path: The file.
        options: ``fs_hz`` is required, because the file does not contain it. Samples are counts unless ``lsb_mv`` or
            ``unit`` is set.

    Raises:
        InputError: The file is not a MATLAB 4 file, is truncated, or the rate is missing.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        size = check_file(path)
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        if head.startswith(b"MATLAB 5.0") or head[:4] == b"\x89HDF":
            raise InputError(f"{path} is a newer MATLAB file than version 4", "save it with -v4, or as CSV")
        if not is_mat4(head, size):
            raise InputError(f"{path} is not a MATLAB 4 file", "save it with -v4, or as CSV")
        if options.fs_hz is None:
            raise UnstatedError(
                f"{path} does not contain its sampling rate", "add fs=, such as replay:A00001.mat?fs=300", "rate"
            )
        kind, rows, columns, _, name_bytes = struct.unpack("<5i", head)
        self._path = path
        self._dtype = np.dtype("<" + _TYPES[kind // 10])
        self._by_column = rows <= MAX_ROWS
        n_leads, self._n = (rows, columns) if self._by_column else (columns, rows)
        self._n_leads = n_leads
        self._offset = HEADER_BYTES + name_bytes
        expected = self._offset + rows * columns * self._dtype.itemsize
        if expected > size:
            raise InputError(f"{path} is truncated: {size} bytes instead of {expected}", "download it again")
        if n_leads > MAX_ROWS:
            raise InputError(
                f"{path} holds an array of {rows} x {columns}, which is not a recording", "save one array of samples"
            )
        names = tuple(str(i + 1) for i in range(n_leads))
        self._row = choose_lead(names, options, [False] * n_leads, str(path))
        self._scale = {"mV": 1.0, "uV": 1e-3}.get(options.unit or "")
        self.signal = Signal(
            lead=names[self._row],
            leads=names,
            fs_hz=check_rate(options.fs_hz, str(path)),
            unit="counts" if self._scale is None else "mV",
            lsb_mv=options.lsb_mv if self._scale is None else None,
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield the row's samples."""
        step = CHUNK_SAMPLES
        array = np.memmap(self._path, self._dtype, "r", self._offset, (self._n * self._n_leads,))
        grid = array.reshape(-1, self._n_leads) if self._by_column else array.reshape(self._n_leads, -1).T
        for start in range(0, self._n, step):
            raw = np.array(grid[start : start + step, self._row])
            if raw.dtype.kind != "f" and self._scale is None:
                yield Chunk(raw.astype(np.int32))
                continue
            values = raw.astype(np.float64) * (1.0 if self._scale is None else self._scale)
            missing = ~np.isfinite(values)
            yield Chunk(np.where(missing, 0.0, values).astype(np.float32), missing if missing.any() else None)
