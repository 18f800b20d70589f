"""Which windows post-training quantization sees: those that cover the data, not the first ones.

Ranges are the smallest and largest value that the windows caused, so what no window shows is clipped on the device.
Each window is described by a few numbers; after standardising, windows are picked one by one, always the one farthest
from all that are picked already (k-centre greedy, Gonzalez 1985), beginning with the one nearest to the middle. Nothing
is drawn: the same windows give the same choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.beats.detector import RPeakDetector
from edge.frontend.stream import FS_HZ
from firmware_bridge.errors import InputError

F64 = NDArray[np.float64]

FEATURES = ("amplitude", "peak", "rate", "irregularity", "noise", "wander")
"""Swing of the filtered window (logarithm); largest z-score; beats a minute; median change of the RR interval relative
to it; residue above some 20 Hz relative to the swing (logarithm); slow movement of the raw window relative to the swing
(logarithm)."""

FARTHEST = 5.0
"""Standard deviations from which a window counts as no farther: one wild window must not stand for ten."""
SLOW_S = 0.8
"""Moving average that leaves the wander."""
TINY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """Windows in a few numbers.

    Attributes:
        values: ``(n, features)``, in the order of ``FEATURES``.
        device: What recorded each, as far as it is known, ``(n,)``.
    """

    values: F64
    device: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.values)


def describe(
    filtered: NDArray[np.floating], raw: NDArray[np.floating] | None = None, device: Sequence[str] | None = None
) -> Described:
    """Describes windows.

    Args:
        filtered: ``(n, 1250)`` at 125 Hz as ``stream/1`` gives them, in any unit; z-scores have no amplitude to tell.
        raw: The same ten seconds before any filter, ``(n, samples)`` at any rate; without it wander is not told.
        device: What recorded each; default: the same for all.

    Raises:
        InputError: There is no window, or the arrays do not belong together.
    """
    n = len(filtered)
    if n == 0 or (raw is not None and len(raw) != n) or (device is not None and len(device) != n):
        raise InputError("windows to choose from, their raw form and their devices must be equally many, and some")
    rows = [_features(np.asarray(x, np.float64), None if raw is None else raw[i]) for i, x in enumerate(filtered)]
    return Described(np.array(rows), np.array([""] * n if device is None else list(device), dtype=np.str_))


def choose(described: Described, count: int) -> NDArray[np.intp]:
    """Picks windows by k-centre greedy.

    Args:
        described: The windows.
        count: How many at most.

    Returns:
        Their indices, increasing.
    """
    n = len(described)
    if count >= n:
        return np.arange(n)
    points = _standardised(described)
    picked = np.empty(max(count, 1), dtype=np.intp)
    # Ties go to the first, so that the choice depends on the windows alone.
    picked[0] = np.argmin(np.sum(np.square(points - np.median(points, axis=0)), axis=1))
    apart = np.sum(np.square(points - points[picked[0]]), axis=1)
    for k in range(1, len(picked)):
        apart[picked[:k]] = -1.0
        picked[k] = np.argmax(apart)
        apart = np.minimum(apart, np.sum(np.square(points - points[picked[k]]), axis=1))
    return np.sort(picked)


def coverage(described: Described, chosen: NDArray[np.intp]) -> dict[str, Any]:
    """What was on offer and what was taken, for a report.

    Returns:
        By feature the lowest and highest value of all windows and of the chosen ones, and the share of the range
        between the first and last percentile of all that the chosen ones span; and how many devices there are.
    """
    out: dict[str, Any] = {}
    for j, name in enumerate(FEATURES):
        column = described.values[:, j]
        taken = column[chosen]
        low, high = np.percentile(column, [1.0, 99.0])
        inside = max(0.0, min(float(taken.max()), float(high)) - max(float(taken.min()), float(low)))
        out[name] = {
            "all": [round(float(column.min()), 4), round(float(column.max()), 4)],
            "chosen": [round(float(taken.min()), 4), round(float(taken.max()), 4)],
            "covered": round(inside / float(high - low), 3) if high > low else 1.0,
        }
    devices, of = np.unique(described.device), np.unique(described.device[chosen])
    out["device"] = {"all": len(devices), "chosen": len(of)}
    return out


def coverage_text(found: dict[str, Any]) -> str:
    """The report on one line."""
    parts = [f"{name} {100 * found[name]['covered']:.0f} %" for name in FEATURES]
    return f"{', '.join(parts)}, devices {found['device']['chosen']} of {found['device']['all']}"


def _features(x: F64, raw: NDArray[np.floating] | None) -> tuple[float, ...]:
    swing = float(np.percentile(x, 99.5) - np.percentile(x, 0.5)) + TINY
    z = (x - x.mean()) / (x.std() + TINY)
    beats = np.array(RPeakDetector(FS_HZ).push(x), dtype=np.float64)
    rr_s = np.diff(beats) / FS_HZ
    rate_bpm = 60.0 / float(np.median(rr_s)) if len(rr_s) else 0.0
    uneven = float(np.median(np.abs(np.diff(rr_s))) / np.median(rr_s)) if len(rr_s) > 1 else 0.0
    # The third difference passes what lies above some 20 Hz; 1/sqrt(20) is its gain for white noise.
    residue = float(np.median(np.abs(np.diff(x, 3)))) / 0.6745 / np.sqrt(20.0)
    wander = 0.0
    if raw is not None:
        wander = _slow(np.asarray(raw, np.float64), max(1, round(SLOW_S * FS_HZ * len(raw) / len(x))))
    return (
        float(np.log10(swing)), float(np.max(np.abs(z))), rate_bpm, uneven,
        float(np.log10(residue / swing + TINY)), float(np.log10(wander / swing + 1e-3)),
    )  # fmt: skip


def _slow(raw: F64, size: int) -> float:
    """Standard deviation of a moving average."""
    total = np.cumsum(np.concatenate(([0.0], raw - raw.mean())))
    return float(np.std((total[size:] - total[:-size]) / size))


def _standardised(described: Described) -> F64:
    """Features in standard deviations about their middle, wild ones held back, and a column for each device."""
    values = described.values
    centre = np.median(values, axis=0)
    spread = 1.4826 * np.median(np.abs(values - centre), axis=0)
    spread = np.where(spread > 0.0, spread, np.std(values, axis=0))
    scaled = np.divide(values - centre, spread, out=np.zeros_like(values), where=spread > 0.0)
    names, of = np.unique(described.device, return_inverse=True)
    # Two devices are as far apart as two windows that differ by two deviations in one feature.
    marks = np.sqrt(2.0) * np.eye(len(names))[of]
    return np.concatenate((np.clip(scaled, -FARTHEST, FARTHEST), marks), axis=1)
