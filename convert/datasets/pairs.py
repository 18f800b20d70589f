"""Raw continuous recordings into pairs: what the teacher reads and what the student reads of the same ten seconds.

Both come from one pass of the device's own chain on a 500 Hz grid: :class:`edge.window.Windower` says which raw
samples belong to a window of the filtered stream, so the two are aligned to the sample. The raw signal is kept with
1.112 s more at each end, the support of the ``stream/1`` filter: from it the student's window can be made again after
something was added to the raw signal, as a patch would have seen it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.datasets.mcmed import McMedDataset, Segment
from convert.datasets.wfdb16 import read_header
from edge.chain import SignalChain
from edge.frontend.stream import FS_HZ, GROUP_DELAY_S, WINDOW_SAMPLES, StreamFilter
from edge.grid.timeline import Gap, Timeline, Uniform
from edge.sources.replay.base import ReadOptions
from edge.sources.replay.source import Playback, ReplaySource, open_reader
from edge.window import Window
from firmware_bridge.errors import AnyEcgError, InputError
from firmware_bridge.samples import LinkItem, SampleBlock

GRID_HZ = 500
"""Rate of the raw signal: the teacher's."""

DECIMATION = GRID_HZ // int(FS_HZ)
MARGIN = round(GROUP_DELAY_S * GRID_HZ)
"""Samples of context at each end of a window: the filter's delay."""

CONTEXT_SAMPLES = 2 * MARGIN + DECIMATION * WINDOW_SAMPLES
"""Raw samples from which exactly one window of the stream can be made."""

BLOCK_S = 20.0
"""Length of the blocks handed to the chain; its results do not depend on it."""

SUFFIXES = (".hea", ".edf", ".bdf", ".csv", ".mat")
"""What is taken for a recording in a folder."""

Items = Callable[[], Iterator[LinkItem]]


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording.

    Attributes:
        name: Unique in the data set and independent of where it lies.
        patient: Whose it is; no patient is in two parts of a split.
        visit: The visit's CSN in the MC-MED layout, ``None`` elsewhere.
        size: Bytes of its files, or any other number that tells another recording of the same name.
        place: The data folder; complaints that end up in a bundle leave it out.
        items: Opens it.
        training_only: It may not judge or calibrate: nobody's heart, or nobody knows whose.
        identity: What :mod:`convert.teacher.patients` hashes of whose it is, where name and visit no longer say it.
    """

    name: str
    patient: str
    visit: int | None
    size: int
    place: str
    items: Items
    training_only: bool = False
    identity: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RawWindow:
    """A window that the quality gate let pass.

    Attributes:
        start_s: Signal time of its first sample.
        context: Raw samples on the 500 Hz grid, ``(6112,)``, float64; the window itself begins at :data:`MARGIN`.
    """

    start_s: float
    context: NDArray[np.float64]

    @property
    def raw(self) -> NDArray[np.float64]:
        """The teacher's ten seconds, ``(5000,)``."""
        return self.context[MARGIN:-MARGIN]


def find_recordings(root: Path, fs_hz: float | None = None) -> list[Recording]:
    """Every recording under a folder, in an order that depends on names alone.

    Args:
        root: A folder in the MC-MED layout, or any folder with WFDB, EDF, CSV or MATLAB recordings.
        fs_hz: Sampling rate of CSV and MATLAB files, which may not say it.

    Raises:
        InputError: There is none, or the folder cannot be read.
    """
    if not root.is_dir():
        raise InputError(f"no data folder at {root}", "give a folder with recordings, or one in the MC-MED layout")
    # A worker of a cluster stands in another folder.
    place = root.absolute()
    if (root / "visits.csv").is_file() or (root / "data" / "visits.csv").is_file():
        found = _mcmed(McMedDataset(place))
    else:
        found = _folder(place, fs_hz)
    if not found:
        raise InputError(f"no usable recording in {root}", "WFDB (.hea), EDF, CSV and MATLAB files are read")
    return found


def _mcmed(data: McMedDataset) -> list[Recording]:
    out = []
    for visit in sorted(data.visits(), key=lambda v: v.csn):
        for number, path in data.headers(visit.csn):
            items: _SegmentItems | _BrokenItems
            size = 0
            try:
                segment = Segment(visit.csn, number, read_header(path))
                items, size = _SegmentItems(segment), segment.header.n
            except InputError as error:
                # One damaged header among thousands is left out and named, as a damaged signal is.
                items = _BrokenItems(error.what, error.fix)
            name = f"{visit.csn}_{number}"
            out.append(Recording(name, str(visit.mrn), visit.csn, size, str(data.root), items))
    return out


def _folder(root: Path, fs_hz: float | None) -> list[Recording]:
    try:
        files = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        bases = {p.with_suffix("") for p in files if p.suffix == ".hea"}
        found: list[Recording] = []
        for path in files:
            if path.suffix != ".hea" and path.with_suffix("") in bases:
                continue
            name = path.relative_to(root).with_suffix("").as_posix()
            if any(r.name == name for r in found):
                name += path.suffix
            size = sum(p.stat().st_size for p in path.parent.glob(f"{path.stem}.*"))
            rate = fs_hz if path.suffix.lower() in {".csv", ".mat"} else None
            found.append(Recording(name, name, None, size, str(root), _FileItems(path, rate)))
    except OSError as error:
        raise InputError(f"cannot list {root}: {error.strerror}") from error
    return found


