"""Read the rows of a large CSV file one at a time, with columns by name and errors that name file, line and column."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

MAX_LINE = 1 << 20
"""Longest line of a compressed file, characters: a small file could hold one that does not fit into memory."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a CSV file.

    Attributes:
        path: Path of the file, for error messages.
        line: Number of the last line of the row, from 1.
        fields: Texts of the fields.
        columns: Position of each column, by name.
    """

    path: Path
    line: int
    fields: list[str]
    columns: dict[str, int]

    def text(self, column: str) -> str:
        """Return a field without surrounding blanks; empty where the row is too short."""
        at = self.columns[column]
        return self.fields[at].strip() if at < len(self.fields) else ""

    def integer(self, column: str) -> int:
        """Return an identifier.

        Raises:
            InputError: The field is not a whole number.
        """
        # A pandas column with a missing value is float, so its integers are written as 98874959.0.
        digits = self.text(column).removesuffix(".0")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 15:
            raise InputError(f"{self.path} line {self.line}: {column} is {digits[:40]!r}, not a number")
        return int(digits)

    def number(self, column: str) -> float | None:
        """Return a finite number, or ``None`` if the field does not hold one."""
        try:
            value = float(self.text(column))
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def time(self, column: str) -> datetime | None:
        """Return a time in UTC, or ``None`` if the field does not hold one."""
        return parse_time(self.text(column))


def parse_time(text: str) -> datetime | None:
    """Return an ISO time such as ``2262-01-09T03:16:07Z`` in UTC; ``None`` for any other text."""
    try:
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def rows_of(path: Path, needed: tuple[str, ...]) -> Iterator[Row]:
    """Yield the rows of a CSV file with a header line.

    Args:
        path: The file.
        needed: Required columns; further columns are ignored.

    Raises:
        InputError: The file is missing, unreadable, empty or lacks a column.
    """
    reader = csv.reader(lines_of(path))
    try:
        header = next(reader, None)
        if header is None:
            raise InputError(f"{path} is empty", "expected a header line")
        columns = {name.strip().lstrip("\ufeff"): i for i, name in enumerate(header)}
        other = next((mark for mark in ";\t|" if len(columns) == 1 and mark in header[0]), None)
        if other is not None:
            named = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}[other]
            raise InputError(f"{path} is separated by {named}", "separate the columns by commas")
        missing = [name for name in needed if name not in columns]
        if missing:
            raise InputError(f"{path} lacks the column {', '.join(missing)}", f"it has {', '.join(columns)[:200]}")
        for fields in reader:
            if fields:
                yield Row(path, reader.line_num, fields, columns)
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: {error}") from error


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a text file, which may be compressed (``.gz``).

    Raises:
        InputError: The file is missing or unreadable.
    """
    try:
        if path.suffix == ".gz":
            yield from _unpacked(path)
            return
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", errors="replace", newline="") as file:
            yield from file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: {error}", "download it again") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "check that the data set is complete") from error


def _unpacked(path: Path) -> Iterator[str]:
    with (
        open_regular(path) as packed,
        gzip.open(packed, "rt", encoding="utf-8", errors="replace", newline="") as file,
    ):
        while line := file.readline(MAX_LINE):
            if len(line) == MAX_LINE and not line.endswith("\n"):
                raise InputError(f"{path} has a line of more than {MAX_LINE >> 20} MiB", "check that it is a CSV file")
            yield line
