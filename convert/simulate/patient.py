"""A simulated patient in memory: labs and one-lead ECG, a pure function of (seed, index, visit).

``convert.simulate.write`` writes cohorts to disk; trainings call this module directly, in any number of processes. The
patients are not people, and a model trained on them must not be used on people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.simulate.cohort import Demographics, Visit, draw_visit
from firmware_bridge.errors import UsageError
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.synth.noise import CLEAN, NoiseSource

FS_HZ = 500.0
"""Sampling rate of lead II in MC-MED, Hz."""

LEAD = "II"
"""The only ECG lead of MC-MED."""

SIMULATOR_VERSION = 2
"""Increased when a seed gives other patients than before. It is a part of the key of every cache."""

NOTICE = (
    "Simulated by anyecg-edge: these are not people. The couplings between laboratory values and the ECG are partly "
    "arbitrary. Nothing learned from these data may be used on anyone's health."
)
"""Notice in all output of the simulator."""


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """One simulated visit with its ECG.

    Attributes:
        labs: True laboratory values by catalogue key, in the unit of the catalogue.
        ecg_mv: Lead II with noise, mV, ``(seconds * fs_hz,)`` float32.
        fs_hz: Sampling rate, Hz.
        demographics: Demographics of the patient.
        latents: Parameters of the ECG after the couplings.
        visit: The visit with everything else that was drawn.
    """

    labs: Mapping[str, float]
    ecg_mv: NDArray[np.float32]
    fs_hz: float
    demographics: Demographics
    latents: EcgParams
    visit: Visit


def simulate_patient(
    seed: int, index: int, seconds: float, *, visit: int = 0, fs_hz: float = FS_HZ, noise: bool = True
) -> Patient:
    """Simulate one visit of one patient.

    Args:
        seed: Seed of the cohort; cohorts with different seeds have different patients.
        index: Number of the patient, from 0.
        seconds: Length of the ECG, up to 86400 s. A shorter ECG is the start of a longer one.
        visit: Number of the visit, from 0.
        fs_hz: Sampling rate, Hz.
        noise: Add the noise of a recording.

    Raises:
        UsageError: Seed, index or visit is negative, or the length is out of range.
    """
    if seed < 0 or index < 0 or visit < 0:
        raise UsageError(f"seed {seed}, patient {index} and visit {visit} must not be negative")
    if not 0.0 < seconds <= 86400.0:
        raise UsageError(f"an ECG of {seconds} s is impossible", "give more than 0 s, at most 86400 s")
    drawn = draw_visit(seed, index, visit)
    ecg_mv = ecg_of(drawn, round(seconds * fs_hz), fs_hz, noise=noise)
    return Patient(drawn.labs, ecg_mv, fs_hz, drawn.demographics, drawn.latents, drawn)


def ecg_of(drawn: Visit, n: int, fs_hz: float = FS_HZ, *, noise: bool = True) -> NDArray[np.float32]:
    """Return ``n`` samples of the visit's ECG, mV, ``(n,)`` float32."""
    stream = (drawn.seed * 1_000_003 + drawn.index) * 8 + drawn.visit
    clean = EcgSynth(drawn.latents, stream).generate(n, fs_hz)
    source = NoiseSource(drawn.noise if noise else CLEAN, stream)
    return source.apply(clean, fs_hz).astype(np.float32)
