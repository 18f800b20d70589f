"""Detection of the layout of a text recording: separator, header, time column, unit."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.base import MAX_FS_HZ, MIN_FS_HZ, ReadOptions, UnstatedError, choose_lead, voltage_scale_mv
from firmware_bridge.errors import InputError

MISSING_CELLS = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "."})
"""Cells that mean "no sample" (in lower case)."""

_TIME = re.compile(
    r"^(time|t|timestamp|elapsed|zeit|seconds|millis|microseconds|device_time|uptime)(?![a-z])|_time(_|$)"
)
_INDEX = re.compile(r"^(index|idx|sample|sample_?(no|number|index|nr|#)?|samples|n|nr|no|row|#|unnamed: 0)$")
_TIME_UNITS_NS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "sec": 1e9, "secs": 1e9,
                  "second": 1e9, "seconds": 1e9, "millis": 1e6, "milliseconds": 1e6, "microseconds": 1e3,
                  "nanoseconds": 1.0}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a text recording.

    Attributes:
        delimiter: Separator; ``None`` for any run of blanks.
        skip: Lines before the first row of numbers.
        width: Columns in the first row of numbers.
        leads: Names of the columns that can hold an ECG.
        value: Index of the chosen column.
        lead: Name of the chosen column.
        time: Index of the time column, if there is one.
        time_unit_ns: Nanoseconds per unit of the time column; ``None`` if the header does not say.
        scale_mv: Millivolts per unit of the chosen column; ``None`` if the header does not say.
        decimal_comma: Whether numbers are written ``0,5``.
    """

    delimiter: str | None
    skip: int
    width: int
    leads: tuple[str, ...]
    value: int
    lead: str
    time: int | None
    time_unit_ns: float | None
    scale_mv: float | None
    decimal_comma: bool


def parse_number(cell: str) -> float | None:
    """Return the number in a cell, NaN for a cell that means "no sample", or ``None`` for text."""
    text = cell.strip().strip("'\"").strip()
    if text.lower() in MISSING_CELLS:
        return float("nan")
    return float(text) if _NUMBER.fullmatch(text) else None


def split_cells(line: str, delimiter: str | None) -> list[str]:
    """Return the cells of a line, without quotes."""
    return [cell.strip().strip("'\"").strip() for cell in line.split(delimiter)]


def find_layout(lines: Sequence[str], options: ReadOptions, path: Path) -> Layout:
    """Return the layout of a recording from its first lines.

    Args:
        lines: The first complete lines, without line ends.
        options: ``lead``, ``column`` and ``fs_hz`` matter here. With ``fs_hz`` the time column is not used.
        path: For messages.

    Raises:
        InputError: The file holds no numbers, or the column does not exist.
    """
    delimiter, decimal_comma = _separator([line for line in lines if line.strip() and not line.startswith("#")])
    headers: list[list[str]] = []
    for skip, line in enumerate(lines):
        if line.startswith("#") or not line.strip():
            continue
        cells = split_cells(line.replace(",", ".") if decimal_comma else line, delimiter)
        numbers = [parse_number(cell) for cell in cells]
        text = any(n is None for n in numbers)
        number = any(n is not None and math.isfinite(n) for n in numbers)
        if not text or (number and headers):
            return _columns(headers, len(cells), options, path, (delimiter, decimal_comma, skip), lines)
        if len(headers) == _MAX_HEADER_LINES:
            break
        headers.append(split_cells(line, delimiter))
    raise InputError(f"{path} holds no rows of numbers", "a text recording has one sample per line")


_MAX_HEADER_LINES = 2
"""Most header lines: names and, as PhysioNet's ``rdsamp -v`` writes, units below them."""


def _separator(lines: Sequence[str]) -> tuple[str | None, bool]:
    sample = lines[-1] if lines else ""
    for delimiter in ("\t", ";"):
        if delimiter in sample:
            cells = sample.split(delimiter)
            return delimiter, any("," in cell for cell in cells) and not any("." in cell for cell in cells)
    return ("," if "," in sample else None), False


