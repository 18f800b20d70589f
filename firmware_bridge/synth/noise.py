"""The noise of a chest lead: baseline wander, mains, muscle, motion, electrode pops, lost contact.

Each kind has its own amplitude in `NoiseParams`. Like the ECG, the noise is generated in internal blocks of fixed
duration, so that it does not depend on how it is requested. Amplitudes and rates are arbitrary, chosen to look like
ambulatory recordings; no source gives them for a single patch.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import UsageError

F64 = NDArray[np.float64]

BLOCK_S = 4.0
"""Duration of the internal blocks, in seconds."""

_WANDER_LINES = 8
"""Number of sinusoids in the wander."""

_CONTACT_MAX_S = 12.0
"""Longest loss of contact, in seconds."""

_POP_DECAY_S = 0.35
"""Time constant with which an electrode pop returns to the baseline (a high-pass of about 0.45 Hz)."""


@dataclass(frozen=True, slots=True)
class NoiseParams:
    """Amplitudes and rates of each kind of noise; all zero is a clean signal.

    Attributes:
        wander_mv: RMS of the baseline wander, 0.03 to 0.5 Hz, mV.
        mains_hz: Mains frequency, 50 or 60 Hz; 0 switches it off.
        mains_mv: Amplitude of the fundamental, mV; the second and third harmonic have 20 and 30 % of it.
        muscle_mv: RMS of the muscle noise, 15 to 150 Hz, averaged over its bursts, mV.
        white_mv: RMS of the converter's white noise, mV.
        motion_per_min: Motion bursts per minute.
        motion_mv: Typical peak of a burst, 0.7 to 9 Hz, mV.
        pops_per_min: Electrode pops per minute.
        pop_mv: Typical height of a pop, mV.
        contact_loss_per_min: Losses of contact per minute, 0.5 to 12 s each; only noise and mains remain.
        gain_drift: Relative standard deviation of the slow change in gain.
    """

    wander_mv: float = 0.05
    mains_hz: float = 50.0
    mains_mv: float = 0.005
    muscle_mv: float = 0.008
    white_mv: float = 0.004
    motion_per_min: float = 0.0
    motion_mv: float = 0.6
    pops_per_min: float = 0.0
    pop_mv: float = 0.8
    contact_loss_per_min: float = 0.0
    gain_drift: float = 0.02

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0.0 <= value <= 100.0:
                raise UsageError(f"{field.name}={value} is outside 0 to 100")


CLEAN = NoiseParams(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Parameters of a clean signal."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseBlock:
    """Noise for a run of samples.

    Attributes:
        added_mv: Noise to add, shape ``(n,)``, mV.
        gain: Factor of the ECG, shape ``(n,)``; 0 while contact is lost.
        contact: Whether there is contact, shape ``(n,)`` bool.
    """

    added_mv: F64
    gain: F64
    contact: NDArray[np.bool_]


class NoiseSource:
    """Endless noise.

    Args:
        params: Amplitudes and rates.
        seed: Seed of all randomness.
    """

    def __init__(self, params: NoiseParams, seed: int) -> None:
        self.params = params
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([0x4015E, seed])))
        draw = self._rng
        self._wander_hz = np.exp(draw.uniform(np.log(0.03), np.log(0.5), _WANDER_LINES))
        self._phase = draw.uniform(0.0, 2.0 * np.pi, _WANDER_LINES + 4)
        self._mains_hz = params.mains_hz * (1.0 + 3e-4 * float(draw.standard_normal()))
        self._fs_hz = 0.0
        self._n = 0
        self._done = 0
        self._tail: F64 = np.zeros(0)
        self._events: F64 = np.zeros(0)
        self._lost_until = 0
        self._ready: deque[NoiseBlock] = deque()

    def generate(self, n: int, fs_hz: float) -> NoiseBlock:
        """Return the noise for the next ``n`` samples; any way of splitting gives the same, bit for bit.

        Raises:
            UsageError: ``fs_hz`` is not usable or differs from the first call's.
        """
        self._start(fs_hz)
        parts: list[NoiseBlock] = []
        while n > 0:
            if not self._ready:
                self._ready.append(self._next_block())
            head = self._ready.popleft()
            take = min(n, head.gain.shape[0])
            parts.append(NoiseBlock(head.added_mv[:take], head.gain[:take], head.contact[:take]))
            if take < head.gain.shape[0]:
                rest = NoiseBlock(head.added_mv[take:], head.gain[take:], head.contact[take:])
                self._ready.appendleft(rest)
            n -= take
        if not parts:
            return NoiseBlock(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.bool_))
        return NoiseBlock(
            np.concatenate([p.added_mv for p in parts]),
            np.concatenate([p.gain for p in parts]),
            np.concatenate([p.contact for p in parts]),
        )

    def apply(self, ecg_mv: F64, fs_hz: float) -> F64:
        """Return ``ecg_mv`` (shape ``(n,)``) with the noise of the next ``n`` samples."""
        noise = self.generate(ecg_mv.shape[0], fs_hz)
        return ecg_mv * noise.gain + noise.added_mv

    def _start(self, fs_hz: float) -> None:
        if self._fs_hz == fs_hz > 0.0:
            return
        if self._fs_hz:
            raise UsageError(f"the rate was fixed at {self._fs_hz:g} Hz and cannot become {fs_hz:g} Hz")
        if not 50.0 <= fs_hz <= 8000.0:
            raise UsageError(f"fs_hz={fs_hz} is outside 50 to 8000")
        self._fs_hz = fs_hz
        self._n = round(BLOCK_S * fs_hz)
        self._tail = np.zeros(self._n)
        self._events = np.zeros(3 * self._n)

    def _next_block(self) -> NoiseBlock:
        p, n = self.params, self._n
        t_s = (self._done + np.arange(n)) / self._fs_hz
        added = self._wander(t_s) + self._mains(t_s) + self._muscle(t_s)
        added += p.white_mv * self._rng.standard_normal(n)
        self._add_events()
        added += self._events[:n]
        self._events[:-n] = self._events[n:].copy()
        self._events[-n:] = 0.0
        slow = np.sin(2.0 * np.pi * self._wander_hz[0] * 0.2 * t_s + self._phase[-4])
        gain = 1.0 + p.gain_drift * np.sqrt(2.0) * slow
        contact = self._contact()
        if not contact.all():
            # An open electrode carries no ECG, more mains and a wide slow drift.
            gain = np.where(contact, gain, 0.0)
            open_mv = 0.08 * self._rng.standard_normal(n) + 4.0 * self._mains(t_s)
            added = np.where(contact, added, added + open_mv)
        self._done += n
        return NoiseBlock(added, gain, contact)

    def _wander(self, t_s: F64) -> F64:
        total = np.zeros(t_s.shape[0])
        if self.params.wander_mv == 0.0:
            return total
        for hz, phase in zip(self._wander_hz, self._phase, strict=False):
            total += np.sin(2.0 * np.pi * hz * t_s + phase)
        return total * (self.params.wander_mv * float(np.sqrt(2.0 / _WANDER_LINES)))

    def _mains(self, t_s: F64) -> F64:
        p = self.params
        if p.mains_hz == 0.0 or p.mains_mv == 0.0:
            return np.zeros(t_s.shape[0])
        total = np.zeros(t_s.shape[0])
        for harmonic, weight in ((1, 1.0), (2, 0.2), (3, 0.3)):
            if harmonic * p.mains_hz < 0.5 * self._fs_hz:
                w = 2.0 * np.pi * harmonic * self._mains_hz
                total += weight * np.sin(w * t_s + self._phase[-harmonic])
        swell = 1.0 + 0.3 * np.sin(2.0 * np.pi * 0.07 * t_s + self._phase[0])
        return np.asarray(p.mains_mv * swell * total)

    def _muscle(self, t_s: F64) -> F64:
        """Band-limited noise under a slowly varying envelope of mean square one."""
        if self.params.muscle_mv == 0.0:
            return np.zeros(t_s.shape[0])
        noise = self._coloured(15.0, min(150.0, 0.45 * self._fs_hz))
        swing = np.sin(2.0 * np.pi * 0.11 * t_s + self._phase[1]) * np.sin(2.0 * np.pi * 0.031 * t_s + self._phase[2])
        return np.asarray(self.params.muscle_mv * np.sqrt(1.0 + 0.9 * swing) * noise)

    def _coloured(self, low_hz: float, high_hz: float) -> F64:
        """Unit-variance noise of a band, stationary across blocks: double blocks cross-faded at equal power."""
        n = self._n
        spectrum = np.fft.rfft(self._rng.standard_normal(2 * n))
        hz = np.fft.rfftfreq(2 * n, 1.0 / self._fs_hz)
        keep = (hz >= low_hz) & (hz <= high_hz)
        spectrum[~keep] = 0.0
        noise = np.fft.irfft(spectrum, 2 * n) / np.sqrt(np.mean(keep))
        fade = 0.5 * np.pi * np.arange(n) / n
        out = noise[:n] * np.sin(fade) + self._tail
        self._tail = noise[n:] * np.cos(fade)
        return np.asarray(out)

    def _add_events(self) -> None:
        """Start this block's motion bursts and pops; they may run into the blocks after it."""
        p, rng, fs = self.params, self._rng, self._fs_hz
        for _ in range(int(rng.poisson(p.motion_per_min * BLOCK_S / 60.0))):
            start = int(rng.integers(self._n))
            length = int(rng.uniform(0.5, 4.0) * fs)
            t_s = np.arange(length) / fs
            burst = np.zeros(length)
            for _line in range(5):
                burst += np.sin(2.0 * np.pi * rng.uniform(0.7, 9.0) * t_s + rng.uniform(0.0, 2.0 * np.pi))
            height = p.motion_mv * float(np.exp(0.5 * rng.standard_normal()))
            self._events[start : start + length] += 0.5 * height * np.hanning(length) * burst
        for _ in range(int(rng.poisson(p.pops_per_min * BLOCK_S / 60.0))):
            start = int(rng.integers(self._n))
            length = int(6.0 * _POP_DECAY_S * fs)
            height = p.pop_mv * float(np.exp(0.5 * rng.standard_normal())) * (1.0 if rng.random() < 0.5 else -1.0)
            self._events[start : start + length] += height * np.exp(-np.arange(length) / (fs * _POP_DECAY_S))

    def _contact(self) -> NDArray[np.bool_]:
        rng, fs, n = self._rng, self._fs_hz, self._n
        contact = np.ones(n, dtype=np.bool_)
        contact[: max(0, min(n, self._lost_until - self._done))] = False
        if rng.random() < self.params.contact_loss_per_min * BLOCK_S / 60.0:
            start = int(rng.integers(n))
            length = int(min(_CONTACT_MAX_S, 0.5 + rng.exponential(3.0)) * fs)
            contact[start : start + length] = False
            self._lost_until = max(self._lost_until, self._done + start + length)
        return contact
