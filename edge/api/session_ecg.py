"""The ECG of a session, decoded again from its raw recordings with its gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.grid.room import GapRoom
from edge.grid.timeline import Gap, Timeline, TimelineItem
from edge.sources import SourceUrl
from edge.sources.replay.raw import open_raw
from firmware_bridge.rawlog import RawLogReader

GRID_HZ = 250
"""Grid of the timeline, Hz; only its gaps and the samples of the device are used."""
GATHER_S = 10
"""Signal that the timeline takes together, s, which is faster; nobody waits for it."""
_NEVER_DUE = 1 << 40


@dataclass(slots=True)
class RawEcg:
    """The ECG of one run.

    Attributes:
        session: Identifier of the run.
        start_unix_ns: Time at the beginning of the recording, Unix ns.
        fs_hz: Nominal sampling rate, Hz; NaN without samples.
        values: Pieces of samples.
        times_s: Signal time of every sample of a piece, s.
        gaps: The gaps.
        scale_known: Whether all samples are in millivolts.
    """

    session: str
    start_unix_ns: int
    fs_hz: float = math.nan
    values: list[NDArray[np.float32]] = field(default_factory=list)
    times_s: list[NDArray[np.float64]] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    scale_known: bool = True


def read_raw(files: Sequence[Path]) -> list[RawEcg]:
    """Decode the raw recordings of a session, one for each run.

    Raises:
        InputError: A recording cannot be read, or comes from an unknown device.
    """
    found: dict[str, RawEcg] = {}
    for path in files:
        # Further files of a run are parts, which the reader of the first file reads too.
        name = RawLogReader(path).header.session
        if name not in found:
            found[name] = _decode(path)
    return list(found.values())


def _decode(path: Path) -> RawEcg:
    source = open_raw(SourceUrl(f"replay:{path}", "replay", str(path), str(path)), path)
    ecg = RawEcg(source.info.session or "", source.info.start_unix_ns or 0)
    # As the run itself: where arrival times are real, they limit gaps, so that the times are those of the estimates.
    timeline = Timeline(GRID_HZ, GATHER_S * GRID_HZ, GapRoom() if source.info.arrival_timed else None)
    end_s = 0.0
    for _due_s, item in source.timed():
        if item is None:  # bytes that gave no item
            continue
        timeline.due = _NEVER_DUE
        for part in timeline.push(item):
            end_s = _part(ecg, part, end_s)
    for part in timeline.flush():
        _part(ecg, part, end_s)
    return ecg


def _part(ecg: RawEcg, part: TimelineItem, end_s: float) -> float:
    """Add a part, and return the signal time of its end, s."""
    if isinstance(part, Gap):
        if part.end_s > part.start_s:
            ecg.gaps.append(part)
        return part.end_s
    ecg.scale_known &= part.scale_known
    first = part.first
    for native in part.native:
        n = len(native.samples)
        # Within a segment a piece begins where the one before ended, so that times never go back.
        start_s = native.end_s - n / native.fs_hz if first else end_s
        ecg.fs_hz = native.fs_hz
        ecg.values.append(native.samples.astype(np.float32))
        ecg.times_s.append(start_s + (native.end_s - start_s) / max(n, 1) * np.arange(n, dtype=np.float64))
        first, end_s = False, native.end_s
    return end_s
