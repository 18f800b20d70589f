"""The ECG of a session inside a page: a minute a piece, compressed, and a static strip for readers without scripts."""

from __future__ import annotations

import base64
import zlib
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sessions.ecg import Missing, Segment, read_ecg
from edge.sessions.folder import SessionFolder

VIEW_HZ = 125.0
"""Sampling rate in the page, about; neighbouring samples are averaged."""
STEP_MV = 0.005
"""Step in the page, mV."""
PIECE_S = 60.0
MAX_S = 86_400.0
"""Longest ECG in a page, s: about 13 MB. The newest is kept."""
STRIP_S = 10.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A minute of ECG.

    Attributes:
        start_unix_s: Time of its first sample, s.
        fs_hz: Sampling rate, Hz.
        n: Number of samples.
        step: Size of one step.
        data: Differences of int16 samples, little-endian, raw deflate, base64.
        beats_ms: R peaks, ms from the start.
    """

    start_unix_s: float
    fs_hz: float
    n: int
    step: float
    data: str
    beats_ms: tuple[int, ...]

    def as_list(self) -> list[object]:
        """Return what the script of the page reads."""
        return [round(self.start_unix_s, 3), round(self.fs_hz, 4), self.n, self.step, self.data, self.beats_ms]

    def samples(self) -> NDArray[np.float64]:
        """Return the samples."""
        raw = np.frombuffer(zlib.decompress(base64.b64decode(self.data), -15), "<i2")
        return np.asarray(np.cumsum(raw.astype(np.int64)).astype(np.int16) * self.step, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class EcgView:
    """The ECG of a session for its page.

    Attributes:
        pieces: The pieces, in order.
        gaps: The gaps in it.
        left_out_s: Length of older signal that is not in the page, s.
        unit: Unit of the samples.
    """

    pieces: tuple[Piece, ...]
    gaps: tuple[Missing, ...]
    left_out_s: float
    unit: str

    def strip(self, unix_s: float) -> tuple[float, float, NDArray[np.float64]] | None:
        """Return start, sampling rate and samples of the ten seconds that end nearest to a time."""
        best = min(self.pieces, key=lambda p: abs(p.start_unix_s + p.n / p.fs_hz / 2 - unix_s), default=None)
        if best is None:
            return None
        n = round(STRIP_S * best.fs_hz)
        stop = min(max(round((unix_s - best.start_unix_s) * best.fs_hz), n), best.n)
        first = max(0, stop - n)
        return best.start_unix_s + first / best.fs_hz, best.fs_hz, best.samples()[first:stop]


def view_ecg(session: SessionFolder, spool: Path) -> EcgView:
    """Read the ECG of a session.

    Args:
        session: The session.
        spool: Folder for temporary files.

    Raises:
        InputError: There is no raw recording, or one cannot be read.
    """
    starts = {run.number: run.start_unix_s for run in session.runs}
    beats = sorted((run, t_s) for run, t_s, _rr_s in session.beats())
    pieces: deque[Piece] = deque()
    gaps: deque[Missing] = deque(maxlen=10_000)
    held_s = left_out_s = 0.0
    unit = "mV"
    for part in read_ecg(session, spool):
        if isinstance(part, Missing):
            gaps.append(part)
            continue
        unit = part.unit
        for piece in _pieces(part, starts[part.run], beats):
            pieces.append(piece)
            held_s += piece.n / piece.fs_hz
            while held_s > MAX_S:
                old = pieces.popleft()
                held_s -= old.n / old.fs_hz
                left_out_s += old.n / old.fs_hz
    return EcgView(tuple(pieces), tuple(gaps), left_out_s, unit)


def _pieces(segment: Segment, run_start_unix_s: float, beats: list[tuple[int, float]]) -> Iterator[Piece]:
    every = max(1, round(segment.fs_hz / VIEW_HZ))
    fs_hz = segment.fs_hz / every
    size = round(PIECE_S * fs_hz) * every
    for at in range(0, len(segment.samples) // every * every, size):
        values = np.asarray(segment.samples[at : at + size])
        values = values[: len(values) // every * every].reshape(-1, every).mean(axis=1)
        top = float(np.abs(values).max(initial=0.0))
        step = max(STEP_MV if segment.unit == "mV" else 1.0, top / 32_000)
        steps = np.rint(values / step).astype("<i2")
        # Differences may leave the range of int16 and come back by the same overflow when they are added.
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = packer.compress(np.diff(steps, prepend=np.int16(0)).astype("<i2").tobytes()) + packer.flush()
        start_s = float(segment.times_s(at, at + 1)[0])
        end_s = start_s + len(values) / fs_hz
        first, stop = (find(beats, (segment.run, t)) for find, t in ((bisect_left, start_s), (bisect_right, end_s)))
        marks = tuple(round((t_s - start_s) * 1000) for _run, t_s in beats[first:stop])
        text = base64.b64encode(data).decode("ascii")
        yield Piece(run_start_unix_s + start_s, fs_hz, len(values), step, text, marks)
