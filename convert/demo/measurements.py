"""Measurements of an ECG, such as an electrocardiograph prints: what a large teacher learns besides its outputs.

ECGFounder was trained on the diagnoses of millions of ECGs before anyone tuned it to laboratory values. For a network
of its size, these measurements take the place of the diagnoses: they say what is in an ECG far more clearly than a
laboratory value that the ECG only hints at. The checkpoint does not contain them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.simulate.cohort import draw_visit
from firmware_bridge.synth.ecgsyn import EcgParams

F64 = NDArray[np.float64]

COUNT = 13
"""Number of measurements."""

SCALE = 3.0
"""Standard deviation of a target. Huber's loss of the trainings is then about half the squared error, and a measurement
weighs as much as a probability."""

LEAST_SD = 1e-3


def measurements(patients: NDArray[np.int64], seed: int) -> F64:
    """Return the measurements of the ECGs of simulated patients.

    Args:
        patients: Numbers of the patients.
        seed: Seed of the cohort.

    Returns:
        ``(patients, COUNT)``: heart rate in bpm; PR, QRS, corrected QT and duration of T in ms; asymmetry of T; P, T,
        U, Q and S as shares of R; standard deviation of RR in ms; atrial fibrillation as 0 or 1. PR and P are NaN in
        atrial fibrillation, where there is no P.
    """
    return np.array([_of(draw_visit(seed, int(i)).latents) for i in patients]).reshape(-1, COUNT)


def _of(p: EcgParams) -> list[float]:
    pr_ms, p_mv = (np.nan, np.nan) if p.af else (p.pr_ms, p.p_mv)
    shares = [mv / p.r_mv for mv in (p_mv, p.t_mv, p.u_mv, p.q_mv, p.s_mv)]
    return [p.hr_bpm, pr_ms, p.qrs_ms, p.qtc_ms, p.t_ms, p.t_asymmetry, *shares, p.rr_sd_ms, float(p.af)]


def measurement_targets(found: F64) -> NDArray[np.float32]:
    """Return measurements as training targets of value heads.

    Args:
        found: Measurements, ``(patients, COUNT)``, NaN where unknown.

    Returns:
        ``(patients, COUNT)`` float32: minus the median, in units that give most patients a standard deviation of
        :data:`SCALE`, NaN where unknown.
    """
    centre = np.nanmedian(found, axis=0)
    sd = np.maximum(np.nanstd(found, axis=0), LEAST_SD)
    return np.asarray(SCALE * (found - centre) / sd, dtype=np.float32)
