"""Pairs of windows from continuous recordings: the teacher's input and the student's input for the same ten seconds.

Both come from one pass of the device's own chain on a 500 Hz grid. :class:`edge.window.Windower` gives the raw samples
of each window of the filtered stream, so the two inputs are aligned to the sample. The raw signal is kept with 1.112 s
more at each end, the support of the ``stream/1`` filter. From it, the student's window can be computed again after a
disturbance was added to the raw signal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.datasets.described import (
    RecordingOptions,
    Stated,
    check_rate_stated,
    items_of,
    open_recording,
    stated_files,
)
from convert.datasets.mcmed import McMedDataset, Segment
from convert.datasets.mimic.dataset import ECG_S, LEADS, MimicDataset
from convert.datasets.mimic.layout import header_of, is_mimic, place_of
from convert.datasets.visit_data import is_mcmed
from convert.datasets.wfdb16 import read_header
from edge.chain import SignalChain
from edge.frontend.stream import FS_HZ, GROUP_DELAY_S, WINDOW_SAMPLES, StreamFilter
from edge.grid.timeline import Gap, Timeline, Uniform
from edge.sources.replay.base import plain_name
from edge.tensecond import REASONS, ShortRecording, WholeWindow
from edge.window import Window
from firmware_bridge.errors import InputError, UsageError
from firmware_bridge.samples import LinkItem, SampleBlock

GRID_HZ = 500
"""Sampling rate of the raw signal, which is the teacher's rate, Hz."""

DECIMATION = GRID_HZ // int(FS_HZ)
MARGIN = round(GROUP_DELAY_S * GRID_HZ)
"""Samples of context at each end of a window, as long as the delay of the filter."""

CONTEXT_SAMPLES = 2 * MARGIN + DECIMATION * WINDOW_SAMPLES
"""Number of raw samples that give exactly one window of the stream."""

BLOCK_S = 20.0
"""Length of the blocks that the chain gets, s. The results do not depend on it."""

SUFFIXES = (".hea", ".edf", ".bdf", ".csv", ".mat")
"""Suffixes of the files in a folder that count as recordings."""

Items = Callable[[], Iterator[LinkItem]]


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording.

    Attributes:
        name: Name, unique in the data set and independent of the folder.
        patient: Identifier of the patient. No patient is in two parts of a split.
        visit: CSN of the visit in the MC-MED layout; ``None`` elsewhere.
        size: Size of its files in bytes, or another number that differs for another recording of the same name.
        place: Path of the data folder. Error messages that are stored in a bundle omit it.
        items: Function that opens the recording.
        training_only: Whether it may only be used for training, because it is simulated or its patient is unknown.
        identity: Texts that :mod:`convert.teacher.patients` hashes as the patient, where the other fields do not
            identify the patient; see there.
        stated: What a table and options state about how to read it, as text for the keys of stored results.
    """

    name: str
    patient: str
    visit: int | None
    size: int
    place: str
    items: Items
    training_only: bool = False
    identity: tuple[str, ...] = ()
    stated: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RawWindow:
    """A window that the quality gate accepted.

    Attributes:
        start_s: Signal time of its first sample, s.
        context: Raw samples on the 500 Hz grid, ``(6112,)``, float64; the window itself begins at :data:`MARGIN`.
    """

    start_s: float
    context: NDArray[np.float64]

    @property
    def raw(self) -> NDArray[np.float64]:
        """Raw samples of the teacher's ten seconds, ``(5000,)``."""
        return self.context[MARGIN:-MARGIN]


def find_recordings(root: Path, options: RecordingOptions | None = None) -> list[Recording]:
    """Return all recordings under a folder, in an order that depends only on their names.

    Args:
        root: A folder in the MC-MED layout, one with MIMIC-IV-ECG (and MIMIC-IV) in it, or any folder with WFDB, EDF,
            CSV or MATLAB recordings.
        options: Options of the command about all recordings.

    Raises:
        InputError: The folder cannot be read, holds no recording, or its ``recordings.toml`` is invalid.
        UsageError: A table and an option contradict each other, or the folder needs no option.
    """
    if not root.is_dir():
        raise InputError(f"no data folder at {root}", "give a folder with recordings, or one in the MC-MED layout")
    # A worker of a cluster has another working directory.
    place = root.absolute()
    if is_mcmed(root):
        found = _mcmed(McMedDataset(place), options or RecordingOptions())
    elif is_mimic(root):
        found = _mimic(place, options or RecordingOptions())
    else:
        found = _folder(place, options or RecordingOptions())
    if not found:
        raise InputError(f"no usable recording in {root}", "give a folder with WFDB (.hea), EDF, CSV or MATLAB files")
    return found


