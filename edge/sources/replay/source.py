"""``replay:PATH``: a recording, replayed as if it came from a device.

The content of the file selects the reader, not only its name. Every reader gives chunks of any size; here they become
blocks of ``block_s`` with a count of missing samples, so that later stages see the same as from a live source.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.sources import Source, SourceInfo, SourceUrl
from edge.sources.replay.base import (
    MAX_LSB_MV,
    MIN_LSB_MV,
    READER_FAULTS,
    Reader,
    ReadOptions,
    check_file,
    first_line,
)
from edge.sources.replay.blocks import Blocker, Timed, paced
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.rawlog import SUFFIX, is_rawlog
from firmware_bridge.reading import open_regular
from firmware_bridge.samples import MAX_FS_HZ, MIN_FS_HZ, LinkEvent, LinkEventKind, LinkItem

KEYS = ("fs", "lead", "column", "lsb_mv", "unit", "speed", "start", "seconds", "block_s")
"""Keys of the query of a replay URL."""

UNITS = {"mv": "mV", "uv": "uV", "counts": "counts"}

DEFAULT_BLOCK_S = 0.2
"""Default length of a block, s: about one frame of a patch."""


def open_replay(url: SourceUrl) -> Source:
    """Return the source for a recording.

    Raises:
        UsageError: A key or value of the URL is invalid.
        InputError: The recording cannot be read; the message says why.
        MissingExtraError: Its format needs the ``replay`` extra.
    """
    if not url.path:
        raise UsageError("replay: names no recording", "write replay:PATH")
    path = Path(url.path).expanduser()
    if path.suffix == SUFFIX or is_rawlog(path):
        from edge.sources.replay.raw import open_raw

        return open_raw(url, path)
    url.only(*KEYS)
    playback = Playback.parse(url)
    return ReplaySource(url.text, open_reader(path, read_options(url)), path.name, playback)


@dataclass(frozen=True, slots=True)
class Playback:
    """The part of a recording to replay, and the speed.

    Attributes:
        speed: Factor of real time; infinity for no waiting.
        start_s: Start in the recording, s.
        seconds: Length, s; infinity for all.
        block_s: Length of a block, s.
    """

    speed: float = 1.0
    start_s: float = 0.0
    seconds: float = math.inf
    block_s: float = DEFAULT_BLOCK_S

    @classmethod
    def parse(cls, url: SourceUrl) -> Playback:
        """Read the playback from a URL.

        Raises:
            UsageError: A value is invalid.
        """
        return cls(
            speed=url.speed(1.0),
            start_s=url.number("start", 0.0, 0.0, 1e9),
            seconds=url.number("seconds", math.inf, 1e-3, 1e9),
            block_s=url.number("block_s", DEFAULT_BLOCK_S, 0.001, 60.0),
        )


def read_options(url: SourceUrl) -> ReadOptions:
    """Return what a URL says about the recording.

    Raises:
        UsageError: A value is invalid.
    """
    unit = url.params.get("unit")
    if unit is not None and unit.lower() not in UNITS:
        raise UsageError(f"unit={unit!r} in {url.text!r} is unknown", "use mV, uV or counts")
    fs_hz = url.number("fs", math.nan, MIN_FS_HZ, MAX_FS_HZ)
    lsb_mv = url.number("lsb_mv", math.nan, MIN_LSB_MV, MAX_LSB_MV)
    if unit is not None and unit.lower() != "counts" and lsb_mv == lsb_mv:
        raise UsageError(f"unit={unit} and lsb_mv= contradict each other in {url.text!r}", "give one of them")
    return ReadOptions(
        lead=url.params.get("lead"),
        column=url.params.get("column"),
        fs_hz=None if math.isnan(fs_hz) else fs_hz,
        lsb_mv=None if math.isnan(lsb_mv) else lsb_mv,
        unit=None if unit is None else UNITS[unit.lower()],
    )


def open_reader(path: Path, options: ReadOptions) -> Reader:
    """Return the reader for the format of ``path``.

    Raises:
        InputError: The file is not a recording that can be replayed.
        MissingExtraError: Its format needs the ``replay`` extra.
    """
    try:
        return _reader(path, options)
    except READER_FAULTS as error:
        raise InputError(f"{path} has a damaged header: {first_line(error)}", "download it again") from None


def _reader(path: Path, options: ReadOptions) -> Reader:
    base = _wfdb_base(path)
    if base is not None:
        from edge.sources.replay.binary.wfdb_record import WfdbReader

        return WfdbReader(base, options)
    if path.suffix == ".dat":
        raise InputError(f"{path} has no header file {path.with_suffix('.hea').name} in its folder", "download it too")
    size = check_file(path)
    head = _head(path)
    from edge.sources.replay.binary.edf_header import is_edf

    if is_edf(head) or path.suffix.lower() in {".edf", ".bdf"}:
        from edge.sources.replay.binary.edf import EdfReader

        return EdfReader(path, options)
    from edge.sources.replay.binary.mat import MatReader, is_mat

    if path.suffix.lower() == ".mat" or is_mat(head, size):
        return MatReader(path, options)
    from edge.sources.replay.csv_text import CsvReader

    return CsvReader(path, options)


def _wfdb_base(path: Path) -> Path | None:
    """Return the record that ``path`` names, as ``100``, ``100.hea`` or ``100.dat``."""
    try:
        if path.suffix in {".hea", ".dat", ".mat"} and path.with_suffix(".hea").is_file():
            return path.with_suffix("")
        if path.name and not path.exists() and path.with_name(path.name + ".hea").is_file():
            return path
    except (OSError, ValueError):
        return None
    return None


_HEAD_BYTES = 256
"""Bytes at the beginning of a file that tell its format."""


def _head(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return b""


class ReplaySource:
    """A recording as a `Source`.

    Args:
        url: The URL as the user wrote it.
        reader: The reader of the recording.
        device: Name of the recording.
        playback: Part to replay, and speed.
    """

    def __init__(self, url: str, reader: Reader, device: str, playback: Playback) -> None:
        self._reader = reader
        self._playback = playback
        signal = reader.signal
        start_ns = signal.start_unix_ns
        self.info = SourceInfo(
            url=url,
            device=device,
            live=False,
            host_clock=False,
            fs_hz=signal.fs_hz,
            start_unix_ns=None if start_ns is None else start_ns + round(playback.start_s * 1e9),
            leads=signal.leads,
            lead=signal.lead,
            notes=signal.notes,
            decided=signal.decided,
        )

    def blocks(self) -> Iterator[Timed]:
        """Yield due time, seconds of signal, and block or event."""
        play = self._playback
        blocker = Blocker(self._reader.signal, play.block_s, play.start_s, play.seconds)
        for chunk in self._reader.chunks():
            yield from blocker.push(chunk)
            if blocker.full:
                break
        yield from blocker.finish()
        if not blocker.any_sample:
            raise InputError(
                f"{self.info.device} holds no sample of {self._reader.signal.lead}",
                "check start= in the URL" if self._playback.start_s else "check the recording, or choose another lead",
            )

    async def items(self) -> AsyncIterator[LinkItem]:
        """Yield all items in order, at the chosen speed, then END."""
        async for item in paced(self._with_ends(), self._playback.speed):
            yield item

    async def close(self) -> None:
        """Do nothing: no file stays open between two reads."""

    def _with_ends(self) -> Iterator[Timed]:
        yield 0.0, LinkEvent(LinkEventKind.CONNECTED, 0, f"replaying {self.info.device}, {self.info.lead}")
        due_s = 0.0
        for due_s, item in self.blocks():
            yield due_s, item
        yield due_s, LinkEvent(LinkEventKind.END, round(due_s * 1e9), f"{self.info.device} ends")
