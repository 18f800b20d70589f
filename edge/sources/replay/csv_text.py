"""Text recordings: CSV, TSV, one number per line, JSON, packed or not, in any usual encoding.

Tables are read in pieces, so a recording of a day needs no more memory than one of a minute.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.sources.decided import Decided, scale_text
from edge.sources.replay.base import Chunk, ReadOptions, Signal, UnstatedError, check_file, check_rate
from edge.sources.replay.text.cells import header_scale_mv, time_unit_ns
from edge.sources.replay.text.columns import (
    choose_column,
    clock_rank,
    is_index_name,
    is_time_name,
    need_column,
    rises,
)
from edge.sources.replay.text.lines import TextFile
from edge.sources.replay.text.table import TextTable
from edge.sources.replay.text.timebase import MAX_CLOCK_NS, TimeBase, count_modulus, counted, measure_time
from firmware_bridge.samples import Unit

if TYPE_CHECKING:
    from edge.sources.replay.text.json_table import JsonTable

PROBE_ROWS = 4096
"""Number of rows from which the rate is measured."""

RATE_TOLERANCE = 0.05
"""Largest relative difference between a stated rate and that of a clock that agree."""

_EPOCH_NS = (9e17, 4e18)
"""Range of a clock that counts from 1970: the years 1998 to 2096."""

_NO_SCALE = "the unit of the samples is unknown; set it with unit=mV or lsb_mv="


class CsvReader:
    """One column of a text recording.

    Args:
        path: The file.
        options: ``fs_hz`` is required if neither a clock nor a header gives the rate, and replaces both.

    Raises:
        InputError: The file is not a text recording, lacks the column, or has no known rate.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        check_file(path)
        self._path = path
        self._options = options
        file = TextFile.open(path)
        self._table = _table(file)
        self._notes: list[str] = []
        clocks, others = self._split()
        self._value, why = self._choose(others)
        self._time, self._base, fs_hz, rate_from = self._rate(clocks)
        scale_mv, self._zero, scale_from = self._scale()
        unit: Unit = "counts" if scale_mv is None else "mV"
        self._factor = 1.0 if scale_mv is None else scale_mv
        if unit == "counts" and options.lsb_mv is None:
            self._notes.append(_NO_SCALE)
        names = self._table.names
        lead = self._lead(len(others))
        if why.startswith("a guess"):
            self._notes.append(f"{names[self._value]} was taken for the ECG, {why}; choose another one with column=")
        decided = Decided(
            format=self._table.facts.format,
            lead=lead,
            lead_from=why if self._table.named or len(names) == 1 else f"{names[self._value]}, {why}",
            rate_hz=fs_hz,
            rate_from=rate_from,
            scale=scale_text(unit, options.lsb_mv),
            scale_from=scale_from,
            clock=self._clock_text(),
            more=self._more(file),
        )
        self.signal = Signal(
            lead=lead,
            leads=tuple(names[i] for i in others),
            fs_hz=fs_hz,
            unit=unit,
            lsb_mv=options.lsb_mv if unit == "counts" else None,
            notes=tuple(self._notes),
            start_unix_ns=self._start(),
            decided=decided,
        )

    def chunks(self) -> Iterator[Chunk]:
        """Yield the column's samples, and at the end what was skipped on the way."""
        columns = [self._value] if self._time is None else [self._value, self._time]
        last: float | None = None
        for rows in self._table.rows(columns):
            if self._base is None or self._time is None:
                yield self._chunk(rows[:, 0], None)
                continue
            known = np.isfinite(rows[:, 1])
            values, times = rows[known, 0], rows[known, 1]
            if not times.size:
                continue
            yield from self._timed(values, times, float(times[0]) if last is None else last, self._base)
            last = float(times[-1])
        yield from self._found()

    def _timed(
        self, values: NDArray[np.float64], times: NDArray[np.float64], last: float, base: TimeBase
    ) -> Iterator[Chunk]:
        """Yield the samples of one piece, cut at gaps and restarts of the clock."""
        if np.abs(times).max() > MAX_CLOCK_NS / base.unit_ns:
            raise UnstatedError(f"a time in {self._path} is out of range", "set the rate with fs=", "rate")
        steps = base.steps(times, last)
        cuts = np.flatnonzero((steps > base.gap_over) | (steps < -base.period))
        edges = [0, *(int(i) for i in cuts if i), len(times)]
        for start, stop in itertools.pairwise(edges):
            step = float(steps[start])
            lost = round((step - base.usual_step) / base.period) if step > base.gap_over else 0
            chunk = self._chunk(values[start:stop], times[start:stop])
            yield Chunk(chunk.values, chunk.missing, chunk.time_ns, lost, restarted=step < -base.period)

    def _chunk(self, values: NDArray[np.float64], times: NDArray[np.float64] | None) -> Chunk:
        missing = ~np.isfinite(values) | (np.abs(values) > np.finfo(np.float32).max)
        samples = ((np.where(missing, 0.0, values) - self._zero) * self._factor).astype(np.float32)
        clock = None
        if times is not None and self._base is not None and not self._base.stamps_blocks:
            clock = np.rint(times * self._base.unit_ns).astype(np.int64)
        return Chunk(samples, missing if missing.any() else None, clock)

    def _found(self) -> Iterator[Chunk]:
        """Yield what the pass over the table has skipped."""
        skipped = self._table.skipped
        parts = []
        if skipped.rows:
            rows = "1 row" if skipped.rows == 1 else f"{skipped.rows} rows"
            where = f"line {skipped.line}: {skipped.text!r}" if skipped.line else repr(skipped.text)
            parts.append(f"{rows} without a number skipped, the first in {where}")
        if skipped.torn:
            parts.append("the last line may be cut off and was left out")
        if parts:
            note = f"{self._path.name}: {'; '.join(parts)}"
            facts = {"skipped_rows": skipped.rows} | ({"torn_last_line": True} if skipped.torn else {})
            yield Chunk(np.zeros(0, np.float32), note=note, found=facts)

    def _split(self) -> tuple[list[int], list[int]]:
        """Return the columns that can be the clock, best first, and those that can be the ECG."""
        table = self._table
        width = len(table.names)
        if table.named:
            clocks = [i for i in range(width) if i in table.clocks or is_time_name(table.names[i])]
            clocks.sort(key=lambda i: -clock_rank(table.names[i]))
            index = [i for i in range(width) if is_index_name(table.names[i])]
        else:
            rising = [i for i in range(width) if rises(table.head[:, i])] if width > 1 else []
            if len(table.head) < _FEW_ROWS:
                rising = rising[:1]
            # A clock counts time, an index counts rows: take a clock if there is one.
            clocks = sorted(
                {*table.clocks, *rising}, key=lambda i: (i not in table.clocks, _is_index(table.head[:, i]))
            )
            index = []
        if table.facts.ecg:
            clocks, index = [i for i in clocks if i not in table.facts.ecg], []
        others = [i for i in range(width) if i not in clocks and i not in index]
        if not others and index:
            others = index
        if self._options.column is not None and not table.named and self._options.column.strip().isdecimal():
            wanted = int(self._options.column[:6]) - 1
            if 0 <= wanted < width and wanted not in others and wanted not in table.clocks:
                others, clocks = sorted([*others, wanted]), [i for i in clocks if i != wanted]
        need_column(others, table.names, self._path)
        return clocks, others

    def _choose(self, others: list[int]) -> tuple[int, str]:
        table, facts = self._table, self._table.facts
        free = self._options.lead is None and self._options.column is None
        if free and len(facts.ecg) == 1:
            return facts.ecg[0], f"stated by {facts.format}"
        left = [i for i in others if i in (facts.ecg or facts.signals)] if free else []
        left = left or others
        volts = [self._column_scale(i) is not None for i in left]
        if free and len(left) == 1 and (facts.lead or facts.signals):
            return left[0], "header" if facts.lead else "the only channel"
        return choose_column(
            table.names, left, table.head, volts, self._options, self._path, named=table.named and not facts.signals
        )

    def _lead(self, count: int) -> str:
        stated = self._table.facts.lead if count == 1 else ""
        return stated or (self._table.names[self._value] if self._table.named else "ecg")

    def _rate(self, clocks: list[int]) -> tuple[int | None, TimeBase | None, float, str]:
        """Return the clock, its time base, the rate in Hz, and where the rate comes from."""
        facts, fs_hz = self._table.facts, self._options.fs_hz
        if fs_hz is not None:
            return self._counter(fs_hz, "fs=")
        failed: UnstatedError | None = None
        for column in clocks:
            try:
                base = self._measured(column)
                check_rate(base.fs_hz, str(self._path))
            except UnstatedError as error:
                failed = failed or error
                continue
            return self._agreed(column, base)
        if facts.rate_hz is not None:
            return self._counter(facts.rate_hz, "header")
        if failed is not None:
            raise failed
        if facts.rates_hz:
            rates = ", ".join(f"{rate:g}" for rate in facts.rates_hz[:8])
            raise UnstatedError(
                f"{self._path} states several sampling rates: {rates} Hz", "choose one with fs=", "rate"
            )
        raise UnstatedError(
            f"{self._path} does not contain its sampling rate", "add fs=, such as replay:ecg.csv?fs=250", "rate"
        )

    def _agreed(self, column: int, base: TimeBase) -> tuple[int | None, TimeBase | None, float, str]:
        """Decide between the rate of a clock and the rate that the header states."""
        stated, name = self._table.facts.rate_hz, self._table.names[column] or f"column {column + 1}"
        if stated is None:
            return column, base, base.fs_hz, f"clock {name}"
        if abs(base.fs_hz - stated) <= RATE_TOLERANCE * stated:
            # One timestamp for many samples says less than the header.
            return (
                (column, base, stated, "header") if base.stamps_blocks else (column, base, base.fs_hz, f"clock {name}")
            )
        self._notes.append(f"{self._path.name} states {stated:g} Hz, but its clock {name} gives {base.fs_hz:.4g} Hz")
        if base.stamps_blocks:
            return self._counter(stated, "header")
        return column, base, base.fs_hz, f"clock {name}"

    def _counter(self, fs_hz: float, source: str) -> tuple[int | None, TimeBase | None, float, str]:
        """Use a counter of samples, if the table has a regular one, to find lost samples at a known rate."""
        table = self._table
        for column in range(len(table.names)):
            if column == self._value or column in table.clocks or len(table.head) < _FEW_ROWS:
                continue
            if table.named and not is_index_name(table.names[column]):
                continue
            found = count_modulus(table.head[:, column])
            if found is not None:
                return column, counted(*found, fs_hz), fs_hz, source
        return None, None, fs_hz, source

    def _measured(self, column: int) -> TimeBase:
        table = self._table
        times = np.zeros(0)
        for rows in table.rows([column]):
            times = np.concatenate([times, rows[np.isfinite(rows[:, 0]), 0]])
            if times.size >= PROBE_ROWS:
                break
        times = times[:PROBE_ROWS]
        clock = table.clocks.get(column)
        if clock is not None:
            return measure_time(times, 1e9, self._path, (clock.wrap_s,) if clock.wrap_s else ())
        name, unit = (table.names[column], table.units[column]) if table.named else ("", "")
        unit_ns = time_unit_ns(name, unit)
        try:
            base = measure_time(times, unit_ns, self._path)
            check_rate(base.fs_hz, str(self._path))
        except UnstatedError:
            # A unit in the name may be that of the display, such as "time (s)" over Unix milliseconds.
            if unit_ns is None or not _is_epoch(times):
                raise
            base = measure_time(times, None, self._path)
        return base

    def _column_scale(self, column: int) -> float | None:
        table = self._table
        if column in table.facts.scales_mv:
            return table.facts.scales_mv[column][0]
        return header_scale_mv(table.names[column], table.units[column]) if table.named else None

    def _scale(self) -> tuple[float | None, float, str]:
        """Return millivolts per unit (``None`` for counts), the value of 0 mV, and where they come from."""
        options, facts = self._options, self._table.facts
        if options.unit in {"mV", "uV"}:
            return (1.0 if options.unit == "mV" else 1e-3), 0.0, "unit="
        if options.lsb_mv is not None:
            return None, 0.0, "lsb_mv="
        if options.unit == "counts":
            return None, 0.0, "unit="
        if self._value in facts.scales_mv:
            scale, zero = facts.scales_mv[self._value]
            return scale, zero, facts.format
        scale_mv = self._column_scale(self._value)
        if scale_mv is not None:
            return scale_mv, 0.0, "name of the column" if not self._table.units[self._value] else "row of units"
        return facts.scale_mv, 0.0, "" if facts.scale_mv is None else "header"

    def _clock_text(self) -> str:
        if self._time is None or self._base is None:
            return "none"
        name = self._table.names[self._time] or f"column {self._time + 1}"
        if self._base.counter:
            again = f" that begins again after {self._base.modulus:g}" if self._base.modulus else ""
            return f"{name}, a counter of samples{again}"
        clock = self._table.clocks.get(self._time)
        shared = ", shared by blocks of samples" if self._base.stamps_blocks else ""
        return f"{name}{f', {clock.name}' if clock else ''}{shared}"

    def _more(self, file: TextFile) -> dict[str, object]:
        more: dict[str, object] = {"encoding": file.encoding}
        if file.packing:
            more["compression"] = file.packing
        if isinstance(self._table, TextTable) and self._table.layout.skip:
            more["header_lines"] = self._table.layout.skip
        return more

    def _start(self) -> int | None:
        """Return the wall clock of the first sample, if the clock of the table or its header has a date."""
        facts = self._table.facts
        if self._time is not None and self._base is not None and not self._base.counter:
            times = self._table.head[:, self._time]
            known = times[np.isfinite(times)]
            if known.size and _EPOCH_NS[0] <= float(known[0]) * self._base.unit_ns < _EPOCH_NS[1]:
                return round(float(known[0]) * self._base.unit_ns)
        return facts.start_unix_ns


_FEW_ROWS = 64


def _table(file: TextFile) -> TextTable | JsonTable:
    if not file.is_json():
        return TextTable(file)
    from edge.sources.replay.text.json_table import JsonTable

    return JsonTable(file)


def _is_index(values: NDArray[np.float64]) -> bool:
    known = values[np.isfinite(values)]
    return known.size > 1 and bool(np.all(np.diff(known) == 1))


def _is_epoch(times: NDArray[np.float64]) -> bool:
    return bool(times.size) and any(
        _EPOCH_NS[0] <= float(times[0]) * unit < _EPOCH_NS[1] for unit in (1.0, 1e3, 1e6, 1e9)
    )
