"""Recordings with what the user states about them: in ``recordings.toml``, or by the options of a command.

What a file states is never replaced. A table fills what its files leave open, and an option fills what both leave open.
Two that disagree are an error, because one of them would silently be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from convert.datasets.rectable import TABLE, Entry, RecordingTable, read_table
from edge.sources.replay.base import Reader, ReadOptions, UnstatedError, plain_name
from edge.sources.replay.source import Playback, ReplaySource, open_reader
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.samples import LinkItem

TOLERANCE = 0.01
"""Largest relative difference of two rates or scales that agree. The clocks of patches drift by less than 0.1 %."""

_OPTION = {"rate": "fs", "scale": "lsb-mv", "lead": "lead"}
_KEY = {"rate": "fs_hz", "scale": "lsb_mv or unit", "lead": "lead or channel"}
_VALUE = {"rate": "HZ", "scale": "MV", "lead": "NAME"}


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """Options of a command about all recordings of a folder.

    Attributes:
        fs_hz: Sampling rate of files that do not state it, Hz.
        lsb_mv: Millivolts per count of files that do not state their scale.
        lead: Name of the signal to read.
        prefix: What the names of these options begin with, for messages, such as ``external-``; ``None`` where the
            command has no such options about these recordings.
    """

    fs_hz: float | None = None
    lsb_mv: float | None = None
    lead: str | None = None
    # Left out of the keys of stored results, because it changes no sample.
    prefix: str | None = field(default="", repr=False, compare=False)

    def name(self, fact: str) -> str:
        """Return the name of the option that states ``rate``, ``scale`` or ``lead``."""
        return f"--{self.prefix or ''}{_OPTION[fact]}"


@dataclass(frozen=True, slots=True)
class Stated:
    """What a table and the options of a command state about one recording.

    Attributes:
        entry: What the table states.
        options: The options of the command.
        table: Path of the table; empty without one.
    """

    entry: Entry = field(default_factory=Entry)
    options: RecordingOptions = field(default_factory=RecordingOptions)
    table: str = ""

    @property
    def key(self) -> str:
        """What changes the samples that are read, as text; empty if nothing is stated."""
        read = replace(self.entry, patient=None, skip=None)
        return "" if (read, self.options) == (Entry(), RecordingOptions()) else f"{read} {self.options}"

    def check(self, recording: Path) -> None:
        """Check that table and options agree.

        Raises:
            UsageError: They contradict each other.
        """
        entry, options = self.entry, self.options
        if not _alike(entry.fs_hz, options.fs_hz):
            raise _contradiction(
                recording, f"{entry.fs_hz:g} Hz", self.table, options.name("rate"), f"{options.fs_hz:g}"
            )
        if options.lsb_mv is not None and (entry.unit in {"mV", "uV"} or not _alike(entry.lsb_mv, options.lsb_mv)):
            said = f"unit = {entry.unit}" if entry.unit else f"lsb_mv = {entry.lsb_mv:g}"
            raise _contradiction(recording, said, self.table, options.name("scale"), f"{options.lsb_mv:g}")
        if entry.lead and options.lead and plain_name(entry.lead) != plain_name(options.lead):
            raise _contradiction(recording, f"lead {entry.lead}", self.table, options.name("lead"), options.lead)


def stated_files(files: Sequence[Path], root: Path, options: RecordingOptions) -> dict[Path, Stated]:
    """Return what is stated about each recording, without those that a table leaves out.

    The nearest ``recordings.toml`` applies: the one in the folder of the recording, or in the next folder above it, up
    to ``root``.

    Args:
        files: Recordings.
        root: The folder of ``--data``, or one recording.
        options: Options of the command.

    Raises:
        InputError: A table is invalid, one of its entries matches no file, or every recording is left out.
        UsageError: A table and an option contradict each other.
    """
    folder = root.parent if root.is_file() else root
    tables = _Tables(folder)
    found: dict[Path, Stated] = {}
    for path in files:
        table = tables.of(path.parent)
        if table is None:
            found[path] = Stated(options=options)
            continue
        entry = table.entry(path)
        if not entry.skip:
            found[path] = Stated(entry, options, str(table.path))
            found[path].check(path)
    if not root.is_file():
        tables.check_used()
    if files and not found:
        raise InputError(f"{TABLE} leaves out every recording of {root}", "remove skip = true from one of them")
    return found


class _Tables:
    """The tables of a folder and of the folders below it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._nearest: dict[Path, RecordingTable | None] = {}
        self._tables: list[RecordingTable] = []

    def of(self, folder: Path) -> RecordingTable | None:
        """Return the nearest table of a folder."""
        if folder not in self._nearest:
            self._nearest[folder] = self._find(folder)
        return self._nearest[folder]

    def _find(self, folder: Path) -> RecordingTable | None:
        path = folder / TABLE
        if path.is_file():
            table = read_table(path)
            self._tables.append(table)
            return table
        return None if folder == self._root or folder == folder.parent else self.of(folder.parent)

    def check_used(self) -> None:
        """Check that every entry of every table matches a file."""
        for table in self._tables:
            table.check_used()


