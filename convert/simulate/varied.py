"""ECGs of varied shapes, with which a student learns to imitate its teacher on unfamiliar hearts.

A distillation needs no labels, so its data need not be plausible patients. Here the parameters of the simulated ECG
vary far more than in the cohort, waves are inverted and deformed as in other leads, rhythms are irregular, devices
limit the bandwidth, and the noise reaches the limits of the quality gate. All ranges are arbitrary; they are chosen to
cover the effects of leads and devices. These ECGs have no laboratory values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.simulate.patient import FS_HZ
from convert.simulate.wearable import CLOCK_ERROR, PATCH_RATES_HZ, through_rate
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.synth.noise import NoiseParams, NoiseSource

F64 = NDArray[np.float64]

VARIED_VERSION = 1
"""Increased when a seed gives other signals than before."""

_STREAM = 0x7A81ED
_LAG_S = (0.006, 0.06)
"""Range of the delay of an echo, seconds. A short delay notches the QRS; a long one makes P and T biphasic."""

_HIGH_PASS_HZ = (0.02, 0.7)
_LOW_PASS_TAPS = (3, 21)
"""Range of the length of the moving average, in samples at 500 Hz; 21 samples have their first zero at 24 Hz."""


def varied_ecg(seed: int, index: int, seconds: float) -> F64:
    """Return one signal, a pure function of the arguments.

    Args:
        seed: Seed of the collection.
        index: Number in the collection.
        seconds: Length of the signal, seconds.

    Returns:
        The signal in mV at 500 Hz, ``(seconds * 500,)`` float64.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, _STREAM])))
    n = round(seconds * FS_HZ)
    return recorded(EcgSynth(_heart(rng), int(rng.integers(1 << 40))).generate(n, FS_HZ), rng)


def recorded(x: F64, rng: np.random.Generator, *, deformed: bool = True) -> F64:
    """Return an ECG as another device would record it: scaled or inverted, and with noise.

    Args:
        x: Signal in mV at 500 Hz, ``(n,)``.
        rng: Generator of all random numbers.
        deformed: Whether the waves are deformed too, as in another lead.

    Returns:
        The signal in mV at 500 Hz, ``(n,)`` float64.
    """
    if deformed:
        x = _deformed(x, rng)
    x = x * ((1.0 if rng.random() < 0.85 else -1.0) * np.exp(rng.normal(0.0, 0.3)))
    source = NoiseSource(_noise(rng), int(rng.integers(1 << 40)))
    x = _device(source.apply(x, FS_HZ), rng)
    if rng.random() < 0.3:
        rate = PATCH_RATES_HZ[int(rng.integers(len(PATCH_RATES_HZ)))]
        x = through_rate(x, rate, CLOCK_ERROR * float(rng.uniform(-1, 1)))
    return x


def _heart(rng: np.random.Generator) -> EcgParams:
    def some(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def around(median: float, sd_log: float, low: float, high: float) -> float:
        return float(np.clip(median * np.exp(sd_log * rng.standard_normal()), low, high))

    r_mv = around(0.8, 0.6, 0.1, 3.0)
    t_mv = float(np.clip(rng.normal(0.25, 0.3), -0.6, 1.4))
    return EcgParams(
        hr_bpm=around(78.0, 0.28, 36.0, 170.0),
        rr_sd_ms=around(22.0, 0.9, 1.0, 150.0),
        lf_hf=around(1.0, 0.7, 0.1, 10.0),
        resp_hz=some(0.12, 0.5),
        pr_ms=some(95.0, 300.0),
        p_mv=float(rng.normal(0.09, 0.08)),
        p_ms=some(60.0, 150.0),
        qrs_ms=around(95.0, 0.25, 60.0, 200.0),
        q_mv=-around(0.06, 1.0, 0.0, 1.0),
        r_mv=r_mv,
        s_mv=-around(0.2, 1.1, 0.0, 1.8),
        st_mv=float(np.clip(rng.normal(0.0, 0.08), -0.35, 0.35)),
        qtc_ms=some(330.0, 520.0),
        t_mv=t_mv,
        t_ms=some(85.0, 270.0),
        t_asymmetry=some(0.7, 2.3),
        u_mv=around(0.012, 1.0, 0.0, 0.15),
        resp_mv=some(0.0, 0.1),
        resp_r=some(0.0, 0.2),
        beat_jitter=some(0.0, 0.12),
        pvc_per_beat=some(0.0, 0.35) if rng.random() < 0.2 else 0.0,
        af=bool(rng.random() < 0.15),
        f_wave_mv=some(0.0, 0.12),
    )


def _noise(rng: np.random.Generator) -> NoiseParams:
    def around(median: float, sd_log: float, high: float) -> float:
        return float(min(median * np.exp(sd_log * rng.standard_normal()), high))

    return NoiseParams(
        wander_mv=around(0.06, 0.9, 0.6),
        mains_hz=50.0 if rng.random() < 0.5 else 60.0,
        mains_mv=around(0.006, 1.2, 0.2),
        muscle_mv=around(0.012, 1.0, 0.2),
        white_mv=around(0.005, 0.9, 0.08),
        motion_per_min=around(0.6, 1.2, 8.0),
        motion_mv=around(0.4, 0.6, 2.0),
        pops_per_min=0.3,
        pop_mv=0.7,
        gain_drift=0.03,
    )


def _deformed(x: F64, rng: np.random.Generator) -> F64:
    """Add echoes and slopes, to imitate other leads of the same heart."""
    for _ in range(int(rng.integers(0, 3))):
        lag = round(float(rng.uniform(*_LAG_S)) * FS_HZ)
        echo = np.concatenate((np.full(lag, x[0]), x[:-lag]))
        x = x + float(rng.normal(0.0, 0.35)) * echo
    if rng.random() < 0.4:
        slope = np.gradient(x)
        x = x + float(rng.normal(0.0, 0.4)) * slope * (x.std() / max(float(slope.std()), 1e-9))
    return np.asarray(x, dtype=np.float64)


def _device(x: F64, rng: np.random.Generator) -> F64:
    """Apply a first-order high-pass filter, which tilts the ST segment, and a moving average, each with a chance."""
    if rng.random() < 0.5:
        from scipy.signal import lfilter

        pole = float(np.exp(-2.0 * np.pi * rng.uniform(*_HIGH_PASS_HZ) / FS_HZ))
        x = np.asarray(lfilter([1.0, -1.0], [1.0, -pole], x - x[0]), dtype=np.float64)
    if rng.random() < 0.3:
        taps = int(rng.integers(*_LOW_PASS_TAPS))
        x = np.convolve(x, np.full(taps, 1.0 / taps), mode="same")
    return x
