"""Counts per millivolt from rectangular calibration pulses, corrected for the AC coupling of the board.

Each edge is fitted separately over 0.1 s on each side, which is a whole number of periods of both mains frequencies.
The model is a line for baseline wander plus the pulse train after a first-order high-pass, whose corner is the same for
all edges. The samples next to the edge, where a low-pass rounds it, are left out. The height of an edge is the
coefficient of the pulse train, so droop and undershoot do not bias it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import InputError

F64 = NDArray[np.float64]

ROUND_S = 0.02
"""Time left out on each side of an edge, seconds; a first-order low-pass of 40 Hz settles to 0.7 % in it."""
SIDE_S = 0.1
"""Time fitted on each side of an edge, seconds: five periods of 50 Hz, six of 60 Hz."""
MIN_PULSES = 3
MIN_WIDTH_S = 0.07
"""Minimum width of a pulse, seconds; an R wave is narrower."""
SAME_HEIGHT = 0.15
"""Largest relative spread of the edge heights of calibration pulses."""
SAME_WIDTH = 0.1
"""Largest relative spread of the pulse widths of calibration pulses."""
MISFIT = 0.2
"""Largest RMS residual of a rectangular pulse next to its edges, as a share of its height."""
CORNERS_HZ = np.concatenate(([0.0], np.geomspace(0.02, 2.0, 21)))
"""High-pass corners of the first search, Hz; the best one is then refined."""
_POWERS = [1 << k for k in range(7, 32)]
RAILS = frozenset(rail for power in _POWERS for rail in (power - 1, -power, 1 - power))
"""Limits of the ranges of common converters, counts."""

PLACED_S = 0.001
"""Uncertainty of the position of a rounded edge in addition to half a sample, seconds."""

NO_PULSE = "apply pulses of 1 mV, 0.1 to 0.5 s long, one per second, during the whole measurement; connect nothing else"


@dataclass(frozen=True, slots=True)
class PulseFit:
    """Result of a fit of calibration pulses.

    Attributes:
        height: Height of a pulse in the unit of the samples, positive.
        relative_uncertainty: Expanded relative uncertainty (k = 2) of the height.
        pulses: Number of pulses found.
        polarity: 1 for pulses upwards, -1 for pulses downwards.
        polarity_known: Pulses and pauses differ in length, so that the polarity is certain.
        offset: Level between pulses, in the unit of the samples.
        noise: RMS residual next to the edges, in the unit of the samples.
        low_cut_hz: Corner of the high-pass that fits best, Hz; 0 for none.
    """

    height: float
    relative_uncertainty: float
    pulses: int
    polarity: int
    polarity_known: bool
    offset: float
    noise: float
    low_cut_hz: float


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Edges of one segment: positions in samples, which may lie between two samples, and signs."""

    x: F64
    at: F64
    sign: F64


def fit_pulses(segments: Sequence[F64], fs_hz: float) -> PulseFit:
    """Measure calibration pulses.

    Args:
        segments: Runs without a gap, each ``(n,)``.
        fs_hz: Sampling rate, Hz.

    Raises:
        InputError: There are no or too few pulses, or the converter clips them.
    """
    runs = [e for e in (_edges(x, fs_hz) for x in segments) if len(e.at)]
    count = sum(len(e.at) for e in runs)
    if count < 2 * MIN_PULSES:
        raise InputError(f"no calibration pulse found ({count} edges)", NO_PULSE)
    up_s, down_s = _widths(runs, fs_hz)
    _check_saturation(runs, fs_hz)
    corner_hz = _best_corner(runs, fs_hz)
    heights, misfits = _heights(runs, fs_hz, corner_hz, SIDE_S)
    height = float(np.median(heights))
    spread = 1.4826 * float(np.median(np.abs(heights - height)))
    noise = float(np.median(misfits))
    if not height > 0.0 or spread > SAME_HEIGHT * height or noise > MISFIT * height:
        raise InputError("no calibration pulse found (steps of different heights or shapes)", NO_PULSE)
    kept = heights[np.abs(heights - height) <= max(4.0 * spread, 1e-9 * height)]
    height = float(np.mean(kept))
    known = not 0.8 < up_s / down_s < 1.25
    return PulseFit(
        height=height,
        relative_uncertainty=_uncertainty(kept, runs, fs_hz, corner_hz),
        pulses=count // 2,
        polarity=-1 if known and up_s > down_s else 1,
        polarity_known=known,
        offset=_offset(runs, fs_hz, -1.0 if known and up_s > down_s else 1.0, coupled=corner_hz == 0.0),
        noise=noise,
        low_cut_hz=corner_hz,
    )


