"""Amplitude, frequency and noise from sines: four-parameter fits as in IEEE Std 1057 on runs without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import InputError, UsageError

F64 = NDArray[np.float64]

SETTLE_S = 2.0
"""Time left out at the start of a long enough run, seconds; an AC coupling settles in it."""
MIN_S = 4.0
"""Minimum duration of a run, seconds."""
OFF_BY = 0.03
"""Largest relative difference between the true and the claimed sampling rate."""
EXPLAINED = 0.8
"""Minimum share of the signal power that the sine must explain."""
BLOCK_S = 1.0
"""Length of the blocks whose amplitudes give the uncertainty, seconds."""

BAND_HZ = (0.67, 40.0)
REFERENCE_HZ = 5.0
RESPONSE = (0.7, 1.4)
"""IEC 60601-2-47: the response from 0.67 to 40 Hz is 70 to 140 % of that at 5 Hz (from secondary sources)."""
SWEPT_HZ = (0.67, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0)
SWEEP_EXPLAINED = 0.9

NO_SINE = "apply the sine during the whole measurement and give its true frequency with --hz"


@dataclass(frozen=True, slots=True)
class SineFit:
    """Result of a fit of a sine.

    Attributes:
        peak_to_peak: Peak-to-peak amplitude, in the unit of the samples.
        relative_uncertainty: Expanded relative uncertainty (k = 2) of the amplitude.
        cycles_per_sample: Frequency of the sine, cycles per sample.
        offset: Mean, in the unit of the samples.
        noise: RMS residual, in the unit of the samples.
        seconds: Duration of the fitted samples, seconds.
    """

    peak_to_peak: float
    relative_uncertainty: float
    cycles_per_sample: float
    offset: float
    noise: float
    seconds: float


def fit_sine(segments: Sequence[F64], fs_hz: float, hz: float) -> SineFit:
    """Measure a sine of known frequency with a board of approximately known sampling rate.

    Args:
        segments: Runs without a gap, each ``(n,)``.
        fs_hz: Claimed sampling rate, Hz.
        hz: True frequency of the sine, Hz.

    Raises:
        UsageError: The frequency is too high for the sampling rate.
        InputError: No such sine is found, or it is clipped.
    """
    if not 0.0 < hz < 0.45 * fs_hz:
        raise UsageError(
            f"a sine of {hz:g} Hz is too fast for {fs_hz:g} samples per second", "use less than 45 % of the rate"
        )
    x = _settled(segments, fs_hz)
    w = _coarse(x, hz / fs_hz)
    for _ in range(8):
        fit, w = _step(x, w)
    basis = _basis(np.arange(len(x), dtype=np.float64), w)
    rest = x - basis @ fit[:3]
    amplitude = float(np.hypot(fit[0], fit[1]))
    if not amplitude > 0.0 or 1.0 - float(np.var(rest) / np.var(x)) < EXPLAINED:
        raise InputError(f"no sine of {hz:g} Hz found", NO_SINE)
    _check_clipping(x, amplitude)
    sizes = _blocks(x, w, max(1, round(max(BLOCK_S, 3.0 * fs_hz / hz / fs_hz) * fs_hz)))
    scatter = float(np.std(sizes, ddof=1) / np.sqrt(len(sizes))) if len(sizes) > 1 else 0.01 * amplitude
    rounding = 1.0 / np.sqrt(12.0) / np.sqrt(len(x)) if bool(np.all(x == np.rint(x))) else 0.0
    # Rounding does not average out in a coarse converter, so a tenth of a count is the lower limit.
    rounding = max(rounding, 0.1 / amplitude)
    return SineFit(
        2.0 * amplitude, 2.0 * float(np.hypot(scatter, rounding)) / amplitude, w / (2 * np.pi), float(fit[2]),
        float(np.std(rest)), len(x) / fs_hz,
    )  # fmt: skip


def _settled(segments: Sequence[F64], fs_hz: float) -> F64:
    x = max(segments, key=len)
    if len(x) > (SETTLE_S + MIN_S) * fs_hz:
        x = x[round(SETTLE_S * fs_hz) :]
    if len(x) < MIN_S * fs_hz:
        raise InputError(f"only {len(x) / fs_hz:.1f} s without a gap", f"measure at least {MIN_S:g} s without a gap")
    return x


def _basis(n: F64, w: float) -> F64:
    return np.stack((np.cos(w * n), np.sin(w * n), np.ones(len(n))), axis=1)


def _coarse(x: F64, cycles: float) -> float:
    """Return the angular frequency, radians per sample, of the highest spectral line near the expected one."""
    size = 8 * len(x)
    spectrum = np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x)), size))
    low = int(np.floor(cycles * (1 - OFF_BY) * size)) - 8
    high = int(np.ceil(cycles * (1 + OFF_BY) * size)) + 9
    low = max(1, low)
    return 2.0 * np.pi * (low + int(np.argmax(spectrum[low:high]))) / size


def _step(x: F64, w: float) -> tuple[F64, float]:
    """Do one step of the four-parameter fit: amplitude, offset and a correction of the frequency together."""
    n = np.arange(len(x), dtype=np.float64)
    linear, *_ = np.linalg.lstsq(_basis(n, w), x, rcond=None)
    slope = n * (linear[1] * np.cos(w * n) - linear[0] * np.sin(w * n))
    fit, *_ = np.linalg.lstsq(np.column_stack((_basis(n, w), slope)), x, rcond=None)
    return fit, w + float(np.clip(fit[3], -np.pi / len(x), np.pi / len(x)))


def _blocks(x: F64, w: float, size: int) -> F64:
    out = []
    for start in range(0, len(x) - size + 1, size):
        fit, *_ = np.linalg.lstsq(_basis(np.arange(size, dtype=np.float64), w), x[start : start + size], rcond=None)
        out.append(float(np.hypot(fit[0], fit[1])))
    return np.array(out)


def _check_clipping(x: F64, amplitude: float) -> None:
    """Refuse a sine that stays at its peak over three times as long as ``acos(1 - 1 / amplitude) / pi`` predicts."""
    expected = float(np.arccos(max(-1.0, 1.0 - 1.0 / max(amplitude, 0.51)))) / np.pi
    for end in (float(x.max()), float(x.min())):
        if float(np.mean(x == end)) > 3.0 * expected + 0.01:
            raise InputError(f"the sine is clipped at {end:.0f}", "apply a smaller sine, or reduce gain or offset")


def fit_response(segments: Sequence[F64], fs_hz: float, steps_hz: Sequence[float] = SWEPT_HZ) -> dict[float, float]:
    """Measure the gain relative to 5 Hz at each step of a sweep.

    Args:
        segments: Runs without a gap, each ``(n,)``.
        fs_hz: Sampling rate, Hz.
        steps_hz: Frequencies applied one after the other, Hz, each for at least 2 s and three periods.

    Returns:
        Gain ratio by frequency in Hz, for the steps that were found.

    Raises:
        InputError: The step of 5 Hz, or every other step, was not found.
    """
    found: dict[float, float] = {}
    for hz in steps_hz:
        size = round(max(1.5, 2.5 / hz) * fs_hz)
        if hz >= 0.45 * fs_hz:
            continue
        fits = [_windowed(x, hz / fs_hz, size) for x in segments if len(x) >= size]
        rows = np.concatenate(fits) if fits else np.empty((0, 2))
        good = rows[rows[:, 1] >= SWEEP_EXPLAINED]
        if len(good):
            found[hz] = float(np.median(good[good[:, 1] >= good[:, 1].max() - 0.02, 0]))
    if REFERENCE_HZ not in found or len(found) < 2:
        raise InputError(
            "no sweep found: the 5 Hz step or every other step is missing",
            f"apply sines of {', '.join(f'{f:g}' for f in steps_hz)} Hz one after the other",
        )
    return {hz: amplitude / found[REFERENCE_HZ] for hz, amplitude in found.items()}


def _windowed(x: F64, cycles: float, size: int) -> F64:
    """Return amplitude and explained share of sliding windows, ``(windows, 2)``; a line models baseline wander."""
    n = np.arange(size, dtype=np.float64)
    basis = np.column_stack((_basis(n, 2.0 * np.pi * cycles), n / size - 0.5))
    solve = np.linalg.pinv(basis)
    line = np.column_stack((np.ones(size), n / size - 0.5))
    flatten = np.linalg.pinv(line)
    rows = []
    for start in range(0, len(x) - size + 1, max(1, size // 5)):
        part = x[start : start + size]
        fit = solve @ part
        around = part - line @ (flatten @ part)
        total = float(around @ around)
        rest = part - basis @ fit
        rows.append((float(np.hypot(fit[0], fit[1])), 1.0 - float(rest @ rest) / total if total > 0 else 0.0))
    return np.array(rows).reshape(-1, 2)


def outside_response(response: dict[float, float]) -> list[float]:
    """Return the frequencies of the band, Hz, at which the gain is outside 70 to 140 %."""
    inside = {hz: r for hz, r in response.items() if BAND_HZ[0] <= hz <= BAND_HZ[1]}
    return [hz for hz, ratio in sorted(inside.items()) if not RESPONSE[0] <= ratio <= RESPONSE[1]]


def noise_floor(segments: Sequence[F64], fs_hz: float) -> tuple[float, float]:
    """Measure RMS and the largest peak-to-peak value in ten seconds with shorted inputs, without the linear trend.

    Raises:
        InputError: No run is long enough.
    """
    x = _settled(segments, fs_hz)
    size = min(len(x), round(10.0 * fs_hz))
    rms, swing = [], []
    for start in range(0, len(x) - size + 1, size):
        part = x[start : start + size]
        n = np.arange(size, dtype=np.float64)
        rest = part - np.polyval(np.polyfit(n, part, 1), n)
        rms.append(float(np.std(rest)))
        swing.append(float(np.ptp(rest)))
    return float(np.sqrt(np.mean(np.square(rms)))), max(swing)
