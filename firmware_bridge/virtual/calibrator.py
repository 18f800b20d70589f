"""Test signals that a virtual patch measures instead of a heart: pulses, sines, stepped sines, or shorted inputs.

A `Board` lies between the calibrator and the converter and alters the signal as a real one does: an unknown gain (with
its sign), an offset, one pole at each end of its band, and noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import UsageError

F64 = NDArray[np.float64]

Kind = Literal["pulse", "sine", "sweep", "shorted"]
KINDS: tuple[Kind, ...] = get_args(Kind)

PULSE_S = 0.2
"""Duration of a calibration pulse, in seconds: as in electrocardiographs."""
PERIOD_S = 1.0
"""Time between two pulses, in seconds."""
LEAD_S = 0.4
"""Time before the first pulse, in seconds."""

SWEEP_HZ = (0.67, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0)
"""Frequencies of the sweep, Hz: the band of IEC 60601-2-47 with its reference of 5 Hz."""
STEP_PERIODS = 5.0
MIN_STEP_S = 5.0
"""Minimum periods and seconds of one step of the sweep."""


@dataclass(frozen=True, slots=True)
class Calibrator:
    """The signal applied to the electrodes.

    Attributes:
        kind: Name of the signal.
        amplitude_mv: Difference between its highest and lowest value, mV.
        hz: True frequency of the sine, Hz.
    """

    kind: Kind = "pulse"
    amplitude_mv: float = 1.0
    hz: float = 10.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"the virtual patch has no signal {self.kind!r}", f"one of: ecg, {', '.join(KINDS)}")
        if not (0.0 < self.amplitude_mv <= 1000.0 and 0.01 <= self.hz <= 4000.0):
            raise UsageError("a calibrator's amplitude must be above 0 and at most 1000 mV, its rate 0.01 to 4000 Hz")

    def at(self, t_s: F64) -> F64:
        """Return the millivolts at the electrodes at true times, shape ``(n,)``."""
        if self.kind == "shorted":
            return np.zeros_like(t_s)
        if self.kind == "pulse":
            phase = np.mod(t_s - LEAD_S, PERIOD_S)
            return np.where((phase < PULSE_S) & (t_s >= LEAD_S), self.amplitude_mv, 0.0)
        if self.kind == "sine":
            return np.asarray(0.5 * self.amplitude_mv * np.sin(2.0 * np.pi * self.hz * t_s))
        ends = np.cumsum([step_s(hz) for hz in SWEEP_HZ])
        within = np.mod(t_s, ends[-1])
        hz = np.array(SWEEP_HZ)[np.searchsorted(ends, within, side="right")]
        return np.asarray(0.5 * self.amplitude_mv * np.sin(2.0 * np.pi * hz * within))


def step_s(hz: float) -> float:
    """Return the seconds that the sweep holds one frequency: whole periods, so that the next step begins at zero."""
    return math.ceil(max(STEP_PERIODS, MIN_STEP_S * hz)) / hz


@dataclass(frozen=True, slots=True)
class Board:
    """The electronics between the electrodes and the converter.

    Attributes:
        gain: Millivolts at the converter per millivolt at the electrodes; negative if the leads are swapped.
        offset_mv: Offset added at the converter, mV.
        high_pass_hz: First-order corner, Hz; 0 for DC coupling.
        low_pass_hz: First-order corner, Hz; 0 for none.
        noise_mv: RMS of white noise at the electrodes, mV.
        clock_ppm: How much faster the board samples than its nominal rate, ppm.
    """

    gain: float = 1.0
    offset_mv: float = 0.0
    high_pass_hz: float = 0.0
    low_pass_hz: float = 0.0
    noise_mv: float = 0.0
    clock_ppm: float = 0.0


class CalibratorSignal:
    """A calibrator on a board.

    Args:
        calibrator: Signal applied to the electrodes.
        board: Board that alters it; ``None`` for an ideal one.
        seed: Seed of the noise.
    """

    def __init__(self, calibrator: Calibrator, board: Board | None = None, seed: int = 1) -> None:
        self._calibrator, self._board = calibrator, board or Board()
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([0xCA1, seed])))
        self._n = 0
        self._slow = self._fast = 0.0

    def generate(self, n: int, fs_hz: float) -> F64:
        """Return the next samples, shape ``(n,)``, millivolts at the converter."""
        board = self._board
        true_hz = fs_hz * (1.0 + board.clock_ppm * 1e-6)
        mv = self._calibrator.at((self._n + np.arange(n)) / true_hz)
        self._n += n
        if board.noise_mv > 0.0:
            mv = mv + board.noise_mv * self._rng.standard_normal(n)
        if board.low_pass_hz > 0.0 or board.high_pass_hz > 0.0:
            mv = self._filtered(mv, true_hz)
        return np.asarray(board.gain * mv + board.offset_mv)

    def _filtered(self, mv: F64, fs_hz: float) -> F64:
        """Apply one exact pole at each end, sample by sample, so that splitting a request changes nothing."""
        slow = 1.0 - math.exp(-2.0 * math.pi * self._board.high_pass_hz / fs_hz)
        low_pass = self._board.low_pass_hz
        fast = 1.0 - math.exp(-2.0 * math.pi * low_pass / fs_hz) if low_pass > 0.0 else 1.0
        out = np.empty_like(mv)
        for i, x in enumerate(mv.tolist()):
            self._fast += fast * (x - self._fast)
            out[i] = self._fast - self._slow
            self._slow += slow * (self._fast - self._slow)
        return out