def _edges(x: F64, fs_hz: float) -> _Edges:
    """Find the steps of a segment: local extremes of the difference between the means on each side."""
    gap, side = max(1, round(ROUND_S * fs_hz / 2)), max(2, round(0.025 * fs_hz))
    reach = gap + side
    none = _Edges(x, np.empty(0), np.empty(0))
    if len(x) < 4 * reach + 2:
        return none
    total = np.concatenate(([0.0], np.cumsum(x - x[0])))
    n = np.arange(reach, len(x) - reach + 1)
    step = (total[n + reach] - total[n + gap] - total[n - gap] + total[n - reach]) / side
    size = np.abs(step)
    noise = 1.4826 * float(np.median(np.abs(step - np.median(step))))
    top = float(np.quantile(size, 0.99))
    if top <= 6.0 * noise or top <= 0.0:
        return none
    at: list[float] = []
    sign: list[float] = []
    for start, stop in _runs(size > 0.5 * top):
        centre = start + int(np.argmax(size[start:stop]))
        s = float(np.sign(step[centre]))
        found = _centre(x, int(n[centre]), gap, side)
        if at and found - at[-1] < reach:
            continue
        at.append(found)
        sign.append(s)
    return _Edges(x, np.array(at), np.array(sign))


def _runs(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], inside.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _centre(x: F64, n: int, gap: int, side: int) -> float:
    """Return the position, between samples, of an ideal step with the same area.

    The crossing of half the height is not used, because a low-pass before a high-pass delays the droop by its whole
    time constant.
    """
    before, after = float(np.mean(x[n - gap - side : n - gap])), float(np.mean(x[n + gap : n + gap + side]))
    passed = (x[n - gap : n + gap] - before) / (after - before)
    return float(n + gap - 0.5 - np.clip(np.sum(passed), 0.0, 2.0 * gap))


def _widths(runs: Sequence[_Edges], fs_hz: float) -> tuple[float, float]:
    """Return the median durations of the high and the low level, seconds; edges must alternate and repeat."""
    up: list[float] = []
    down: list[float] = []
    wrong = 0
    for e in runs:
        for width, first, second in zip(np.diff(e.at) / fs_hz, e.sign[:-1], e.sign[1:], strict=True):
            if first == second:
                wrong += 1
            else:
                (up if first > 0 else down).append(float(width))
    if not up or not down or wrong > 0.1 * (len(up) + len(down)):
        raise InputError("no calibration pulse found (the steps do not alternate)", NO_PULSE)
    middle = []
    for widths in (up, down):
        m = float(np.median(widths))
        if float(np.median(np.abs(np.array(widths) - m))) > SAME_WIDTH * m:
            raise InputError("no calibration pulse found (the steps do not repeat)", NO_PULSE)
        middle.append(m)
    if min(middle) < MIN_WIDTH_S:
        raise InputError(f"no calibration pulse found (steps only {1e3 * min(middle):.0f} ms apart)", NO_PULSE)
    return middle[0], middle[1]


def _train(e: _Edges, fs_hz: float, corner_hz: float) -> F64:
    """Return the unit pulse train after a first-order high-pass, ``(len(x),)``."""
    t = np.arange(len(e.x), dtype=np.float64)
    before = np.searchsorted(e.at, t, side="left") - 1
    rate = 2.0 * np.pi * corner_hz / fs_hz
    state = np.empty(len(e.at))
    held = 0.0
    for i, (at, sign) in enumerate(zip(e.at, e.sign, strict=True)):
        held = sign + (held * np.exp(-rate * (at - e.at[i - 1])) if i else 0.0)
        state[i] = held
    clipped = np.maximum(before, 0)
    return np.where(before >= 0, state[clipped] * np.exp(-rate * (t - e.at[clipped])), 0.0)


def _heights(runs: Sequence[_Edges], fs_hz: float, corner_hz: float, side_s: float) -> tuple[F64, F64]:
    """Return height and RMS residual of every edge with enough samples on both sides."""
    heights, misfits = [], []
    gap, side = max(1, int(np.ceil(ROUND_S * fs_hz))), round(side_s * fs_hz)
    for e in runs:
        train = _train(e, fs_hz, corner_hz)
        bounds = np.concatenate(([-np.inf], e.at, [np.inf]))
        for i, at in enumerate(e.at):
            left = np.arange(int(max(np.ceil(bounds[i] + gap), at - gap - side, 0)), int(np.floor(at - gap)) + 1)
            right = np.arange(
                int(np.ceil(at + gap)), int(min(np.floor(bounds[i + 2] - gap), at + gap + side, len(e.x) - 1)) + 1
            )
            if len(left) < 3 or len(right) < 3 or len(left) + len(right) < 0.5 * side:
                continue
            n = np.concatenate((left, right))
            basis = np.stack((np.ones(len(n)), (n - at) / fs_hz, train[n]), axis=1)
            fit, *_ = np.linalg.lstsq(basis, e.x[n], rcond=None)
            rest = e.x[n] - basis @ fit
            heights.append(float(fit[2]))
            misfits.append(float(np.sqrt(np.sum(rest**2) / max(1, len(n) - 3))))
    if len(heights) < 2 * MIN_PULSES:
        raise InputError("too few complete calibration pulses", "measure for longer and without gaps")
    return np.array(heights), np.array(misfits)


