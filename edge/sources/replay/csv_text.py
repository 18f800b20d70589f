"""Text recordings: CSV, TSV, or one number per line.

They are read in pieces, so a recording of a day needs no more memory than one of a minute.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import Chunk, ReadOptions, Signal, UnstatedError, check_file, check_rate
from edge.sources.replay.csv_layout import Layout, TimeBase, find_layout, measure_time, parse_number, split_cells
from firmware_bridge.errors import InputError
from firmware_bridge.samples import Unit

PIECE_BYTES = 1 << 16
"""Bytes to read at a time: about 100 s of a patch's signal, parsed in 25 ms on a Pi Zero 2 W."""

MAX_LINE_BYTES = 1 << 16
"""Longest line, bytes; a file with longer lines is not a text recording."""

PROBE_ROWS = 4096
"""Number of rows from which the rate is measured."""

_LAYOUT_LINES = 40


class CsvReader:
    """One column of a text recording.

    Args:
        path: The file.
        options: ``fs_hz`` is required without a time column, and replaces one.

    Raises:
        InputError: The file is not a text recording, lacks the column, or has no known rate.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        check_file(path)
        self._path = path
        self._options = options
        head = []
        for line in self._lines():
            head.append(line)
            if len(head) >= _LAYOUT_LINES:
                break
        _refuse_binary("\n".join(head), path)
        self._layout: Layout = find_layout(head, options, path)
        if options.fs_hz is None and self._layout.time is None:
            raise UnstatedError(
                f"{path} does not contain its sampling rate", "add fs=, such as replay:ecg.csv?fs=250", "rate"
            )
        self._base: TimeBase | None = None
        fs_hz = options.fs_hz
        if fs_hz is None:
            self._base = measure_time(self._probe(), self._layout.time_unit_ns, path)
            fs_hz = self._base.fs_hz
        unit, lsb_mv, self._factor = self._scale()
        self.signal = Signal(
            lead=self._layout.lead,
            leads=self._layout.leads,
            fs_hz=check_rate(fs_hz, str(path)),
            unit=unit,
            lsb_mv=lsb_mv,
            notes=()
            if unit == "mV" or lsb_mv
            else ("the unit of the samples is unknown; set it with unit=mV or lsb_mv=",),
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield the column's samples."""
        last: float | None = None
        for rows in self._rows():
            if self._base is None:
                yield self._chunk(rows[:, 0], None)
                continue
            times = rows[:, 1]
            known = np.isfinite(times)
            values, times = rows[known, 0], times[known]
            if not times.size:
                continue
            steps = np.diff(times, prepend=times[0] if last is None else last)
            last = float(times[-1])
            cuts = np.flatnonzero((steps > self._base.gap_over) | (steps < -self._base.period))
            edges = [0, *(int(i) for i in cuts if i), len(times)]
            for start, stop in itertools.pairwise(edges):
                step = float(steps[start])
                late = step - self._base.usual_step
                lost = round(late / self._base.period) if step > self._base.gap_over else 0
                chunk = self._chunk(values[start:stop], times[start:stop])
                yield Chunk(chunk.values, chunk.missing, chunk.time_ns, lost, restarted=step < -self._base.period)

    def _chunk(self, values: NDArray[np.float64], times: NDArray[np.float64] | None) -> Chunk:
        missing = ~np.isfinite(values) | (np.abs(values) > np.finfo(np.float32).max)
        samples = (np.where(missing, 0.0, values) * self._factor).astype(np.float32)
        clock = None
        if times is not None and self._base is not None and not self._base.stamps_blocks:
            stamps = times * self._base.unit_ns
            if np.abs(stamps).max() > float(1 << 62):
                raise UnstatedError(f"a time in {self._path} is out of range", "set the rate with fs=", "rate")
            clock = np.rint(stamps).astype(np.int64)
        return Chunk(samples, missing if missing.any() else None, clock)

    def _scale(self) -> tuple[Unit, float | None, float]:
        """Return unit, millivolts per count, and the factor from numbers in the file to samples of a block."""
        if self._options.unit in {"mV", "uV"}:
            return "mV", None, 1.0 if self._options.unit == "mV" else 1e-3
        if self._options.unit == "counts" or self._options.lsb_mv is not None:
            return "counts", self._options.lsb_mv, 1.0
        if self._layout.scale_mv is not None:
            return "mV", None, self._layout.scale_mv
        return "counts", None, 1.0

    def _probe(self) -> NDArray[np.float64]:
        times = np.zeros(0)
        for rows in self._rows():
            times = np.concatenate([times, rows[np.isfinite(rows[:, 1]), 1]])
            if times.size >= PROBE_ROWS:
                break
        return times[:PROBE_ROWS]

    def _lines(self) -> Iterator[str]:
        for lines in self._line_pieces():
            yield from lines

    def _line_pieces(self) -> Iterator[list[str]]:
        """Yield complete lines, a piece of the file at a time."""
        try:
            with self._path.open("rb") as file:
                rest = b""
                while piece := file.read(PIECE_BYTES):
                    *whole, rest = (rest + piece).split(b"\n")
                    if len(rest) > MAX_LINE_BYTES:
                        raise InputError(
                            f"{self._path} has a line of over {MAX_LINE_BYTES} bytes, so it is not a text recording",
                            "use CSV, WFDB, EDF, MAT v4 or .aer",
                        )
                    yield [self._text(line) for line in whole]
                if rest:
                    yield [self._text(rest)]
        except OSError as error:
            raise InputError(f"cannot read {self._path}: {error.strerror or error}", "check its permissions") from None

    def _text(self, line: bytes) -> str:
        return line.decode("utf-8", errors="replace").removeprefix("\ufeff").rstrip("\r")

    def _rows(self) -> Iterator[NDArray[np.float64]]:
        """Yield arrays of shape ``(n, 1)`` or ``(n, 2)``: the value and, with a time column, the time."""
        layout = self._layout
        columns = [layout.value] if layout.time is None else [layout.value, layout.time]
        done, blank, to_skip = 0, 0, layout.skip
        for piece in self._line_pieces():
            lines = piece[to_skip:]
            done += len(piece) - len(lines)
            to_skip = max(0, to_skip - len(piece))
            if layout.decimal_comma:
                lines = [line.replace(",", ".") for line in lines]
            rows, blank = self._parse(lines, columns, done, blank)
            done += len(lines)
            if len(rows):
                yield rows

    def _parse(self, lines: list[str], columns: list[int], done: int, blank: int) -> tuple[NDArray[np.float64], int]:
        """Return the rows of these lines and, for a one-column file, the number of blank lines at their end.

        In a file with one column a blank line is an empty cell, unless only blank lines follow.
        """
        fast = _load_fast(lines, self._layout.delimiter, columns)
        if fast is not None:
            return (np.vstack([np.full((blank, len(columns)), np.nan), fast]) if blank else fast), 0
        rows: list[list[float]] = []
        for number, line in enumerate(lines, start=done + 1):
            if line.startswith("#"):
                continue
            if not line.strip():
                blank += self._layout.width == 1
                continue
            rows.extend([[float("nan")]] * blank)
            blank = 0
            rows.append(self._row(line, columns, number))
        return np.array(rows, dtype=np.float64).reshape(-1, len(columns)), blank

    def _row(self, line: str, columns: list[int], number: int) -> list[float]:
        cells = split_cells(line, self._layout.delimiter)
        row = []
        for column in columns:
            cell = cells[column] if column < len(cells) else ""
            value = parse_number(cell)
            if value is None:
                raise InputError(f"{self._path} line {number}: {cell[:40]!r} is not a number", "correct the line")
            row.append(value)
        return row


def _load_fast(lines: list[str], delimiter: str | None, columns: list[int]) -> NDArray[np.float64] | None:
    """Parse with numpy, 20 times as fast as a loop; return ``None`` if a line needs the slow parser."""
    if not lines or not all(lines):
        return None
    try:
        rows: NDArray[np.float64] = np.loadtxt(
            lines, dtype=np.float64, delimiter=delimiter, usecols=columns, comments=None, ndmin=2
        )
    except ValueError:
        return None
    return rows if len(rows) == len(lines) else None


def _refuse_binary(head: str, path: Path) -> None:
    if head.startswith(("\x1f\ufffd", "PK\x03\x04")):
        raise InputError(f"{path} is compressed", "unpack it first")
    odd = sum(1 for c in head[:4096] if (ord(c) < 32 and c not in "\t\r\n\f") or c == "\ufffd")
    if odd * 20 > min(len(head), 4096):
        raise InputError(f"{path} is not a recording that the kit can read", "use CSV, WFDB, EDF, MAT v4 or .aer")
