"""``recordings.toml``: what recordings do not state themselves.

Each table of the file has the name of a recording or a glob pattern as its key, and ``[default]`` applies to all::

    [default]
    fs_hz = 300
    lead = "II"

    ["A0*.mat"]
    lsb_mv = 0.001
    patient = "17"

    ["A00027.mat"]
    skip = true
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import translate
from pathlib import Path
from typing import Any

from edge.sources.replay.base import MAX_LSB_MV, MIN_LSB_MV
from edge.sources.replay.source import UNITS
from firmware_bridge.errors import InputError
from firmware_bridge.reading import is_number, parse_toml, read_limited
from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ

TABLE = "recordings.toml"
DEFAULT = "default"
"""Key of the entry that applies to every recording of the table."""

MAX_BYTES = 1 << 22
"""Largest table: about one entry for each of 50,000 recordings."""

MAX_CHANNELS = 256
MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """What a table states about a recording.

    Attributes:
        fs_hz: Sampling rate, Hz.
        lsb_mv: Millivolts per count; excludes ``unit``.
        unit: Unit of the samples: ``mV``, ``uV`` or ``counts``; excludes ``lsb_mv``.
        lead: Name of the signal to read; excludes ``channel``.
        channel: Number of the signal or column to read, from 1; excludes ``lead``.
        patient: Name of the patient.
        skip: Whether the recording is left out.
    """

    fs_hz: float | None = None
    lsb_mv: float | None = None
    unit: str | None = None
    lead: str | None = None
    channel: int | None = None
    patient: str | None = None
    skip: bool | None = None

    def over(self, other: Entry) -> Entry:
        """Return this entry, with what it leaves open taken from a less specific one."""
        own = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        for pair in _EXCLUSIVE:
            if any(key in own for key in pair):
                other = replace(other, **dict.fromkeys(pair))
        return replace(other, **own)


_EXCLUSIVE = (("lsb_mv", "unit"), ("lead", "channel"))
"""Keys that state the same fact in two ways."""

_GLOB = re.compile(r"[*?\[]")

_KEYS = tuple(f.name for f in fields(Entry))


class RecordingTable:
    """A parsed table.

    Args:
        path: The file.
        default: The entry ``[default]``.
        entries: Entries by name or pattern, in the order of the file.
    """

    def __init__(self, path: Path, default: Entry, entries: Mapping[str, Entry]) -> None:
        self.path = path
        self._default = default
        self._entries = entries
        self._patterns = {key: re.compile(translate(key)) for key in entries if _GLOB.search(key)}
        self._used: set[str] = set()

    def entry(self, recording: Path) -> Entry:
        """Return what the table states about a recording.

        A name is more specific than a pattern, a later pattern than an earlier one, and all than ``[default]``.

        Args:
            recording: Path of a recording in the folder of the table or below.
        """
        found = self._default
        for key in self._matching(_names(recording, self.path.parent)):
            found = self._entries[key].over(found)
            self._used.add(key)
        return found

    def check_used(self) -> None:
        """Check that every entry matches a file.

        Raises:
            InputError: An entry matches no file; the message names it.
        """
        if len(self._used) == len(self._entries):
            return
        folder = self.path.parent
        found = set(self._used)
        for root, _, names in os.walk(folder):
            for name in names:
                found.update(self._matching(_names(Path(root, name), folder)))
        unused = next((key for key in self._entries if key not in found), None)
        if unused is not None:
            raise InputError(f"{self.path}: the entry {unused!r} matches no file", "correct its name, or remove it")

    def _matching(self, names: Sequence[str]) -> list[str]:
        """Return the keys that match one of the names, the most specific one last."""
        patterns = [key for key, p in self._patterns.items() if key not in names and any(map(p.fullmatch, names))]
        return patterns + [name for name in names if name in self._entries]


def read_table(path: Path) -> RecordingTable:
    """Read and check a table.

    Raises:
        InputError: The file cannot be read, or a key or value is invalid; the message names it.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB", "use patterns instead of names")
        content = parse_toml(read_limited(path, MAX_BYTES))
    except ValueError as error:
        raise InputError(f"{path} is not valid TOML: {str(error).splitlines()[0]:.120}", "correct the file") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", "check its permissions") from None
    entries = {key: _entry(path, key, value) for key, value in content.items()}
    return RecordingTable(path, entries.pop(DEFAULT, Entry()), entries)


def _entry(path: Path, key: str, value: object) -> Entry:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {key!r} stands outside an entry", f'write it below ["FILE"] or [{DEFAULT}]')
    for name, one in value.items():
        if name not in _CHECKS:
            raise InputError(f"{path}: unknown key {name!r} in [{key!r}]", f"use {', '.join(_KEYS)}")
        wanted = _CHECKS[name](one)
        if wanted:
            raise InputError(f"{path}: {name} in [{key!r}] is {str(one)[:40]!r}", f"give {wanted}")
    for pair in _EXCLUSIVE:
        if all(name in value for name in pair):
            raise InputError(f"{path}: [{key!r}] has both {' and '.join(pair)}", "give one of them")
    known: dict[str, Any] = dict(value)
    if "unit" in known:
        known["unit"] = UNITS[known["unit"].lower()]
    for name in {"fs_hz", "lsb_mv"} & known.keys():
        known[name] = float(known[name])
    return Entry(**known)


def _number(low: float, high: float, unit: str) -> Any:
    def check(value: object) -> str:
        if is_number(value, low, high):
            return ""
        return f"a number from {low:g} to {high:g} {unit}"

    return check


def _text(value: object) -> str:
    good = isinstance(value, str) and 0 < len(value.strip()) <= MAX_TEXT and value.isprintable()
    return "" if good else f'text in quotes, such as "II", at most {MAX_TEXT} characters'


def _channel(value: object) -> str:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_CHANNELS
    return "" if good else f"a whole number from 1 to {MAX_CHANNELS}"


_CHECKS = {
    "fs_hz": _number(MIN_FS_HZ, MAX_FS_HZ, "Hz"),
    "lsb_mv": _number(MIN_LSB_MV, MAX_LSB_MV, "mV"),
    "unit": lambda value: "" if isinstance(value, str) and value.lower() in UNITS else '"mV", "uV" or "counts"',
    "lead": _text,
    "channel": _channel,
    "patient": _text,
    "skip": lambda value: "" if isinstance(value, bool) else "true or false",
}
"""For each key a function that returns the wanted value in words, or nothing for a good one."""


def _names(recording: Path, folder: Path) -> Sequence[str]:
    """Return the names by which an entry can match: with and without suffix, and below the folder of the table.

    A WFDB record is also matched by its signal file.
    """
    suffixes: Iterable[str] = ("", recording.suffix)
    if recording.suffix == ".hea":
        suffixes = (*suffixes, *(s for s in (".dat", ".mat") if recording.with_suffix(s).is_file()))
    below = recording.relative_to(folder).with_suffix("").as_posix()
    return [name + suffix for suffix in suffixes for name in dict.fromkeys((recording.stem, below))]
