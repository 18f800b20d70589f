"""The ECG of a session, decoded again from its raw recordings: gap-free segments and the gaps between them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from edge.grid.native import Native
from edge.grid.room import GapRoom
from edge.grid.timeline import Gap, Timeline, TimelineItem
from edge.sessions.folder import SessionFolder
from edge.sources import SourceUrl
from edge.sources.replay.raw import RawReplaySource, open_raw
from firmware_bridge.errors import InputError
from firmware_bridge.rawlog import RawLogReader
from firmware_bridge.samples import LinkEvent

GRID_HZ = 250
"""Grid of the timeline, Hz; only its gaps and the samples of the device are used."""
GATHER_S = 10
"""Signal that the timeline takes together, s, which is faster; nobody waits for it."""
MAX_SEGMENT_S = 86_400.0
"""Longest segment, s; a longer gap-free run is cut, so that memory and files stay bounded."""
JOIN_S = 1e-3
"""Gaps of the same kind that are closer than this are one, s."""
_NEVER_DUE = 1 << 40

F64 = NDArray[np.float64]
Unit = Literal["mV", "counts"]


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A gap-free piece of ECG, as the device sent it.

    Attributes:
        run: Number of the run, from 1.
        number: Number of the segment in the session, from 1.
        start_s: Signal time of the first sample, s.
        end_s: Signal time just after the last sample, s.
        nominal_hz: Nominal sampling rate, Hz.
        unit: Unit of the samples: ``counts`` if the scale of the device is unknown.
        step: Step of the converter in this unit; 0 if unknown.
        samples: Shape ``(n,)``; in a file rather than in memory, if the reader was given a folder for it.
        ends: Samples before the end of each piece that arrived together.
        ends_s: Signal time of these ends, s.
    """

    run: int
    number: int
    start_s: float
    end_s: float
    nominal_hz: float
    unit: Unit
    step: float
    samples: F64
    ends: NDArray[np.intp]
    ends_s: F64

    @property
    def fs_hz(self) -> float:
        """Mean sampling rate by the clock of the session, Hz; see `mean_hz`."""
        return mean_hz(len(self.samples), self.end_s - self.start_s, self.nominal_hz)

    def times_s(self, first: int, stop: int) -> F64:
        """Return the signal times of some samples, s."""
        known = np.concatenate([[0], self.ends])
        at_s = np.concatenate([[self.start_s], self.ends_s])
        return np.asarray(np.interp(np.arange(first, stop), known, at_s))

    def index_of(self, t_s: float) -> int:
        """Return the number of the sample nearest to a signal time, within the segment."""
        known = np.concatenate([[0], self.ends])
        at_s = np.concatenate([[self.start_s], self.ends_s])
        return int(min(max(round(float(np.interp(t_s, at_s, known))), 0), len(self.samples) - 1))


@dataclass(frozen=True, slots=True)
class Missing:
    """Missing or unusable signal.

    Attributes:
        run: Number of the run, from 1.
        start_s: Signal time of its start, s.
        end_s: Signal time of its end, s.
        reason: ``gap`` or ``lead_off``.
    """

    run: int
    start_s: float
    end_s: float
    reason: str

    def follows_on(self, earlier: Missing) -> bool:
        """Return whether this continues another one: lead-off arrives block by block."""
        return self.reason == earlier.reason and self.start_s - earlier.end_s < JOIN_S


def mean_hz(samples: int, length_s: float, nominal_hz: float) -> float:
    """Return the mean sampling rate, Hz: the nominal one, if it agrees with the clock to half a sample."""
    if abs(samples - length_s * nominal_hz) <= 0.5:
        return nominal_hz
    return samples / length_s


def read_ecg(session: SessionFolder, spool: Path | None = None) -> Iterator[Segment | Missing]:
    """Decode the raw recordings of a session and yield segments and gaps in order.

    Args:
        session: The session.
        spool: Folder for the samples of one segment at a time; ``None`` keeps them in memory.

    Raises:
        InputError: There is no raw recording, or one cannot be read.
    """
    number = 0
    for run, source in run_sources(session):
        held: Missing | None = None
        for part in _Run(run, number, spool, session.note).read(source):
            if isinstance(part, Missing) and held is not None and part.follows_on(held):
                held = replace(held, end_s=part.end_s)
                continue
            if held is not None:
                yield held
                held = None
            if isinstance(part, Missing):
                held = part
                continue
            number += 1
            yield part
        if held is not None:
            yield held


