"""The choice of representative windows for post-training quantization: they cover the data.

The ranges are the smallest and the largest value that the windows cause, so the device clips what no window shows. Each
window is described by a few features. After standardisation, windows are chosen one by one: first the window nearest to
the middle, then always the one farthest from all chosen ones (k-centre greedy, Gonzalez 1985). The choice has no random
part: the same windows give the same choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from edge.beats.detector import RPeakDetector
from edge.frontend.stream import FS_HZ
from firmware_bridge.errors import InputError

F64 = NDArray[np.float64]

Feature = Literal["amplitude", "peak", "rate", "irregularity", "noise", "wander"]

FEATURES: tuple[Feature, ...] = ("amplitude", "peak", "rate", "irregularity", "noise", "wander")
"""Amplitude of the filtered window (logarithm); largest z-score; beats per minute; median relative change of the RR
interval; residue above about 20 Hz relative to the amplitude (logarithm); baseline wander of the raw window relative to
the amplitude (logarithm)."""

FARTHEST = 5.0
"""Limit of a feature's distance from the middle, in standard deviations: one extreme window must not outweigh ten."""
SLOW_S = 0.8
"""Length of the moving average that extracts the baseline wander, s."""
TINY = 1e-9


class CoveredFeature(TypedDict):
    """Lowest and highest value of all windows and of the chosen ones, and the covered share of the range, 0 to 1."""

    all: list[float]
    chosen: list[float]
    covered: float


class CoveredDevices(TypedDict):
    """Number of devices of all windows and of the chosen ones."""

    all: int
    chosen: int


class Covered(TypedDict):
    """How well the chosen windows cover all windows: each of ``FEATURES``, and the devices."""

    amplitude: CoveredFeature
    peak: CoveredFeature
    rate: CoveredFeature
    irregularity: CoveredFeature
    noise: CoveredFeature
    wander: CoveredFeature
    device: CoveredDevices


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """The features of windows.

    Attributes:
        values: Features, ``(n, features)``, in the order of ``FEATURES``.
        device: Name of the recording device of each window, as far as known, ``(n,)``.
    """

    values: F64
    device: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.values)


def describe(
    filtered: NDArray[np.floating], raw: NDArray[np.floating] | None = None, device: Sequence[str] | None = None
) -> Described:
    """Compute the features of windows.

    Args:
        filtered: Windows of ``stream/1`` at 125 Hz, ``(n, 1250)``, in any unit. Z-scores all have the same amplitude.
        raw: The same ten seconds before any filter, ``(n, samples)`` at any rate. Without it the wander is 0.
        device: Name of the recording device of each window; by default the same for all.

    Raises:
        InputError: There is no window, or the lengths of the arrays differ.
    """
    n = len(filtered)
    if n == 0 or (raw is not None and len(raw) != n) or (device is not None and len(device) != n):
        raise InputError("the windows, their raw signals and their devices must be equally many, at least one")
    rows = [_features(np.asarray(x, np.float64), None if raw is None else raw[i]) for i, x in enumerate(filtered)]
    return Described(np.array(rows), np.array([""] * n if device is None else list(device), dtype=np.str_))


def choose(described: Described, count: int) -> NDArray[np.intp]:
    """Choose windows by the k-centre greedy algorithm.

    Args:
        described: Features of the windows.
        count: Largest number of windows to choose.

    Returns:
        Indices of the chosen windows, increasing.
    """
    n = len(described)
    if count >= n:
        return np.arange(n)
    points = _standardised(described)
    picked = np.empty(max(count, 1), dtype=np.intp)
    # Ties go to the first window, so that the choice depends only on the windows.
    picked[0] = np.argmin(np.sum(np.square(points - np.median(points, axis=0)), axis=1))
    apart = np.sum(np.square(points - points[picked[0]]), axis=1)
    for k in range(1, len(picked)):
        apart[picked[:k]] = -1.0
        picked[k] = np.argmax(apart)
        apart = np.minimum(apart, np.sum(np.square(points - points[picked[k]]), axis=1))
    return np.sort(picked)