def open_recording(path: Path, stated: Stated, block_s: float) -> ReplaySource:
    """Open a recording with what is stated about it.

    Args:
        path: A recording of any format but ``.aer``.
        stated: What table and options state.
        block_s: Length of the blocks, s.

    Returns:
        The recording; ``info.lead`` is the signal that was taken.

    Raises:
        InputError: The recording is broken, or lacks a fact that nobody states; the message says where to state it.
        UsageError: The recording contradicts what is stated.
        MissingExtraError: The format needs an extra.
    """
    try:
        reader = _opened(path, stated)
    except UnstatedError as error:
        raise advised(error, stated.options) from None
    return ReplaySource(str(path), reader, path.name, Playback(speed=math.inf, block_s=block_s))


def items_of(source: ReplaySource, options: RecordingOptions | None = None) -> Iterator[LinkItem]:
    """Yield the items of an open recording without pacing.

    Args:
        source: The recording.
        options: Options of the command, for the names in messages.

    Raises:
        InputError: The recording turns out to be broken.
    """
    try:
        for _, item in source.blocks():
            yield item
    except UnstatedError as error:
        raise advised(error, options or RecordingOptions()) from None


def advised(error: UnstatedError, options: RecordingOptions) -> InputError:
    """Return the error with what to do about it in a command that takes a folder of recordings."""
    key, option, value = _KEY[error.fact], options.name(error.fact), _VALUE[error.fact]
    if options.prefix is None:
        return InputError(error.what, f"set {key} in {TABLE} beside it")
    if error.fact == "lead":
        return InputError(error.what, f"{error.fix}; choose with {key} in {TABLE}, or {option} {value}")
    return InputError(error.what, f"set {key} in {TABLE} beside it, or give {option} {value}")


def check_rate_stated(path: Path, fs_hz: float, stated: Stated) -> None:
    """Check a sampling rate that a file states.

    Raises:
        UsageError: Table or option contradict it.
    """
    if stated.entry.fs_hz is not None and not _alike(fs_hz, stated.entry.fs_hz):
        raise _against_table(path, f"{fs_hz:.6g} Hz", stated, f"fs_hz = {stated.entry.fs_hz:g}")
    if not _alike(fs_hz, stated.options.fs_hz):
        raise _contradiction(path, f"{fs_hz:.6g} Hz", "", stated.options.name("rate"), f"{stated.options.fs_hz:g}")


def _opened(path: Path, stated: Stated) -> Reader:
    entry, options = stated.entry, stated.options
    channel = None if entry.channel is None else str(entry.channel)
    wanted = entry.lead or (options.lead if channel is None else None)
    base = ReadOptions(lead=wanted, column=channel)
    fs_hz = entry.fs_hz if entry.fs_hz is not None else options.fs_hz
    lsb_mv = entry.lsb_mv if entry.lsb_mv is not None else options.lsb_mv
    scale = ReadOptions(lsb_mv=lsb_mv, unit=None if lsb_mv is not None else entry.unit)
    reader, used = _first_that_opens(path, base, fs_hz, scale)
    if used.fs_hz is None:
        check_rate_stated(path, reader.signal.fs_hz, stated)
    if (scale.lsb_mv, scale.unit) == (None, None) or (used.lsb_mv, used.unit) != (None, None):
        return reader
    other = open_reader(path, replace(used, lsb_mv=scale.lsb_mv, unit=scale.unit))
    if reader.signal.unit == "counts" and reader.signal.lsb_mv is None:
        return other
    if not _same_scale(reader, other):
        if entry.lsb_mv is None and entry.unit is None:
            raise _contradiction(path, "another scale", "", options.name("scale"), f"{lsb_mv:g}")
        said = f"unit = {entry.unit}" if entry.unit else f"lsb_mv = {entry.lsb_mv:g}"
        raise _against_table(path, "another scale", stated, said)
    return reader


def _first_that_opens(
    path: Path, base: ReadOptions, fs_hz: float | None, scale: ReadOptions
) -> tuple[Reader, ReadOptions]:
    """Open a recording with as few stated facts as it needs, so that what the file states is known."""
    with_scale = replace(base, lsb_mv=scale.lsb_mv, unit=scale.unit)
    attempts = [base, replace(base, fs_hz=fs_hz), with_scale, replace(with_scale, fs_hz=fs_hz)]
    for options in attempts[:-1]:
        try:
            return open_reader(path, options), options
        except UnstatedError:
            continue
    return open_reader(path, attempts[-1]), attempts[-1]


def _same_scale(one: Reader, other: Reader) -> bool:
    """Return whether two readers give the same millivolts, up to their sign, in their first chunk."""
    sums = []
    for reader in (one, other):
        chunk = next(iter(reader.chunks()), None)
        scale = 1.0 if reader.signal.unit == "mV" else reader.signal.lsb_mv
        if scale is None:
            return False
        sums.append(0.0 if chunk is None else scale * float(np.abs(chunk.values.astype(np.float64)).sum()))
    return _alike(sums[0], sums[1])


def _alike(one: float | None, other: float | None) -> bool:
    return one is None or other is None or math.isclose(one, other, rel_tol=TOLERANCE)


def _contradiction(path: Path, said: str, table: str, option: str, value: str) -> UsageError:
    who = f"{table} states {said} for {path.name}" if table else f"{path} states {said}"
    fix = f"leave {option} out" if table else f"leave {option} out, and state it in {TABLE} for the files that need it"
    return UsageError(f"{who}, but {option} says {value}", fix)


def _against_table(path: Path, said: str, stated: Stated, entry: str) -> UsageError:
    return UsageError(f"{path} states {said}, but {stated.table} says {entry}", "correct the entry, or remove it")