def run_sources(session: SessionFolder) -> Iterator[tuple[int, RawReplaySource]]:
    """Yield the number of each recorded run, and its recording.

    Raises:
        InputError: There is no raw recording, or one cannot be read.
    """
    files = session.raw_files()
    if not files:
        fix = "record with 'anyecg run --session-dir DIR --record'"
        raise InputError(f"{session.path} holds no raw recording, so no ECG", fix)
    read: set[str] = set()
    for path in files:
        name = RawLogReader(path).header.session
        # Further files of a run are parts, which the reader of the first file reads, too.
        if name not in read and name in session.names:
            read.add(name)
            url = SourceUrl(f"replay:{path}", "replay", str(path), str(path))
            yield session.names.index(name) + 1, open_raw(url, path)


def room_of(source: RawReplaySource) -> GapRoom | None:
    """Return the limit of gaps that the run itself had: the time of the host, where arrival times are real."""
    return GapRoom() if source.info.arrival_timed else None


@dataclass(slots=True)
class _Open:
    """A segment that is being written."""

    start_s: float
    unit: Unit
    nominal_hz: float
    step: float
    file: BinaryIO
    path: Path | None
    n: int = 0
    ends: list[int] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)


class _Run:
    """Decodes one run."""

    def __init__(self, run: int, number: int, spool: Path | None, note: Callable[[str], None]) -> None:
        self._run, self._number, self._spool, self._note = run, number, spool, note
        self._open: _Open | None = None

    def read(self, source: RawReplaySource) -> Iterator[Segment | Missing]:
        timeline = Timeline(GRID_HZ, GATHER_S * GRID_HZ, room_of(source))
        try:
            for _due_s, item in source.timed():
                if item is None:
                    continue
                if isinstance(item, LinkEvent) and "decided" in item.data:
                    self._note(item.detail)
                timeline.due = _NEVER_DUE
                for part in timeline.push(item):
                    yield from self._take(part)
            for part in timeline.flush():
                yield from self._take(part)
            yield from self._end()
        finally:
            if self._open is not None:
                self._open.file.close()

    def _take(self, part: TimelineItem) -> Iterator[Segment | Missing]:
        if isinstance(part, Gap):
            yield from self._end()
            if part.end_s - part.start_s >= JOIN_S:  # shorter ones are the clock's
                yield Missing(self._run, part.start_s, part.end_s, part.reason)
            return
        if part.first:
            yield from self._end()
        unit: Unit = "mV" if part.scale_known else "counts"
        for native in part.native:
            if self._open is not None and native.end_s - self._open.start_s > MAX_SEGMENT_S:
                yield from self._end()
            self._write(native, unit)

    def _write(self, native: Native, unit: Unit) -> None:
        n = len(native.samples)
        if not n:
            return
        if self._open is None:
            self._number += 1
            path = None if self._spool is None else self._spool / f".segment-{self._number}.f64"
            file = io.BytesIO() if path is None else path.open("wb")
            start_s = native.end_s - n / native.fs_hz
            self._open = _Open(start_s, unit, native.fs_hz, native.step, file, path)
        self._open.file.write(native.samples.astype("<f8").tobytes())
        self._open.n += n
        self._open.ends.append(self._open.n)
        self._open.ends_s.append(native.end_s)

    def _end(self) -> Iterator[Segment]:
        done, self._open = self._open, None
        if done is None:
            return
        yield Segment(
            self._run, self._number, done.start_s, done.ends_s[-1], done.nominal_hz, done.unit, done.step,
            _samples(done), np.array(done.ends, dtype=np.intp), np.array(done.ends_s),
        )  # fmt: skip


def _samples(done: _Open) -> F64:
    if isinstance(done.file, io.BytesIO):
        return np.frombuffer(done.file.getbuffer(), dtype="<f8")
    assert done.path is not None
    done.file.close()
    samples = np.memmap(done.path, dtype="<f8", mode="r", shape=(done.n,))
    done.path.unlink()  # the mapping keeps the file until the caller lets go of it
    return samples