def coverage(described: Described, chosen: NDArray[np.intp]) -> Covered:
    """Return how well the chosen windows cover all windows, for a report.

    Returns:
        For each feature the lowest and the highest value of all windows and of the chosen ones, and the share of the
        range from the 1st to the 99th percentile of all windows that the chosen ones span; and the number of devices.
    """
    devices, of = np.unique(described.device), np.unique(described.device[chosen])
    found = {name: _covered(described.values[:, j], chosen) for j, name in enumerate(FEATURES)}
    return {
        "amplitude": found["amplitude"],
        "peak": found["peak"],
        "rate": found["rate"],
        "irregularity": found["irregularity"],
        "noise": found["noise"],
        "wander": found["wander"],
        "device": {"all": len(devices), "chosen": len(of)},
    }


def _covered(column: F64, chosen: NDArray[np.intp]) -> CoveredFeature:
    taken = column[chosen]
    low, high = np.percentile(column, [1.0, 99.0])
    inside = max(0.0, min(float(taken.max()), float(high)) - max(float(taken.min()), float(low)))
    return {
        "all": [round(float(column.min()), 4), round(float(column.max()), 4)],
        "chosen": [round(float(taken.min()), 4), round(float(taken.max()), 4)],
        "covered": round(inside / float(high - low), 3) if high > low else 1.0,
    }


def coverage_text(found: Covered) -> str:
    """Return the result of :func:`coverage` as one line."""
    parts = [f"{name} {100 * found[name]['covered']:.0f} %" for name in FEATURES]
    return f"{', '.join(parts)}, devices {found['device']['chosen']} of {found['device']['all']}"


def _features(x: F64, raw: NDArray[np.floating] | None) -> tuple[float, ...]:
    swing = float(np.percentile(x, 99.5) - np.percentile(x, 0.5)) + TINY
    z = (x - x.mean()) / (x.std() + TINY)
    beats = np.array(RPeakDetector(FS_HZ).push(x), dtype=np.float64)
    rr_s = np.diff(beats) / FS_HZ
    rate_bpm = 60.0 / float(np.median(rr_s)) if len(rr_s) else 0.0
    uneven = float(np.median(np.abs(np.diff(rr_s))) / np.median(rr_s)) if len(rr_s) > 1 else 0.0
    # The third difference passes frequencies above about 20 Hz; sqrt(20) is its gain for white noise.
    residue = float(np.median(np.abs(np.diff(x, 3)))) / 0.6745 / np.sqrt(20.0)
    wander = 0.0
    if raw is not None:
        wander = _slow(np.asarray(raw, np.float64), max(1, round(SLOW_S * FS_HZ * len(raw) / len(x))))
    return (
        float(np.log10(swing)), float(np.max(np.abs(z))), rate_bpm, uneven,
        float(np.log10(residue / swing + TINY)), float(np.log10(wander / swing + 1e-3)),
    )  # fmt: skip


def _slow(raw: F64, size: int) -> float:
    """Return the standard deviation of the moving average."""
    total = np.cumsum(np.concatenate(([0.0], raw - raw.mean())))
    return float(np.std((total[size:] - total[:-size]) / size))


def _standardised(described: Described) -> F64:
    """Return the features in standard deviations from their middle, limited, with a column for each device."""
    values = described.values
    centre = np.median(values, axis=0)
    spread = 1.4826 * np.median(np.abs(values - centre), axis=0)
    spread = np.where(spread > 0.0, spread, np.std(values, axis=0))
    scaled = np.divide(values - centre, spread, out=np.zeros_like(values), where=spread > 0.0)
    names, of = np.unique(described.device, return_inverse=True)
    # Two devices are as far apart as two windows that differ by two standard deviations in one feature.
    marks = np.sqrt(2.0) * np.eye(len(names))[of]
    return np.concatenate((np.clip(scaled, -FARTHEST, FARTHEST), marks), axis=1)
