"""Waves of a window, from the average beat on the wave path; null with a reason where they cannot be measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.waves.delineate import MS, Delineation, delineate
from edge.waves.mean_beat import STREAM_HZ, MeanBeat, mean_beat, place
from edge.waves.path import FS_HZ, wave_path
from edge.waves.record import WavePart, WaveReason, WaveRecord
from firmware_bridge.reading import is_number

if TYPE_CHECKING:
    from edge.waves.net import BoundaryNet

F64 = NDArray[np.float64]

ST_MS = 60.0
"""Time after the end of QRS at which ST is measured, ms."""
ST_SLOPE_MS = 80.0
"""Stretch after the end of QRS whose slope is measured, ms."""
ST_MAX_LOW_HZ = 0.05
"""Largest lower limit of a device's pass band with which ST is measured, Hz (Kligfield, Circulation 2007;115:1306)."""
STREAM_STEP = round(FS_HZ / STREAM_HZ)
"""Samples of the wave path per sample of the stream in which R peaks are numbered."""


class WaveMeter:
    """Measures the waves of windows.

    Args:
        grid_hz: Sampling rate of the grid, 250 or 500 Hz.
        net: The boundary network; ``None`` for that of the package.

    Attributes:
        st_reason: Reason why ST is not measured on this device; ``None`` if its pass band allows it.
        above_40_hz: The last window at 250 Hz less its wave path, where pacing spikes are.
        beat: The average beat of the last window, or ``None``.
        found: Its waves, or ``None``.
    """

    def __init__(self, grid_hz: int, net: BoundaryNet | None = None) -> None:
        self._grid_hz, self._net = grid_hz, net
        self.st_reason: WaveReason | None = None
        self.above_40_hz: F64 = np.zeros(0)
        self.beat: MeanBeat | None = None
        self.found: Delineation | None = None

    def measure(self, raw: F64, beats: NDArray[np.int64], *, scale_known: bool) -> WaveRecord:
        """Measure a window.

        Args:
            raw: Samples of the grid before any filter, ``(n,)``, mV if the scale is known.
            beats: R peaks, as indices into the 125 Hz stream of the window.
            scale_known: Whether the samples are in millivolts.
        """
        path = wave_path(raw, self._grid_hz)
        self.above_40_hz = raw[:: self._grid_hz // round(FS_HZ)] - path
        self.beat = mean_beat(path, place(path, beats * STREAM_STEP))
        self.found = None if self.beat is None else delineate(self.beat, self._net)
        if self.beat is None:
            return WaveRecord(missing={"beat": "few_beats"})
        if self.found is None:
            return WaveRecord(self.beat.used, 1e3 * self.beat.rr_s, missing={"beat": "unclear"})
        return _record(self.beat, self.found, self.st_reason, scale_known=scale_known)


def st_reason(band_hz: tuple[float, float] | None, *, is_device: bool) -> WaveReason | None:
    """Return why ST is not measured; ``None`` if it is.

    Args:
        band_hz: Pass band of the analog front end, Hz; ``None`` if unknown.
        is_device: Whether a device recorded the signal; a recording of unknown band is taken as diagnostic.
    """
    if band_hz is None:
        return "band_unknown" if is_device else None
    return "band" if band_hz[0] > ST_MAX_LOW_HZ else None


def band_of(stated: object) -> tuple[float, float] | None:
    """Return the pass band that a device states, Hz; ``None`` if it states none or something else."""
    if not isinstance(stated, list | tuple) or len(stated) != 2:
        return None
    low, high = stated
    return (float(low), float(high)) if is_number(low) and is_number(high) else None


def intervals(beat: MeanBeat, found: Delineation) -> dict[str, float]:
    """Return the intervals of the clear waves by name, ms, and ``t_symmetry``; NaN if T has no width."""
    qrs, p, t = found.qrs, found.p, found.t
    values = {"qrs_ms": (qrs.offset - qrs.onset) / MS}
    if p.clear:
        values |= {"pr_ms": (qrs.onset - p.begin) / MS, "p_ms": (p.end - p.begin) / MS}
    if t.clear:
        qt_ms = (t.end - qrs.onset) / MS
        values |= {
            "qt_ms": qt_ms,
            "qtc_fridericia_ms": qt_ms / beat.rr_s ** (1.0 / 3.0),
            "qtc_bazett_ms": qt_ms / beat.rr_s**0.5,
            "jt_ms": (t.end - qrs.offset) / MS,
            "t_width_ms": (t.rise + t.fall) / MS,
            "t_symmetry": t.rise / t.fall,
        }
    return values


def _record(beat: MeanBeat, found: Delineation, st: WaveReason | None, *, scale_known: bool) -> WaveRecord:
    p, t = found.p, found.t
    missing: dict[WavePart, WaveReason] = {}
    values = intervals(beat, found)
    mv: dict[str, float] = {"r_mv": found.qrs.r}
    if p.clear:
        mv["p_mv"] = p.height
    else:
        missing["p"] = p.missing or "absent"
    if not t.clear:
        missing["t"] = t.missing or "unclear"
    if t.missing != "unclear":
        mv["t_mv"] = t.height
    if st is None:
        mv |= _st(beat, found)
    else:
        missing["st"] = st
    if scale_known:
        values |= mv
    else:
        missing["mv"] = "scale_unknown"
    known = {name: value for name, value in values.items() if math.isfinite(value)}
    return WaveRecord(beat.used, 1e3 * beat.rr_s, **known, missing=missing)


def st_level(beat: MeanBeat, found: Delineation) -> float:
    """Return the level 60 ms after the end of QRS, above the level before QRS, in the unit of the beat.

    It is the mean of three samples: the average beat has no outliers that a median would have to remove.
    """
    at = round(found.qrs.offset) + round(ST_MS * MS)
    return float(beat.wave[at - 1 : at + 2].mean()) - found.qrs.level


def _st(beat: MeanBeat, found: Delineation) -> dict[str, float]:
    """Return level and slope of ST against the level before QRS."""
    first, count = round(found.qrs.offset), round(ST_SLOPE_MS * MS) + 1
    stretch = beat.wave[first : first + count]
    t_s = (np.arange(count) - 0.5 * (count - 1)) / FS_HZ
    slope = float((t_s * stretch).sum() / (t_s * t_s).sum())
    return {"st_mv": st_level(beat, found), "st_slope_mv_s": slope}
