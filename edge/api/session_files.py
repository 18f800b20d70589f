"""The files of a session folder, read in bounded memory; a damaged or unfinished line is skipped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge.records import Estimate
from edge.store.reader import FIRSTS, EstimateReader
from firmware_bridge.errors import InputError
from firmware_bridge.parts import parts as numbered

MAX_JSON_BYTES = 1 << 20
"""Largest ``session.json`` and ``summary.json``, bytes."""
MAX_EVENT_BYTES = 1 << 16
MAX_BEAT_BYTES = 128
_FIX = "name a folder that 'anyecg run --session-dir' wrote"


def read_estimates(folder: Path) -> Iterator[Estimate]:
    """Yield the estimates of a session, in whatever form they are stored; nothing if it has none yet.

    Raises:
        InputError: A file cannot be read, or a line has another schema.
    """
    if any(parts(folder, first) for first in FIRSTS):
        yield from EstimateReader(folder).estimates()


def read_beats(folder: Path) -> Iterator[tuple[int, float, float]]:
    """Yield run number, signal time of the R peak, s, and RR interval, s (NaN if there is none).

    Raises:
        InputError: A file cannot be read.
    """
    for path in parts(folder, "beats.csv"):
        for line in _lines(path, MAX_BEAT_BYTES):
            cells = line.split(",")
            try:
                yield int(cells[0]), float(cells[1]), float(cells[2] or "nan")
            except (ValueError, IndexError):
                continue  # the header, or a damaged line


def read_events(folder: Path) -> Iterator[Mapping[str, object]]:
    """Yield the events of the link, as they were written: time, session, kind, detail, data.

    Raises:
        InputError: A file cannot be read.
    """
    for path in parts(folder, "events.jsonl"):
        for line in _lines(path, MAX_EVENT_BYTES):
            if _is_json(line):
                yield json.loads(line)


def read_object(path: Path) -> dict[str, object]:
    """Read one JSON object.

    Raises:
        InputError: The file cannot be read, is too large, or holds something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_JSON_BYTES + 1)
        found = json.loads(data) if len(data) <= MAX_JSON_BYTES else None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", _FIX) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}", _FIX) from None
    if not isinstance(found, dict):
        raise InputError(f"{path} does not describe a session", _FIX)
    return found


def parts(folder: Path, first: str) -> list[Path]:
    """Return the parts of a file that exist, oldest first: ``raw.aer``, ``raw.2.aer``, and so on.

    Raises:
        InputError: The folder cannot be read.
    """
    try:
        return numbered(folder / first)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {folder}: {getattr(error, 'strerror', None) or error}", _FIX) from None


def _lines(path: Path, limit: int) -> Iterator[str]:
    """Yield complete lines up to a length; the last one after a power failure may have no newline."""
    try:
        with path.open("rb") as file:
            while raw := file.readline(limit + 1):
                if raw.endswith(b"\n"):
                    yield raw.decode("utf-8", "replace").strip("\0\r\n")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", "check the disk") from None


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
