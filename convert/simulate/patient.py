"""A simulated patient in memory: labs and one-lead ECG, a pure function of (seed, index, visit).

The data set on disk is written by ``convert.simulate.write``; training draws from here directly, in any number of
processes. These are not people, and nothing learned from them may be used on people.
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
"""MC-MED's rate of lead II."""

LEAD = "II"
"""MC-MED's only ECG lead."""

SIMULATOR_VERSION = 2
"""Raised whenever a seed gives other patients than before: part of the key of anything that is cached."""

NOTICE = (
    "Simulated by anyecg-edge: these are not people. The couplings between laboratory values and the ECG are partly "
    "arbitrary. Nothing learned from these data may be used on anyone's health."
)
"""Stands beside everything that comes out of the simulator."""


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """One simulated visit with its ECG.

    Attributes:
        labs: Catalogue key to true value, catalogue units.
        ecg_mv: Shape ``(seconds * fs_hz,)`` float32, lead II, noise included.
        fs_hz: Sampling rate.
        demographics: Age, sex and the rest.
        latents: What the ECG was made from, couplings applied.
        visit: Everything else that was drawn.
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
        seed: Of the cohort; cohorts of different seeds share nobody.
        index: Of the patient in it.
        seconds: Length of the ECG. A longer one begins with the shorter one.
        visit: 0 for the first.
        fs_hz: Sampling rate.
        noise: Add the noise of a recording.

    Raises:
        UsageError: A negative seed or index, or a length that is no positive number of seconds up to a day.
    """
    if seed < 0 or index < 0 or visit < 0:
        raise UsageError(f"seed {seed}, patient {index} and visit {visit} must not be negative")
    if not 0.0 < seconds <= 86400.0:
        raise UsageError(f"{seconds} s is no usable length", "give a positive number of seconds, at most 86400")
    drawn = draw_visit(seed, index, visit)
    ecg_mv = ecg_of(drawn, round(seconds * fs_hz), fs_hz, noise=noise)
    return Patient(drawn.labs, ecg_mv, fs_hz, drawn.demographics, drawn.latents, drawn)


def ecg_of(drawn: Visit, n: int, fs_hz: float = FS_HZ, *, noise: bool = True) -> NDArray[np.float32]:
    """Return ``n`` samples of the visit's ECG in millivolts."""
    stream = (drawn.seed * 1_000_003 + drawn.index) * 8 + drawn.visit
    clean = EcgSynth(drawn.latents, stream).generate(n, fs_hz)
    source = NoiseSource(drawn.noise if noise else CLEAN, stream)
    return source.apply(clean, fs_hz).astype(np.float32)