def _columns(
    headers: list[list[str]],
    width: int,
    options: ReadOptions,
    path: Path,
    text: tuple[str | None, bool, int],
    lines: Sequence[str],
) -> Layout:
    delimiter, decimal_comma, skip = text
    if width == 1:
        headers = [[" ".join(cells)] for cells in headers]  # the name of a single column may contain blanks
    names = headers[0] if headers and len(headers[0]) == width else []
    units = headers[1] if len(headers) > 1 and len(headers[1]) == width else [""] * width
    if names:
        time = next((i for i, name in enumerate(names) if _TIME.search(name.lower())), None)
        others = [i for i, name in enumerate(names) if i != time and not _INDEX.match(name.lower().replace(" ", "_"))]
    else:
        names = [f"column {i + 1}" for i in range(width)]
        rows = [split_cells(s.replace(",", ".") if decimal_comma else s, delimiter) for s in lines[skip:]]
        time = 0 if width > 1 and options.fs_hz is None and _rises([row[0] for row in rows]) else None
        others = [i for i in range(width) if i != time]
    if not others:
        raise InputError(f"{path} has only a time column: {', '.join(names)}", "add a column with samples")
    scales = [_header_scale(names[i], units[i]) for i in others]
    if options.column is not None and options.lead is None and options.column.isdigit():
        number = int(options.column) - 1
        if number not in others:
            raise UnstatedError(f"no column {options.column} with samples in {path}", _listed(names, others), "lead")
        chosen = others.index(number)
    else:
        chosen = choose_lead([names[i] for i in others], options, [s is not None for s in scales], str(path))
    use_time = None if options.fs_hz is not None else time
    return Layout(
        delimiter=delimiter,
        skip=skip,
        width=width,
        leads=tuple(names[i] for i in others),
        value=others[chosen],
        lead=names[others[chosen]] if headers else "ecg",
        time=use_time,
        time_unit_ns=None if use_time is None else _time_unit(names[use_time], units[use_time]),
        scale_mv=scales[chosen],
        decimal_comma=decimal_comma,
    )


def _listed(names: Sequence[str], others: Sequence[int]) -> str:
    return "it has: " + ", ".join(f"{i + 1} ({names[i]})" for i in others)


def _rises(cells: Sequence[str]) -> bool:
    numbers = [n for n in map(parse_number, cells) if n is not None]
    return len(numbers) > 2 and all(b > a for a, b in itertools.pairwise(numbers))


def _tokens(name: str) -> list[str]:
    return [token for token in re.split(r"[\s_()\[\]/.\-]+", name.lower()) if token]


def _time_unit(name: str, unit: str) -> float | None:
    words = (*_tokens(unit), *_tokens(name)[::-1])
    return next((_TIME_UNITS_NS[word] for word in words if word in _TIME_UNITS_NS), None)


def _header_scale(name: str, unit: str) -> float | None:
    if unit:
        return voltage_scale_mv(unit)
    tokens = _tokens(name)
    bracketed = re.search(r"[(\[]\s*(\w+)\s*[)\]]", name)
    if bracketed:
        return voltage_scale_mv(bracketed[1])
    # A bare "v" is the name of a chest lead, not a unit.
    return voltage_scale_mv(tokens[-1]) if len(tokens) > 1 and tokens[-1] != "v" else None


@dataclass(frozen=True, slots=True)
class TimeBase:
    """Sampling times as the time column gives them.

    Attributes:
        unit_ns: Nanoseconds per unit.
        period: Mean time between samples, in units of the column.
        gap_over: Longest step that is not a gap, in units of the column.
        usual_step: Usual step without a gap, in units of the column; it gives the number of samples in a gap.
        stamps_blocks: Whether many samples share one timestamp, so that the time of a single sample is unknown.
    """

    unit_ns: float
    period: float
    gap_over: float
    usual_step: float
    stamps_blocks: bool

    @property
    def fs_hz(self) -> float:
        """Measured sampling rate, Hz."""
        return 1e9 / (self.unit_ns * self.period)


def measure_time(times: NDArray[np.float64], unit_ns: float | None, path: Path) -> TimeBase:
    """Measure rate and regularity from the first times of a recording.

    The period is the mean of all steps but the gaps, so that a column rounded to milliseconds also gives the true rate.
    Without a unit in the header, the step decides: the ranges of the units for 20 Hz to 20 kHz do not overlap.

    Args:
        times: Shape ``(n,)``, in units of the column.
        unit_ns: Nanoseconds per unit, if the header says it.
        path: For messages.

    Raises:
        InputError: The column does not give a rate.
    """
    steps = np.diff(times)
    rising = steps[steps > 0]
    if rising.size == 0:
        raise UnstatedError(f"the time column of {path} does not advance", "set the rate with fs=", "rate")
    blocks = rising.size < _BLOCK_STAMP_SHARE * steps.size
    median = float(np.median(rising))
    if blocks:
        plain = steps[(steps >= 0) & (steps <= 1.5 * median)]
        period = float(plain.sum() / plain.size)
        gap_over, usual = 1.5 * median, median
    else:
        period = float(np.mean(rising[(rising >= 0.5 * median) & (rising <= 1.5 * median)]))
        late = float(np.quantile(rising, 0.95))
        gap_over, usual = 1.5 * max(period, late if late > 1.5 * period else period), period
    if unit_ns is None:
        whole = bool(np.all(times == np.rint(times))) and period == 1.0
        unit_ns = next((u for u in (1e9, 1e6, 1e3, 1.0) if 1 / MAX_FS_HZ <= period * u / 1e9 < 1 / MIN_FS_HZ), None)
        if unit_ns is None or whole:
            raise UnstatedError(f"the unit of the time column of {path} is unclear", "set the rate with fs=", "rate")
    return TimeBase(unit_ns, period, gap_over, usual, blocks)


_BLOCK_STAMP_SHARE = 0.9
"""If a smaller share of the steps advances, the column has one timestamp per block, not per sample."""
