"""Cells of a table: numbers, missing samples, comments, and the units of columns."""

from __future__ import annotations

import csv
import math
import re

from edge.sources.replay.base import voltage_scale_mv

MISSING_CELLS = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "--", "."})
"""Cells that mean "no sample" (in lower case)."""

TIME_UNITS_NS = {"ns": 1.0, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "sec": 1e9, "secs": 1e9,
                 "second": 1e9, "seconds": 1e9, "millis": 1e6, "milliseconds": 1e6, "microseconds": 1e3, "micros": 1e3,
                 "nanoseconds": 1.0, "msec": 1e6, "usec": 1e3, "sekunden": 1e9}  # fmt: skip
"""Nanoseconds per unit of a clock."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}([,.])\d{3}(\1\d{3})*(?!\1)([,.]\d+)?")
_COMMENTS = ("#", "%", "//")
_QUOTES = " \t'\"\f\ufeff"
_LOST_MICRO = re.compile("^(?:[\u00b5\u03bc?\ufffd\u00e6]|\u00e2\u00b5|\u00ee\u00bc)(?=v|volts?$)")
"""A micro sign as encodings and programs leave it: both of Unicode, MS-DOS, UTF-8 read as Latin-1, or lost."""


def parse_number(cell: str) -> float | None:
    """Return the number in a cell, NaN for a cell that means "no sample", or ``None`` for text.

    A comma is a decimal sign, or groups digits where the cell also has a point or several commas.
    """
    text = cell.strip(_QUOTES)
    if text.lower() in MISSING_CELLS:
        return math.nan
    if "\u2212" in text:
        text = text.replace("\u2212", "-")
    if "," in text:
        if _COMMA_NUMBER.fullmatch(text):
            text = text.replace(",", ".")
        elif _GROUPED.fullmatch(text):
            sign = max(text.rfind("."), text.rfind(","))
            if text.count(text[sign]) > 1:
                sign = len(text)
            text = re.sub("[.,]", "", text[:sign]) + text[sign:].replace(",", ".")
    return float(text) if _NUMBER.fullmatch(text) and text.isascii() else None


def split_cells(line: str, delimiter: str | None) -> list[str]:
    """Return the cells of a line, without quotes. A quoted cell may hold the delimiter."""
    if delimiter is not None:
        for quote in ('"', "'"):
            if line.count(quote) >= 2 and delimiter in line:
                try:
                    cells = next(csv.reader([line], delimiter=delimiter, quotechar=quote, skipinitialspace=True), [])
                except csv.Error:
                    break
                return [cell.strip(_QUOTES) for cell in cells]
    elif line.count("'") >= 2 or line.count('"') >= 2:
        return [cell.strip(_QUOTES) for cell in re.findall(r"\"[^\"]*\"|'[^']*'|\S+", line)]
    return [cell.strip(_QUOTES) for cell in line.split(delimiter)]


def is_comment(line: str) -> bool:
    """Return whether a line is a comment."""
    return line.lstrip().startswith(_COMMENTS)


def tokens(name: str) -> list[str]:
    """Return the words of a column's name, in lower case."""
    return [token for token in re.split(r"[\s_()\[\]{}<>/.,;:|@=\-]+", name.lower()) if token]


def time_unit_ns(name: str, unit: str) -> float | None:
    """Return the nanoseconds per unit of a clock column; ``None`` if neither name nor unit says it."""
    words = (*tokens(unit), *tokens(name)[::-1])
    return next((TIME_UNITS_NS[word] for word in words if word in TIME_UNITS_NS), None)


def voltage_mv(unit: str) -> float | None:
    """Return the millivolts per unit of a voltage, with the micro sign of any encoding; ``None`` if it is another."""
    text = unit.strip().strip("()[]{}<>'\"").strip().lower()
    return voltage_scale_mv(_LOST_MICRO.sub("\u00b5", text))


def header_scale_mv(name: str, unit: str) -> float | None:
    """Return the millivolts per unit of a column, from its name and its cell in a row of units."""
    if unit.strip():
        return voltage_mv(unit)
    bracketed = re.search(r"[(\[{<]\s*([^()\[\]{}<>]+?)\s*[)\]}>]", name)
    if bracketed and (scale := voltage_mv(bracketed[1])) is not None:
        return scale
    words = tokens(name)
    if joined := re.fullmatch(r"(?:ecg|ekg)([mu\u00b5\u03bc]v)", name.strip().lower()):
        return voltage_mv(joined[1])
    # A bare "v" is the name of a chest lead, not a unit.
    return voltage_mv(words[-1]) if len(words) > 1 and words[-1] != "v" and not bracketed else None


def looks_like_unit(cell: str) -> bool:
    """Return whether a cell of a second header row is a unit."""
    text = cell.strip("()[]{}<> '\"").lower()
    return (
        text in {"", "-", "counts", "adu", "adc", "a.u.", "au", "lsb", "bpm", "%", "g", "#", "no.", "samples", "hz"}
        or voltage_mv(text) is not None
        or text in TIME_UNITS_NS
        or re.fullmatch(r"[hdmsy:./\- ]+(\.[ms]+)?", text) is not None
    )
