"""The start times of data records in EDF+ and BDF+, and the gaps between them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.replay.binary.edf_header import EdfHeader
from firmware_bridge.errors import InputError
from firmware_bridge.reading import open_regular

_ONSET = re.compile(rb"[+-]?[0-9]{1,20}(?:[.,][0-9]*)?")
_ONSET_BYTES = 64
"""Most bytes of an onset."""

MAX_ONSETS = 1 << 24
"""Most data records with onsets: 19 days with records of 0.1 s."""

JITTER_S = 0.02
"""Most that onsets may be early, s, without being an overlap: recorders round onsets to a tick of their clock."""


@dataclass(frozen=True, slots=True)
class Run:
    """Data records without a gap between them.

    Attributes:
        first: The first record.
        stop: One past the last record.
        lost: Samples missing before the first record.
        restarted: Whether the clock goes back before the first record.
    """

    first: int
    stop: int
    lost: int = 0
    restarted: bool = False


def read_onsets(path: Path, header: EdfHeader) -> NDArray[np.float64] | None:
    """Return the onset of every data record, s, shape ``(records,)``; ``None`` for EDF and BDF.

    In a file that says it is continuous (EDF+C), onsets count only if all of them are there.

    Raises:
        InputError: A record of a discontinuous file (EDF+D) has no onset.
    """
    where = header.annotations
    if not header.plus or header.records > MAX_ONSETS:
        return None
    onsets = np.full(header.records, np.nan)
    if where is not None:
        size = min(_ONSET_BYTES, where.samples * header.width)
        with open_regular(path) as file:
            for record in range(header.records):
                file.seek(header.data_start + record * header.record_bytes + where.offset)
                onsets[record] = _onset(file.read(size))
                if math.isnan(onsets[record]):
                    break
    bad = np.flatnonzero(np.isnan(onsets))
    if not len(bad):
        return onsets
    if header.plus == "C":
        return None
    raise InputError(f"{path} has gaps (EDF+D), and data record {bad[0] + 1} has no start time", "export it as EDF+C")


def _onset(raw: bytes) -> float:
    text = raw.split(b"\x14", 1)[0].split(b"\x15", 1)[0]
    if b"\x14" not in raw or _ONSET.fullmatch(text) is None:
        return math.nan
    onset = float(text.replace(b",", b"."))
    return onset if abs(onset) < _ONSET_MAX_S else math.nan


_ONSET_MAX_S = 1e10
"""Onset in 300 years: beyond it, a clock is broken and a double no longer holds the time of a sample."""


def runs_of(header: EdfHeader, onsets: NDArray[np.float64] | None, fs_hz: float) -> tuple[list[Run], tuple[str, ...]]:
    """Return the runs of data records without a gap, and notes about gaps and onsets that contradict the header.

    What a record begins too late is carried until it makes a sample, so that many small delays count in full.

    Args:
        header: The header.
        onsets: Onset of every data record, s, shape ``(records,)``.
        fs_hz: Samples of the signal per second of a data record.
    """
    whole = [Run(0, header.records)]
    if onsets is None:
        return whole, ()
    late = (np.diff(onsets) - header.record_s) * fs_hz
    if header.plus == "C" and np.any(late < -max(1.0, JITTER_S * fs_hz)):
        return whole, ("the start times of the data records contradict each other and are ignored (EDF+C)",)
    runs, first = [], Run(0, header.records)
    for record, lost, restarted in _breaks(late, np.diff(onsets), fs_hz):
        runs.append(Run(first.first, record, first.lost, first.restarted))
        first = Run(record, header.records, lost, restarted)
    runs.append(first)
    return runs, _notes(header, late, np.diff(onsets), fs_hz, runs)


def _breaks(late: NDArray[np.float64], steps: NDArray[np.float64], fs_hz: float) -> Iterator[tuple[int, int, bool]]:
    """Yield each record before which samples are missing or the clock goes back."""
    carried = 0.0
    tolerance = max(1.0, JITTER_S * fs_hz)
    for i in range(len(late)):
        if steps[i] < 0:
            carried = 0.0
            yield i + 1, 0, True
            continue
        carried += float(late[i])
        lost = math.floor(carried + 0.5)
        if lost > 0:
            carried -= lost
            yield i + 1, lost, False
        elif carried < -tolerance:
            carried = 0.0


def _notes(
    header: EdfHeader, late: NDArray[np.float64], steps: NDArray[np.float64], fs_hz: float, runs: list[Run]
) -> tuple[str, ...]:
    notes = []
    back = np.flatnonzero(steps < 0)
    if len(back):
        notes.append(
            f"the start times of data records go back {len(back)} times, first by {-steps[back[0]]:.4g} s before "
            f"record {back[0] + 2}; a new segment begins there"
        )
    overlaps = np.flatnonzero((steps >= 0) & (late <= -1.0))
    if len(overlaps):
        first = overlaps[0]
        notes.append(
            f"{len(overlaps)} data records overlap the one before, first record {first + 2} "
            f"by {-late[first] / fs_hz:.4g} s; all samples are replayed"
        )
    lost = sum(run.lost for run in runs)
    if lost and header.plus == "C":
        notes.append(f"a file marked as continuous (EDF+C) has gaps: {lost / fs_hz:.4g} s are missing")
    return tuple(notes)
