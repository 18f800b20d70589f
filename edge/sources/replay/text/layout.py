"""Detection of the layout of a text table: separator, decimal sign, header, units, and the first row of numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.sources.replay.base import looks_like_ecg
from edge.sources.replay.text.cells import MISSING_CELLS, is_comment, looks_like_unit, parse_number, split_cells
from edge.sources.replay.text.clock import find_text_clock
from edge.sources.replay.text.header import Facts, read_header
from firmware_bridge.errors import InputError

_DELIMITERS: tuple[str | None, ...] = ("\t", ";", "|", ",", None)
_SAMPLE_LINES = 100
"""Lines, spread over the beginning of the file, that decide its separator and width."""

_SEP_LINE = re.compile(r'^\ufeff?"?sep=(.)"?$', re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_MAX_NAME_CHARS = 60
_NO_NUMBER = MISSING_CELLS - {"", "-", "--", "."}
_MAX_HEADER_LINES = 2
"""Most header lines: names and, as PhysioNet's ``rdsamp -v`` writes, units below them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a text table.

    Attributes:
        delimiter: Separator; ``None`` for any run of blanks.
        skip: Lines before the first row of numbers.
        width: Columns in a row of numbers.
        names: Names of the columns; ``column 1`` and so on without a header.
        named: Whether the names come from the file.
        units: Cells of the row of units, or empty texts.
        pairs: Whether the comma is separator and decimal sign at once, so that two cells make a number.
        facts: What the lines before the table state.
    """

    delimiter: str | None
    skip: int
    width: int
    names: tuple[str, ...]
    named: bool
    units: tuple[str, ...]
    pairs: bool
    facts: Facts

    def cells(self, line: str) -> list[str]:
        """Return the cells of a line."""
        if self.width == 1 and not self.pairs:
            return [line.strip(" \t'\"\f;,|")]
        cells = split_cells(line, self.delimiter)
        if not self.pairs:
            return cells
        return _joined(cells) if len(cells) == 2 * self.width else [line]

    def number(self, cell: str) -> float | None:
        """Return the number in a cell, NaN for no sample, ``None`` for text."""
        return parse_number(cell)


def find_layout(lines: Sequence[str], path: Path) -> Layout:
    """Return the layout of a table from its first lines.

    Args:
        lines: The first complete lines, without line ends.
        path: For messages.

    Raises:
        InputError: The file holds no numbers, or its decimal sign cannot be decided.
    """
    forced = _SEP_LINE.match(lines[0].strip()) if lines else None
    plain = [line for line in lines[1 if forced else 0 :] if line.strip() and not is_comment(line)]
    sample = plain[:: max(1, -(-len(plain) // _SAMPLE_LINES))]
    delimiter = forced[1] if forced else _delimiter(sample)
    rows = [cells for cells in (split_cells(line, delimiter) for line in sample) if _data_like(cells)]
    if not rows:
        raise InputError(f"{path} holds no rows of numbers", "a text recording has one sample per line")
    pairs = False
    if delimiter == ",":
        pairs = _pairs(rows, plain, path)
        rows = [_joined(row) for row in rows] if pairs else rows
    if not pairs:
        _check_decimal_sign(rows, path)
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    delimiter = None if width == 1 and not pairs else delimiter
    draft = Layout(delimiter, 0, width, (), False, (), pairs, Facts())
    skip = _first_row(lines, draft, [row for row in rows if len(row) == width], path, 1 if forced else 0)
    before = list(lines[1 if forced else 0 : skip])
    facts = read_header(before, width)
    names, units = _names(before, draft)
    if not names and facts.names and width - 1 <= len(facts.names) <= width:
        names = [*facts.names, ""][:width]
    named = bool(names) or bool(width == 1 and facts.lead)
    if not names:
        names = [facts.lead] if named else [f"column {i + 1}" for i in range(width)]
    return Layout(delimiter, skip, width, tuple(names), named, tuple(units or [""] * width), pairs, facts)


def _is_value(cell: str) -> bool:
    return parse_number(cell) is not None or find_text_clock([cell]) is not None


def _data_like(cells: list[str]) -> bool:
    """Return whether a line looks like a row of data: at least half of its cells are values, one of them is there."""
    values = sum(_is_value(cell) for cell in cells)
    return 2 * values >= len(cells) and any(_is_there(c) and _is_value(c) for c in cells)


def _is_there(cell: str) -> bool:
    """Return whether a cell holds a number, or says in words that it holds none."""
    return any(c.isdigit() for c in cell) or cell.lower() in _NO_NUMBER


def _delimiter(sample: Sequence[str]) -> str | None:
    """Return the separator with which most lines are rows of numbers."""
    best: tuple[int, float, int] = (0, 0.0, 0)
    chosen: str | None = None
    for delimiter in _DELIMITERS:
        whole, values, cells, width = 0, 0, 0, 0
        for line in sample:
            row = split_cells(line, delimiter)
            good = sum(_is_value(cell) for cell in row)
            whole += good == len(row) and _data_like(row)
            values, cells, width = values + good, cells + len(row), max(width, len(row))
        score = (whole, round(values / max(1, cells), 2), width)
        if score > best:
            best, chosen = score, delimiter
    return chosen


def _joined(cells: list[str]) -> list[str]:
    """Join the pairs of whole number and fraction that a decimal comma left."""
    return [f"{a}.{b}" if a and b else a for a, b in zip(cells[0::2], [*cells[1::2], ""], strict=False)]


def _pairs(rows: list[list[str]], plain: Sequence[str], path: Path) -> bool:
    """Return whether commas are also decimal signs, as where a program with a decimal comma writes CSV.

    Raises:
        InputError: It cannot be decided.
    """
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    if any("." in cell for row in rows for cell in row):
        return False
    split = [split_cells(line, ",") for line in plain]
    first = next((i for i, cells in enumerate(split) if all(map(_is_value, cells)) and _data_like(cells)), 0)
    header = split[first - 1] if first else []
    names = len(header) if not any(c and parse_number(c) is not None for c in header) else 0
    undecided = InputError(
        f"the commas of {path} separate columns and mark decimals at once", "save it with ; or tab as separator"
    )
    whole = [row for row in rows if len(row) == width]
    regular = all(len(cells) == width for cells in split[first:] if all(map(_is_value, cells)))
    fractions = [[row[i] for row in whole] for i in range(1, width, 2)]
    digits = all(cell.isdecimal() for column in fractions for cell in column)
    if names and width != names:
        if width == 2 * names and digits and regular:
            return True
        if names < width <= 2 * names and all(_is_value(c) for c in whole[0]):
            raise undecided
        return False
    if names or width % 2 or not digits or not regular:
        return False
    zeros = [any(len(cell) > 1 and cell[0] == "0" for cell in column) for column in fractions]
    zeros = [z or any(row[2 * i] == "-0" for row in whole) for i, z in enumerate(zeros)]
    if any(zeros) and not all(zeros):
        raise undecided
    return all(zeros)


def _check_decimal_sign(rows: list[list[str]], path: Path) -> None:
    """Check that a comma in a number is either a decimal sign or groups digits.

    Raises:
        InputError: It cannot be decided.
    """
    cells = [cell for row in rows for cell in row if parse_number(cell) is not None]
    commas = [cell for cell in cells if "," in cell]
    grouped = [cell for cell in commas if _THOUSANDS.fullmatch(cell)]
    points = any("." in cell and "," not in cell and any(c.isdigit() for c in cell) for cell in cells)
    if grouped and (points or len(grouped) == sum(bool(_DECIMAL_COMMA.fullmatch(c)) for c in commas)):
        raise InputError(
            f"a comma in {path}, as in {grouped[0]!r}, may be a decimal sign or group thousands",
            "save the numbers with a decimal point and without groups",
        )


def _first_row(lines: Sequence[str], draft: Layout, rows: list[list[str]], path: Path, start: int) -> int:
    """Return the index of the first line of data."""
    columns = [i for i in range(draft.width) if 2 * sum(_is_value(row[i]) for row in rows) >= len(rows)]
    first: int | None = None
    for number, line in enumerate(lines[start:], start):
        if not line.strip() or is_comment(line):
            continue
        cells = draft.cells(line)
        extra = [cell for cell in cells[draft.width :] if cell and _is_value(cell)]
        if len(cells) < draft.width or extra or not all(_is_value(cells[i]) for i in columns):
            first = None
            continue
        first = number if first is None else first
        if any(_is_there(cells[i]) for i in columns):
            return first
    raise InputError(f"{path} holds no rows of numbers", "a text recording has one sample per line")


def _names(before: Sequence[str], draft: Layout) -> tuple[list[str], list[str]]:
    """Return names and units of the columns from the lines above the data; empty where they have none."""
    text = [line for line in before if line.strip() and not is_comment(line)]
    if draft.width == 1:
        return _single_name(text), []
    headers: list[list[str]] = []
    for line in reversed(text[-_MAX_HEADER_LINES:]):
        cells = _header_cells(line, draft)
        if not cells:
            break
        headers.insert(0, cells)
    if len(headers) == 2 and not all(looks_like_unit(cell) for cell in headers[1]):
        headers = headers[1:]
    if not headers:
        comments = [line.lstrip(" #%/;") for line in before if is_comment(line)]
        headers = [cells for line in comments[-1:] if (cells := _header_cells(line, draft)) and ":" not in line]
    return (headers[0] if headers else []), (headers[1] if len(headers) > 1 else [])


def _single_name(text: Sequence[str]) -> list[str]:
    """Return the name of the only column: the last line above it, unless that states a fact."""
    if not text:
        return []
    last = text[-1].strip(" \t'\"\f")
    if len(last) > _MAX_NAME_CHARS or (re.search(r"[,;:=\t]", last) and not looks_like_ecg(last)):
        return []
    return [text[0].strip(" \t'\"\f")] if len(text) == 2 and looks_like_unit(last) else [last]


def _header_cells(line: str, draft: Layout) -> list[str]:
    """Return the cells of a header line; empty if the line is none."""
    delimiter = "," if draft.pairs else draft.delimiter
    for cells in (split_cells(line, delimiter), re.split(r"\s{2,}|\t", line.strip())):
        numbers = sum(parse_number(cell) is not None and cell != "" for cell in cells)
        if 2 * numbers >= len(cells):
            continue
        if len(cells) == draft.width:
            return [cell.strip(" \t'\"\f") for cell in cells]
        if len(cells) == draft.width - 1 and draft.delimiter is not None and len(cells) > 1:
            return ["", *cells]  # R leaves the name of its row numbers out
    return []