def _mcmed(data: McMedDataset, options: RecordingOptions) -> list[Recording]:
    if options.lsb_mv is not None or plain_name(options.lead or "ii") != "ii":
        option = options.name("lead" if options.lsb_mv is None else "scale")
        raise UsageError(f"{data.root} has the MC-MED layout, which states scale and lead (II)", f"leave {option} out")
    out = []
    for visit in sorted(data.visits(), key=lambda v: v.csn):
        for number, path in data.headers(visit.csn):
            items: _SegmentItems | _BrokenItems
            size = 0
            try:
                segment = Segment(visit.csn, number, read_header(path))
                check_rate_stated(path, segment.header.fs_hz, Stated(options=options))
                items, size = _SegmentItems(segment), segment.header.n
            except InputError as error:
                # A damaged header is reported and skipped like a damaged signal; it must not stop the run.
                items = _BrokenItems(error.what, error.fix)
            name = f"{visit.csn}_{number}"
            out.append(Recording(name, str(visit.mrn), visit.csn, size, str(data.root), items))
    return out


def _mimic(root: Path, options: RecordingOptions) -> list[Recording]:
    if options.lsb_mv is not None:
        raise UsageError(f"{root} holds MIMIC-IV-ECG, which states its scale", f"leave {options.name('scale')} out")
    data = MimicDataset(place_of(root), leads_of(options.lead))
    out = []
    for visit in data.visits():
        for ecg in data.ecgs(visit.csn):
            for lead in data.leads:
                items = _EcgItems(str(data.root), ecg.path, lead, visit.csn, ecg.study, ecg.time)
                stated = "" if options.lead is None else f"lead {lead}"
                out.append(
                    Recording(
                        f"{ecg.path} {lead}", str(ecg.subject), visit.csn, ecg.study, str(root), items, stated=stated
                    )
                )
    return out


def leads_of(text: str | None) -> tuple[str, ...]:
    """Return the leads of a list such as ``I,II``; the default leads for ``None``."""
    return LEADS if text is None else tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _folder(root: Path, options: RecordingOptions) -> list[Recording]:
    try:
        files = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        bases = {p.with_suffix("") for p in files if p.suffix == ".hea"}
        files = [p for p in files if p.suffix == ".hea" or p.with_suffix("") not in bases]
        found: list[Recording] = []
        names: set[str] = set()
        for path, stated in stated_files(files, root, options).items():
            name = path.relative_to(root).with_suffix("").as_posix()
            if name in names:
                name += path.suffix
            names.add(name)
            size = sum(p.stat().st_size for p in path.parent.glob(f"{path.stem}.*"))
            patient = stated.entry.patient or name
            items = FileItems(path, stated)
            found.append(Recording(name, patient, None, size, str(root), items, stated=stated.key))
    except OSError as error:
        raise InputError(f"cannot list {root}: {error.strerror}") from error
    return found


def start_of(recording: Recording) -> datetime | None:
    """Return the time of the first sample of a recording of a visit, UTC; ``None`` where unknown."""
    items = recording.items
    if isinstance(items, _EcgItems):
        return items.time
    return items.segment.start if isinstance(items, _SegmentItems) else None


def seconds_of(recording: Recording) -> float:
    """Return the length of a recording of a visit, s; 0 where unknown."""
    items = recording.items
    if isinstance(items, _EcgItems):
        return ECG_S
    return items.segment.header.n / items.segment.header.fs_hz if isinstance(items, _SegmentItems) else 0.0


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
class _EcgItems:
    root: str
    path: str
    lead: str
    visit: int
    study: int
    time: datetime

    def __call__(self) -> Iterator[LinkItem]:
        header = read_header(header_of(Path(self.root), self.path))
        yield from _SegmentItems(Segment(self.visit, self.study, header, self.lead, self.time))()