def _misfit(runs: Sequence[_Edges], fs_hz: float, corner_hz: float) -> float:
    return float(np.sum(np.square(_heights(runs, fs_hz, corner_hz, 2.0 * SIDE_S)[1])))


def _best_corner(runs: Sequence[_Edges], fs_hz: float) -> float:
    """Return the high-pass corner with the smallest residual, Hz; 0 if none improves the fit."""
    cost = [_misfit(runs, fs_hz, float(hz)) for hz in CORNERS_HZ]
    best = int(np.argmin(cost))
    if best == 0 or cost[best] > 0.98 * cost[0]:
        return 0.0
    a, b = float(CORNERS_HZ[best - 1]), float(CORNERS_HZ[min(best + 1, len(CORNERS_HZ) - 1)])
    ratio = 0.5 * (np.sqrt(5.0) - 1.0)
    for _ in range(14):
        c, d = b - ratio * (b - a), a + ratio * (b - a)
        if _misfit(runs, fs_hz, c) < _misfit(runs, fs_hz, d):
            b = d
        else:
            a = c
    return 0.5 * (a + b)


def _uncertainty(heights: F64, runs: Sequence[_Edges], fs_hz: float, corner_hz: float) -> float:
    """Return the expanded relative uncertainty (k = 2), four parts in quadrature.

    The parts are the scatter of the edges; the width of the fit, from the change at half the width; the rounding of
    both levels to whole counts, which averaging does not remove if the noise is small; and the position of an edge
    between two samples, which acts through the droop (rectangular distribution).
    """
    height = float(np.mean(heights))
    scatter = float(np.std(heights, ddof=1)) / np.sqrt(len(heights))
    half_as_wide = float(np.mean(_heights(runs, fs_hz, corner_hz, 0.5 * SIDE_S)[0]))
    whole = all(bool(np.all(e.x == np.rint(e.x))) for e in runs)
    rounding = float(np.sqrt(2.0 / 12.0)) if whole else 0.0
    place = height * 2.0 * np.pi * corner_hz * (0.5 / fs_hz + PLACED_S) / np.sqrt(3.0)
    parts: tuple[float, ...] = (scatter, 0.5 * abs(half_as_wide - height), rounding, place)
    return 2.0 * float(np.linalg.norm(parts)) / height


def _offset(runs: Sequence[_Edges], fs_hz: float, polarity: float, *, coupled: bool) -> float:
    """Return the median level just before the pulses; with AC coupling, which removes this level, the mean."""
    if not coupled:
        return float(np.mean(np.concatenate([e.x[int(e.at[0]) : int(e.at[-1])] for e in runs])))
    gap, side = max(1, int(np.ceil(ROUND_S * fs_hz))), round(SIDE_S * fs_hz)
    levels = [
        float(np.median(e.x[max(0, int(at) - gap - side) : int(at) - gap]))
        for e in runs
        for at, sign in zip(e.at, e.sign, strict=True)
        if sign == polarity and int(at) - gap > 2
    ]
    return float(np.median(levels)) if levels else 0.0


def _check_saturation(runs: Sequence[_Edges], fs_hz: float) -> None:
    """Refuse plateaus at a limit of the converter, or flat plateaus in an otherwise noisy signal."""
    gap, side = max(1, int(np.ceil(ROUND_S * fs_hz))), round(0.05 * fs_hz)
    high = [e.x[int(a) + gap : int(a) + gap + side] for e in runs for a, s in zip(e.at, e.sign, strict=True) if s > 0]
    low = [e.x[int(a) + gap : int(a) + gap + side] for e in runs for a, s in zip(e.at, e.sign, strict=True) if s < 0]
    extremes = max(float(e.x.max()) for e in runs), min(float(e.x.min()) for e in runs)
    for plateaus, opposite, end in ((high, low, extremes[0]), (low, high, extremes[1])):
        flat = float(np.median([float(np.mean(p == end)) for p in plateaus if len(p)] or [0.0]))
        noisy = float(np.median([float(np.std(p)) for p in opposite if len(p)] or [0.0]))
        if flat > 0.9 and (end in RAILS or noisy > 1.0):
            raise InputError(
                f"the pulses are clipped at {end:.0f}, a limit of the converter",
                "apply a smaller pulse, or reduce gain or offset",
            )
