"""The rows of a text table, read in pieces; what is not a row of numbers is skipped and counted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.text.cells import is_comment
from edge.sources.replay.text.clock import TextClock, find_text_clock
from edge.sources.replay.text.layout import Layout, find_layout
from edge.sources.replay.text.lines import TextFile
from firmware_bridge.errors import InputError

HEAD_LINES = 2048
"""Lines from which the layout is found and the columns are told apart: eight seconds at 250 Hz."""

HEAD_CHARS = 1 << 20

MIN_SKIPPED = 1000
"""Rows without a number after which a file with more of them than rows of numbers is no recording."""

_SHAPE = re.compile(r"[+-]?\d*\.(\d+)(?:[eE]([+-]?\d+))?")
_MAX_SHOWN = 40
_WORD_CHARS = 8
_CLOCK_CELLS = 80


@dataclass(slots=True)
class Skipped:
    """Rows that were skipped in one pass over a table.

    Attributes:
        rows: Number of rows.
        line: Number of the first one, from 1.
        text: Beginning of the first one.
        torn: Whether the last line of the file was left out because it may be cut off.
    """

    rows: int = 0
    line: int = 0
    text: str = ""
    torn: bool = False

    def add(self, line: int, text: str) -> None:
        """Count a row."""
        self.rows += 1
        if self.rows == 1:
            self.line, self.text = line, text.strip()[:_MAX_SHOWN]


class TextTable:
    """A text file as a table.

    Args:
        file: The file.

    Raises:
        InputError: The file holds no rows of numbers.
    """

    def __init__(self, file: TextFile) -> None:
        self.file = file
        self.path: Path = file.path
        lines = self._head()
        self.layout: Layout = find_layout(lines, file.path)
        self.names, self.units, self.named = self.layout.names, self.layout.units, self.layout.named
        self.facts = self.layout.facts
        self.skipped = Skipped()
        rows = [self.layout.cells(line) for line in lines[self.layout.skip :] if line.strip() and not is_comment(line)]
        self.clocks = self._text_clocks(rows)
        self.head = self._values(rows)

    def rows(self, columns: Sequence[int]) -> Iterator[NDArray[np.float64]]:
        """Yield arrays of shape ``(n, len(columns))``; NaN where a cell holds no number. Text clocks are in seconds.

        Raises:
            InputError: The file holds more text than numbers, or cannot be read.
        """
        layout, self.skipped = self.layout, Skipped()
        done, blank, to_skip, count = 0, 0, layout.skip, 0
        before = ""
        for piece, whole in self.file.pieces():
            lines = piece[to_skip:]
            done += len(piece) - len(lines)
            to_skip = max(0, to_skip - len(piece))
            if not whole and lines and self._torn(lines[0], before, columns):
                self.skipped.torn = True
                break
            before = lines[-1] if lines else before
            rows, blank = self._parse(lines, columns, done, blank)
            done += len(lines)
            count += len(rows)
            if self.skipped.rows > max(MIN_SKIPPED, count):
                raise InputError(
                    f"{self.path} holds more text than numbers, as in line {self.skipped.line}: {self.skipped.text!r}",
                    "check that it is a recording",
                )
            if len(rows):
                yield rows

    def _parse(
        self, lines: list[str], columns: Sequence[int], done: int, blank: int
    ) -> tuple[NDArray[np.float64], int]:
        """Return the rows of these lines and, for a one-column file, the number of blank lines at their end.

        In a file with one column a blank line is an empty cell, unless only blank lines follow.
        """
        fast = self._load_fast(lines, columns)
        if fast is not None:
            return (np.vstack([np.full((blank, len(columns)), np.nan), fast]) if blank else fast), 0
        rows: list[list[float]] = []
        single = self.layout.width == 1
        for number, line in enumerate(lines, start=done + 1):
            text = line.strip("\0\x1a \t\f")
            if not text:
                blank += single
                continue
            row = None if is_comment(line) else self._row(line, columns, number)
            if row is None:
                self.skipped.add(number, line)
                # One word in a column of numbers, such as "!" while an electrode is off, stands for a sample.
                blank += single and not is_comment(line) and len(text) <= _WORD_CHARS and len(text.split()) == 1
                continue
            rows.extend([[float("nan")] * len(columns)] * blank)
            blank = 0
            rows.append(row)
        return np.array(rows, dtype=np.float64).reshape(-1, len(columns)), blank

    def _row(self, line: str, columns: Sequence[int], number: int) -> list[float] | None:
        """Return the numbers of a line; ``None`` if it is no row of numbers."""
        layout = self.layout
        cells = layout.cells(line)
        if any(cell and layout.number(cell) is not None for cell in cells[layout.width :]):
            return None  # two lines that ran into each other
        row, text = [], 0
        for column in columns:
            cell = cells[column] if column < len(cells) else ""
            value = self._value(column, cell)
            text += value is None
            row.append(float("nan") if value is None else value)
        if text == 0:
            return row
        if not any(cell and self._value(i, cell) is not None for i, cell in enumerate(cells[: layout.width])):
            return None
        self.skipped.add(number, line)
        return row

    def _value(self, column: int, cell: str) -> float | None:
        clock = self.clocks.get(column)
        return clock.seconds(cell) if clock is not None else self.layout.number(cell)

    def _load_fast(self, lines: list[str], columns: Sequence[int]) -> NDArray[np.float64] | None:
        """Parse with numpy, 20 times as fast as a loop; return ``None`` if a line needs the slow parser."""
        layout = self.layout
        clocks = [column for column in columns if column in self.clocks]
        if not lines or layout.pairs or not all(lines) or (clocks and '"' in lines[0] + lines[-1]):
            return None
        if layout.delimiter is not None:
            count = layout.width - 1
            if any(line.count(layout.delimiter) != count for line in lines):
                return None
        stamps = self._fast_clock(lines, clocks[0]) if clocks else None
        numbers = [column for column in columns if column not in clocks]
        if len(clocks) > 1 or (clocks and stamps is None):
            return None
        if stamps is not None and not numbers:
            return np.array(stamps, dtype=np.float64)[:, np.newaxis]
        if layout.delimiter != "," and any("," in line for line in lines):
            if any("." in line for line in lines):
                return None
            lines = [line.replace(",", ".") for line in lines]
        try:
            rows: NDArray[np.float64] = np.loadtxt(
                lines, dtype=np.float64, delimiter=layout.delimiter, usecols=numbers, comments=None, ndmin=2
            )
        except (ValueError, OverflowError):
            return None
        if len(rows) != len(lines):
            return None
        return rows if stamps is None else np.insert(rows, list(columns).index(clocks[0]), stamps, axis=1)

    def _fast_clock(self, lines: list[str], column: int) -> list[float] | None:
        """Return the times of a clock written as text; ``None`` if a line needs the slow parser."""
        seconds, delimiter = self.clocks[column].seconds, self.layout.delimiter
        if delimiter is None:
            return None
        stamps = [seconds(line.split(delimiter, column + 1)[column]) for line in lines]
        return None if None in stamps else [stamp for stamp in stamps if stamp is not None]

    def _torn(self, line: str, before: str, columns: Sequence[int]) -> bool:
        """Return whether a last line without a line end may be cut off in one of the used cells."""
        cells, usual = self.layout.cells(line), self.layout.cells(before)
        last = max(columns)
        if len(cells) > last + 1:
            return False
        if len(cells) <= last or len(usual) <= last:
            return True
        if last in self.clocks:
            return len(cells[last]) != len(usual[last])
        shapes = [_SHAPE.fullmatch(cell.replace(",", ".")) for cell in (cells[last], usual[last])]
        ends = [(len(s[1]), len(s[2] or "")) for s in shapes if s]
        return len(ends) < 2 or ends[0] != ends[1]

    def _head(self) -> list[str]:
        lines: list[str] = []
        chars = 0
        for piece, whole in self.file.pieces():
            lines += piece if whole or not lines else []
            chars += sum(map(len, piece))
            if len(lines) >= HEAD_LINES or chars > HEAD_CHARS:
                break
        return lines[:HEAD_LINES]

    def _text_clocks(self, rows: list[list[str]]) -> dict[int, TextClock]:
        """Return the clocks of the columns whose cells are times written as text."""
        clocks = {}
        for column in range(self.layout.width):
            cells = [row[column] for row in rows if column < len(row)]
            text = [cell for cell in cells if self.layout.number(cell) is None]
            if 2 * len(text) >= len(cells) and (clock := find_text_clock(text[:_CLOCK_CELLS])) is not None:
                clocks[column] = clock
        return clocks

    def _values(self, rows: list[list[str]]) -> NDArray[np.float64]:
        head = np.full((len(rows), self.layout.width), np.nan)
        for at, row in enumerate(rows):
            for column, cell in enumerate(row[: self.layout.width]):
                value = self._value(column, cell)
                head[at, column] = np.nan if value is None else value
        return head