@dataclass(frozen=True, slots=True)
class _BrokenItems:
    what: str
    fix: str

    def __call__(self) -> Iterator[LinkItem]:
        # A generator, so that the error is raised on reading, as for a damaged signal, and not on opening.
        yield from ()
        raise InputError(self.what, self.fix)


@dataclass(frozen=True, slots=True)
class FileItems:
    """The samples of a recording of any format but those of MC-MED and MIMIC-IV-ECG.

    Attributes:
        path: The recording.
        stated: What a table and options state about it.
    """

    path: Path
    stated: Stated

    def __call__(self) -> Iterator[LinkItem]:
        """Yield the blocks of the recording, as a source does."""
        yield from items_of(open_recording(self.path, self.stated, BLOCK_S), self.stated.options)


def windows_of(items: Iterator[LinkItem], hop_s: float) -> Iterator[RawWindow]:
    """Yield the windows of one recording as the device forms them: after warm-up, without gaps, of good quality.

    A recording that is too short for the device's chain gives one window, see ``edge.tensecond``.

    Args:
        items: Items of the recording.
        hop_s: Seconds between windows.

    Raises:
        InputError: The recording is damaged.
    """
    pairs = _Pairs(hop_s)
    yield from _windows(pairs, items)
    whole = pairs.short.finish()
    if isinstance(whole, WholeWindow):
        yield RawWindow(whole.window.start_s, whole.context)


def _windows(pairs: _Pairs, items: Iterator[LinkItem]) -> Iterator[RawWindow]:
    for item in items:
        yield from pairs.push(item)
    yield from pairs.finish()


class _Pairs:
    """The device's stages up to the quality gate, with the raw samples of the newest windows."""

    def __init__(self, hop_s: float) -> None:
        self.short = ShortRecording(GRID_HZ)
        self._timeline = Timeline(GRID_HZ)
        self._chain = SignalChain(GRID_HZ, hop_s)
        self._raw = np.empty(0, dtype=np.float64)
        self._raw_first = 0
        self._waiting: list[float] = []

    def push(self, item: LinkItem) -> Iterator[RawWindow]:
        for part in self._timeline.push(item):
            self.short.push(part)
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
            if isinstance(answer, Window):
                self.short.formed()
                if self._chain.assess(answer).reason is None:
                    self._waiting.append(answer.start_s)
        while self._waiting and len(context := self._context(self._waiting[0])) == CONTEXT_SAMPLES:
            yield RawWindow(self._waiting.pop(0), context)
        self._trim()

    def finish(self) -> Iterator[RawWindow]:
        """Yield the window at the end of the segment, whose context may lack up to three samples.

        The decimating filter does not use the last three samples before its next output, so their values do not
        matter.
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
    """Return at most ``most`` windows of a recording, spread evenly over it, in bounded memory.

    Whenever there are too many, every second window is dropped, and from then on only every second one is kept. A
    recording that is too short for the device's chain gives one window, see ``edge.tensecond``.

    Args:
        recording: The recording.
        hop_s: Seconds between the candidate windows.
        most: Largest number of windows.

    Returns:
        The windows in order of time, and the reason where there are none (else empty).

    Raises:
        UsageError: The recording contradicts what a table or an option states.
        MissingExtraError: The format of the recording needs an extra.
    """
    kept: list[RawWindow] = []
    stride, seen = 1, 0
    pairs = _Pairs(hop_s)
    try:
        for window in _windows(pairs, recording.items()):
            if seen % stride == 0:
                kept.append(window)
                if len(kept) > most:
                    kept, stride = kept[::2], stride * 2
            seen += 1
    except InputError as error:
        return [], str(error).replace(f"{recording.place}/", "")
    if kept:
        return kept, ""
    whole = pairs.short.finish()
    return (
        ([RawWindow(whole.window.start_s, whole.context)], "")
        if isinstance(whole, WholeWindow)
        else ([], REASONS[whole])
    )


def student_stream(context: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the student's filtered window before the z-score, ``(1250,)``, from raw context, ``(6112,)``."""
    return StreamFilter(GRID_HZ).push(context)
