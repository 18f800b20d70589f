"""Disturbances of a wearable, added to raw signals before the front end.

They are added at 500 Hz, before the filter of ``stream/1``, so that the student learns what the filter lets through:
almost no mains noise, wander above 0.5 Hz, and the step and recovery after a lost contact. The teacher labels the clean
window, so the student learns the teacher's answer without the disturbance.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from convert.datasets.pairs import GRID_HZ
from edge.grid.resample import Resampler
from firmware_bridge.errors import UsageError

F64 = NDArray[np.float64]

PATCH_RATES_HZ = (125.0, 130.0, 200.0, 250.0)
"""Sampling rates of chest patches and straps below the teacher's 500 Hz."""

CLOCK_ERROR = 0.003
"""Largest relative clock error; chest straps deviate by up to 0.26 % from their nominal rate."""

_PAD = 128
"""Number of samples mirrored at each end before resampling, more than half a kernel of the lowest rate."""


@dataclass(frozen=True, slots=True)
class Wearable:
    """Chance of each disturbance in a window, 0 to 1; the sizes are uniform up to the limits below.

    Attributes:
        gain: Chance of a coarse converter; the gain itself has no effect on a z-score.
        wander: Chance of a slow drift.
        mains: Chance of mains noise at 50 or 60 Hz with its second harmonic.
        muscle: Chance of broad-band noise.
        motion: Chance of a burst of slow noise for one or two seconds.
        gap: Chance of a short loss of contact: a flat stretch, then a step that decays.
        polarity: Chance of swapped electrodes.
        rate: Chance of a lower sampling rate with a clock error.
    """

    gain: float = 0.3
    wander: float = 0.3
    mains: float = 0.3
    muscle: float = 0.3
    motion: float = 0.2
    gap: float = 0.1
    polarity: float = 0.02
    rate: float = 0.2

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0.0 <= getattr(self, field.name) <= 1.0:
                raise UsageError(f"the chance of {field.name} is {getattr(self, field.name)}", "give 0 to 1")


STEP_SD = (0.002, 0.05)
"""Range of the converter step, in standard deviations of the filtered ECG; 0.05 is 5 to 10 uV."""
WANDER_SD, WANDER_HZ = 3.0, (0.05, 0.5)
MAINS_SD = 2.0
MUSCLE_SD = 0.3
MOTION_SD = 1.2
GAP_SD, GAP_S, RECOVERY_S = 4.0, (0.05, 0.5), (0.1, 0.6)
"""Largest sizes, in standard deviations of the filtered ECG, and durations in seconds. They are chosen so that about
half of the windows with the largest disturbances pass the quality gate."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """All random numbers of one window, so that a worker can skip a window of a batch by drawing its numbers.

    Attributes:
        chance: Uniform numbers that select the disturbances, ``(8,)``.
        u: Uniform numbers that set their sizes, ``(16,)``.
        white: Standard normal noise, ``(n,)``.
    """

    chance: F64
    u: F64
    white: F64


def drawn(rng: np.random.Generator, n: int) -> Drawn:
    """Draw the random numbers of a window of ``n`` samples.

    Their count does not depend on the options, so that an option does not change the numbers of other windows.
    """
    return Drawn(rng.random(8), rng.random(16), rng.standard_normal(n))


def disturb(context: F64, sd: float, given: np.random.Generator | Drawn, options: Wearable) -> F64:
    """Return a disturbed copy of a raw signal.

    Args:
        context: Raw signal, ``(n,)`` at 500 Hz.
        sd: Standard deviation of the filtered ECG, the unit of all sizes.
        given: Random generator, or the numbers drawn from one.
        options: Chances of the disturbances.

    Returns:
        The disturbed signal, ``(n,)`` float64.
    """
    n = len(context)
    t = np.arange(n) / GRID_HZ
    found = given if isinstance(given, Drawn) else drawn(given, n)
    chance, u, white = found.chance, found.u, found.white
    x = context.copy()
    if chance[0] < options.rate:
        x = through_rate(x, PATCH_RATES_HZ[int(u[0] * len(PATCH_RATES_HZ))], CLOCK_ERROR * (2 * u[1] - 1))
    if chance[1] < options.wander:
        f = WANDER_HZ[0] + (WANDER_HZ[1] - WANDER_HZ[0]) * u[2]
        x += u[3] * WANDER_SD * sd * np.sin(2 * np.pi * (f * t + u[4]))
    if chance[2] < options.mains:
        f = 50.0 if u[5] < 0.5 else 60.0
        x += u[6] * MAINS_SD * sd * (np.sin(2 * np.pi * (f * t + u[7])) + 0.2 * np.sin(4 * np.pi * (f * t + u[8])))
    if chance[3] < options.muscle:
        x += u[9] * MUSCLE_SD * sd * white
    if chance[4] < options.motion:
        x += u[10] * MOTION_SD * sd * _burst(white, t, u[11] * n / GRID_HZ, 0.3 + 0.5 * u[12])
    if chance[5] < options.gap:
        x = _lost_contact(x, t, sd, u[13:16], 2 * u[2] - 1)
    if chance[6] < options.gain:
        step = (STEP_SD[0] + (STEP_SD[1] - STEP_SD[0]) * u[12]) * sd
        x = np.rint(x / step) * step
    return -x if chance[7] < options.polarity else x


def _burst(white: F64, t: F64, centre_s: float, width_s: float) -> F64:
    """Return white noise after a moving average of 0.2 s, under a bell curve, with unit variance at its middle."""
    length = GRID_HZ // 5
    total = np.cumsum(np.concatenate((np.zeros(length), white)))
    slow = (total[length:] - total[:-length]) / np.sqrt(length)
    return np.asarray(slow * np.exp(-0.5 * ((t - centre_s) / width_s) ** 2))


def _lost_contact(x: F64, t: F64, sd: float, u: F64, size: float) -> F64:
    begin_s = u[0] * t[-1]
    end_s = begin_s + GAP_S[0] + (GAP_S[1] - GAP_S[0]) * u[1]
    tau_s = RECOVERY_S[0] + (RECOVERY_S[1] - RECOVERY_S[0]) * u[2]
    held = x[int(np.searchsorted(t, begin_s))]
    after = t >= end_s
    recovery = np.exp(-np.maximum(t - end_s, 0.0) / tau_s) * after
    y = x + size * GAP_SD * sd * recovery
    return np.asarray(np.where((t >= begin_s) & ~after, held, y), dtype=np.float64)


def through_rate(x: F64, fs_hz: float, clock_error: float) -> F64:
    """Return a signal as a patch with a lower rate would send it, resampled back to 500 Hz.

    Args:
        x: Signal, ``(n,)`` at 500 Hz.
        fs_hz: Sampling rate of the patch, Hz.
        clock_error: Relative error of the patch's clock, which stretches the signal around its middle.

    Returns:
        The resampled signal, ``(n,)`` float64 at 500 Hz.
    """
    n = len(x)
    padded: F64 = np.asarray(np.pad(x, _PAD, mode="reflect"), dtype=np.float64)
    down = Resampler(GRID_HZ, fs_hz)
    step = GRID_HZ / fs_hz
    first = float(down.half)
    count = int((len(padded) - 2 * first) / step)
    low = down.push(padded, first + step * np.arange(count, dtype=np.float64))
    up = Resampler(fs_hz, GRID_HZ)
    middle = _PAD + (n - 1) / 2
    wanted = middle + (np.arange(n) - (n - 1) / 2) * (1.0 + clock_error)
    positions: F64 = np.clip((wanted - first) / step, up.half - 1, len(low) - up.half - 1)
    return up.push(low, positions)[:n]