def start_of(recording: Recording) -> datetime | None:
    """Time of the first sample of a recording in the MC-MED layout, UTC; ``None`` elsewhere or where unknown."""
    items = recording.items
    return items.segment.start if isinstance(items, _SegmentItems) else None


@dataclass(frozen=True, slots=True)
class _SegmentItems:
    segment: Segment

    def __call__(self) -> Iterator[LinkItem]:
        samples = self.segment.read()
        fs_hz = self.segment.header.fs_hz
        step = max(1, round(BLOCK_S * fs_hz))
        for i in range(0, len(samples), step):
            part = samples[i : i + step]
            yield SampleBlock(
                samples=part, unit="mV", lsb_mv=None, fs_hz=fs_hz, device_time_ns=None,
                arrival_ns=round((i + len(part)) / fs_hz * 1e9),
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _BrokenItems:
    what: str
    fix: str

    def __call__(self) -> Iterator[LinkItem]:
        # A generator, so that it complains where a damaged signal does: when it is read, not when it is opened.
        yield from ()
        raise InputError(self.what, self.fix)


@dataclass(frozen=True, slots=True)
class _FileItems:
    path: Path
    fs_hz: float | None

    def __call__(self) -> Iterator[LinkItem]:
        reader = open_reader(self.path, ReadOptions(fs_hz=self.fs_hz))
        source = ReplaySource(str(self.path), reader, self.path.name, Playback(speed=math.inf, block_s=BLOCK_S))
        for _, item in source.blocks():
            yield item


def windows_of(items: Iterator[LinkItem], hop_s: float) -> Iterator[RawWindow]:
    """Windows of one recording as the device forms them: after warm-up, none across a gap, none of poor signal.

    Args:
        items: The recording.
        hop_s: Seconds between windows.

    Raises:
        InputError: The recording turns out to be broken.
    """
    pairs = _Pairs(hop_s)
    for item in items:
        yield from pairs.push(item)
    yield from pairs.finish()


class _Pairs:
    """The device's stages up to the quality gate, and the raw samples behind the newest windows."""

    def __init__(self, hop_s: float) -> None:
        self._timeline = Timeline(GRID_HZ)
        self._chain = SignalChain(GRID_HZ, hop_s)
        self._raw = np.empty(0, dtype=np.float64)
        self._raw_first = 0
        self._waiting: list[float] = []

    def push(self, item: LinkItem) -> Iterator[RawWindow]:
        for part in self._timeline.push(item):
            if isinstance(part, Gap):
                yield from self.finish()
                self._chain.gap(part)
            else:
                yield from self._uniform(part)

    def _uniform(self, part: Uniform) -> Iterator[RawWindow]:
        if part.first:
            yield from self.finish()
            self._raw, self._raw_first = np.empty(0, dtype=np.float64), 0
        self._raw = np.concatenate((self._raw, part.samples))
        for answer in self._chain.push(part):
            if isinstance(answer, Window) and self._chain.assess(answer).reason is None:
                self._waiting.append(answer.start_s)
        while self._waiting and len(context := self._context(self._waiting[0])) == CONTEXT_SAMPLES:
            yield RawWindow(self._waiting.pop(0), context)
        self._trim()

    def finish(self) -> Iterator[RawWindow]:
        """The window that ends with its segment, where up to three samples of its context never come.

        The decimating filter is through four samples before its next output, so neither reader looks at them.
        """
        for start_s in self._waiting:
            context = self._context(start_s)
            yield RawWindow(start_s, np.pad(context, (0, CONTEXT_SAMPLES - len(context)), mode="edge"))
        self._waiting.clear()

    def _context(self, start_s: float) -> NDArray[np.float64]:
        first = DECIMATION * round((start_s - self._chain.zero_s) * FS_HZ) - self._raw_first
        return self._raw[first : first + CONTEXT_SAMPLES].copy()

    def _trim(self) -> None:
        keep_from = DECIMATION * max(0, self._chain.count - WINDOW_SAMPLES) - self._raw_first
        if keep_from > 0:
            self._raw = self._raw[keep_from:]
            self._raw_first += keep_from


def chosen_windows(recording: Recording, hop_s: float, most: int) -> tuple[list[RawWindow], str]:
    """At most ``most`` windows of a recording, spread evenly over it, in bounded memory.

    Every other window is dropped whenever there are too many, and from then on every other one is taken.

    Args:
        recording: The recording.
        hop_s: Seconds between the windows to choose from.
        most: How many are kept.

    Returns:
        The windows in order of time, and why there is none (empty where there are some).
    """
    kept: list[RawWindow] = []
    stride, seen = 1, 0
    try:
        for window in windows_of(recording.items(), hop_s):
            if seen % stride == 0:
                kept.append(window)
                if len(kept) > most:
                    kept, stride = kept[::2], stride * 2
            seen += 1
    except AnyEcgError as error:
        if not isinstance(error, InputError):
            raise
        return [], error.what.replace(f"{recording.place}/", "")
    return kept, "" if kept else "no ten seconds of good signal in it"


def student_stream(context: NDArray[np.float64]) -> NDArray[np.float64]:
    """The student's filtered window from raw context, ``(6112,)`` to ``(1250,)``, before the z-score."""
    return StreamFilter(GRID_HZ).push(context)
