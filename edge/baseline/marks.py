"""Postures that a person marks while a session runs: ``postures.csv`` in its folder, one line for each change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from edge.baseline.choose import Span
from edge.person import unix_ns
from edge.process.files import write_atomically
from edge.records import utc_text
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.reading import read_limited
from firmware_bridge.text import printable

FILE = "postures.csv"
HEADER = "time,posture"
END = "end"
"""Name that ends a posture without beginning another."""
MAX_BYTES = 1 << 18
MAX_NAME_CHARS = 40


def checked_name(text: str) -> str:
    """Return the name of a posture.

    Raises:
        UsageError: It is empty, too long, or has a character that the file or a command line uses.
    """
    name = text.strip()
    if not name or len(name) > MAX_NAME_CHARS or printable(name) != name or not {",", "=", "/", '"'}.isdisjoint(name):
        raise UsageError(
            f"{text[:60]!r} is not a name for a posture", f'use up to {MAX_NAME_CHARS} characters without , = / and "'
        )
    return name


def add_mark(folder: Path, name: str, unix_s: float) -> None:
    """Append a mark. The file is replaced as a whole, so a power cut leaves the old one or the new one.

    Raises:
        InputError: The existing file cannot be read.
        UsageError: There are too many marks.
        OutputError: The file cannot be written.
    """
    path = folder / FILE
    before = _text(path) if path.exists() else f"{HEADER}\n"
    text = before + ("" if before.endswith("\n") else "\n") + f"{utc_text(round(unix_s * 1e9))},{name}\n"
    if len(text.encode()) > MAX_BYTES:
        raise UsageError(f"{path} has too many marks", "begin another session")
    write_atomically(path, text, private=True)


def read_marks(folder: Path, until_s: float) -> list[tuple[str, Span]]:
    """Return name and time of each posture of a session; lines that are damaged are skipped.

    Args:
        folder: The session folder.
        until_s: End of the last posture, Unix time, s.

    Raises:
        InputError: The file cannot be read.
    """
    path = folder / FILE
    marks = [*(_marks(_text(path)) if path.exists() else ()), (math.inf, END)]
    spans = [(name, Span(start_s, min(end_s, until_s))) for (start_s, name), (end_s, _next) in pairwise(marks)]
    return [(name, span) for name, span in spans if name != END and span.start_s < span.end_s]


def _marks(text: str) -> Sequence[tuple[float, str]]:
    found = []
    for line in text.splitlines():
        at, _, name = line.partition(",")
        try:
            found.append((unix_ns(at.strip()) * 1e-9, checked_name(name)))
        except (ValueError, OverflowError, UsageError):
            continue  # the header, or a damaged line
    return sorted(found)


def _text(path: Path) -> str:
    try:
        return read_limited(path, MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", "remove or replace the file") from None
