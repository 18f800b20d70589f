"""One-lead ECG from the ECGSYN dynamical model, streaming, in physiological units.

The model is that of McSharry et al., IEEE TBME 2003;50:289: a phase runs round the unit circle once per beat, each wave
(P, Q, R, S, T; here also ST and U) is a Gaussian of the phase, and ``z`` follows

    dz/dt = -sum_i a_i dtheta_i exp(-dtheta_i^2 / 2 b_i^2) - (z - z0),    z0 = A sin(2 pi f_resp t).

Two changes make it fast and measurable. The phase is known once the RR series is, so the sum is the time derivative of
``s``, a sum of Gaussians of the time since the R peak, and ``z = s + u`` where ``u`` obeys the linear first-order
``du/dt = -(u + s - z0)``: ``s`` is evaluated directly and ``u`` is a one-pole recurrence, solved one block at a time.
And ``theta_i``, ``b_i`` are computed per beat from milliseconds and millivolts (PR, QRS, QT, amplitudes), not constant.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import UsageError

F64 = NDArray[np.float64]

BLOCK_S = 2.0
"""Duration of the internal blocks, in seconds. Fixed, so that the signal does not depend on how it is requested."""

LEAD_S = 0.6
"""Longest time from the beginning of a beat to its R peak, in seconds."""

TAIL_S = 1.2
"""Longest time from an R peak to the end of its beat, in seconds."""

PREMATURITY = 0.36
"""Fraction of RR by which a premature beat is early and the pause after it longer (arbitrary)."""

_LOOKAHEAD_S = 1.6
"""Time past a block's end to which beats are placed: `LEAD_S` and the prematurity of the longest RR."""

RELAXATION_PER_S = 1.0
"""The rate of the ``-(z - z0)`` term (McSharry 2003)."""

QT_EXPONENT = 1.0 / 3.0
"""Fridericia: QT = QTc (RR / 1 s)^(1/3)."""

QT_MEMORY = 0.15
"""Weight of the newest RR interval in the average that QT follows; QT lags behind the heart rate (arbitrary)."""

LF_HZ = 0.1
"""Centre of the low-frequency band of the RR spectrum (McSharry 2003)."""

BAND_SD_HZ = 0.01
"""Width of both bands of the RR spectrum (McSharry 2003)."""

_LINES = 12
"""Sinusoids per band: enough that the RR series looks like noise and never repeats in practice."""

_RR_LIMITS_S = (0.22, 2.6)
"""Shortest and longest RR interval, in seconds."""

_BEATS_KEPT = 4096
"""Beats that `EcgSynth.take_beats` can return, at most; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class EcgParams:
    """One person's lead-II ECG.

    A wave's limits are where its steepest tangent meets the baseline, two standard deviations from a Gaussian's centre.

    Attributes:
        hr_bpm: Mean heart rate, beats per minute.
        rr_sd_ms: Standard deviation of RR in sinus rhythm, ms.
        lf_hf: Ratio of low- to high-frequency power of RR (ECGSYN default 0.5).
        resp_hz: Breathing rate, Hz; sets the high-frequency band, the baseline and the R modulation.
        pr_ms: P onset to QRS onset, ms.
        p_mv: P amplitude, mV; 0 for none.
        p_ms: P duration, ms.
        qrs_ms: QRS onset to QRS end, ms.
        q_mv: Q amplitude, mV, negative or 0.
        r_mv: R amplitude, mV.
        s_mv: S amplitude, mV, negative or 0.
        st_mv: ST level, mV.
        qtc_ms: QT at RR = 1 s, ms; at other rates it follows Fridericia's formula, with a lag of some beats.
        t_mv: T amplitude, mV; a negative value inverts T.
        t_ms: T duration, ms. At a fixed QT a shorter T means a longer ST.
        t_asymmetry: Rising part of T divided by its falling part (normal: above 1).
        u_mv: U amplitude, mV.
        resp_mv: Amplitude of ``z0``, the breathing baseline, mV (ECGSYN default 0.005).
        resp_r: Relative modulation of QRS by breathing.
        beat_jitter: Relative beat-to-beat standard deviation of P and T amplitude; a third of it for QRS.
        pvc_per_beat: Probability that a beat is a premature ventricular one.
        af: Whether the rhythm is atrial fibrillation: no P, irregular RR, f waves.
        f_wave_mv: Amplitude of the f waves of atrial fibrillation, mV.
    """

    hr_bpm: float = 70.0
    rr_sd_ms: float = 25.0
    lf_hf: float = 0.5
    resp_hz: float = 0.25
    pr_ms: float = 160.0
    p_mv: float = 0.12
    p_ms: float = 100.0
    qrs_ms: float = 92.0
    q_mv: float = -0.08
    r_mv: float = 1.0
    s_mv: float = -0.15
    st_mv: float = 0.0
    qtc_ms: float = 410.0
    t_mv: float = 0.3
    t_ms: float = 170.0
    t_asymmetry: float = 1.4
    u_mv: float = 0.01
    resp_mv: float = 0.005
    resp_r: float = 0.04
    beat_jitter: float = 0.03
    pvc_per_beat: float = 0.0
    af: bool = False
    f_wave_mv: float = 0.04

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = _LIMITS.get(field.name, (-5.0, 5.0))
            if not low <= value <= high:
                raise UsageError(f"{field.name}={value} is outside {low:g} to {high:g}")


_LIMITS: dict[str, tuple[float, float]] = {
    "hr_bpm": (25.0, 250.0),
    "rr_sd_ms": (0.0, 300.0),
    "lf_hf": (0.0, 100.0),
    "resp_hz": (0.05, 1.0),
    "pr_ms": (60.0, 450.0),
    "p_ms": (20.0, 250.0),
    "qrs_ms": (40.0, 240.0),
    "qtc_ms": (200.0, 750.0),
    "t_ms": (40.0, 400.0),
    "t_asymmetry": (0.3, 4.0),
    "resp_r": (0.0, 0.5),
    "beat_jitter": (0.0, 0.5),
    "pvc_per_beat": (0.0, 1.0),
    "af": (0, 1),
}
"""Allowed range of each parameter; amplitudes that are not listed allow -5 to 5 mV."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Ground truth of one beat.

    Attributes:
        r_time_s: Time of the R peak since the first sample, seconds.
        kind: ``"N"`` (normal) or ``"V"`` (premature ventricular).
        rr_s: Interval since the R peak before, seconds.
        qt_ms: QT of this beat, ms.
    """

    r_time_s: float
    kind: Literal["N", "V"]
    rr_s: float
    qt_ms: float


class EcgSynth:
    """An endless ECG of one patient.

    Args:
        params: The morphology and rhythm.
        seed: Seed of all randomness.
    """

    def __init__(self, params: EcgParams, seed: int) -> None:
        self.params = params
        self._rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([0xEC6, seed])))
        draw = self._rng
        self._lf = _Lines(draw, LF_HZ)
        self._hf = _Lines(draw, params.resp_hz)
        self._f_waves = _Lines(draw, float(draw.uniform(4.5, 7.0)), sd_hz=0.4)
        self._resp_phase = float(draw.uniform(0.0, 2.0 * np.pi))
        self._fs_hz = 0.0
        self._block = 0
        self._done = 0
        self._sum: F64 = np.zeros(0)
        self._ready: deque[F64] = deque()
        self._u = 0.0
        self._rr_mean_s = 60.0 / params.hr_bpm
        self._pause_s = 0.0
        self._next_s = -TAIL_S - float(draw.uniform(0.0, self._rr_mean_s))
        self._last_r_s = self._next_s - self._rr_mean_s
        self._beats: deque[Beat] = deque(maxlen=_BEATS_KEPT)

    def generate(self, n: int, fs_hz: float) -> F64:
        """Return the next samples.

        Args:
            n: Number of samples.
            fs_hz: Sampling rate, Hz; the first call fixes it.

        Returns:
            Millivolts, shape ``(n,)``. Any way of splitting a request gives the same samples, bit for bit.

        Raises:
            UsageError: ``fs_hz`` is not a usable rate or differs from the first call's.
        """
        self._start(fs_hz)
        parts: list[F64] = []
        while n > 0:
            if not self._ready:
                self._ready.append(self._next_block())
            head = self._ready.popleft()
            parts.append(head[:n])
            if head.shape[0] > n:
                self._ready.appendleft(head[n:])
            n -= parts[-1].shape[0]
        return np.concatenate(parts) if parts else np.zeros(0)

    def take_beats(self) -> list[Beat]:
        """Return the beats generated since the last call, in order.

        They run ahead of the returned samples by up to one block; only the newest 4096 are kept.
        """
        out = [beat for beat in self._beats if beat.r_time_s >= 0.0]
        self._beats.clear()
        return out

    def _start(self, fs_hz: float) -> None:
        if self._fs_hz == fs_hz > 0.0:
            return
        if self._fs_hz:
            raise UsageError(f"the rate was fixed at {self._fs_hz:g} Hz and cannot become {fs_hz:g} Hz")
        if not 50.0 <= fs_hz <= 8000.0:
            raise UsageError(f"fs_hz={fs_hz} is outside 50 to 8000")
        self._fs_hz = fs_hz
        self._block = round(BLOCK_S * fs_hz)
        self._sum = np.zeros(self._block + int((_LOOKAHEAD_S + TAIL_S) * fs_hz) + 2)

    def _next_block(self) -> F64:
        """Sum the beats that reach into the block, then add the relaxation term and z0."""
        fs, n = self._fs_hz, self._block
        end_s = (self._done + n) / fs
        while self._next_s - _LOOKAHEAD_S < end_s:
            self._add_beat()
        s = self._sum[:n].copy()
        self._sum[:-n] = self._sum[n:].copy()
        self._sum[-n:] = 0.0
        t_s = (self._done + np.arange(n)) / fs
        if self.params.af and self.params.f_wave_mv:
            s += self.params.f_wave_mv * self._f_waves.at(t_s)
        z0 = self.params.resp_mv * np.sin(2.0 * np.pi * self.params.resp_hz * t_s + self._resp_phase)
        if self._done == 0:
            self._u = -float(np.mean(s))
        self._done += n
        return s + self._relax(s - z0)

    def _relax(self, x: F64) -> F64:
        """One-pole low-pass of ``-x``, its state carried across blocks."""
        alpha = np.exp(-RELAXATION_PER_S / self._fs_hz)
        growth = np.exp(np.arange(x.shape[0] + 1) * (RELAXATION_PER_S / self._fs_hz))
        u = np.empty(x.shape[0] + 1)
        u[0] = self._u
        u[1:] = self._u - (1.0 - alpha) * np.cumsum(x * growth[1:])
        u /= growth
        self._u = float(u[-1])
        return u[:-1]

    def _add_beat(self) -> None:
        """Place the beat at ``_next_s`` and draw the time of the one after it."""
        p, rng = self.params, self._rng
        jitter = 1.0 + p.beat_jitter * rng.standard_normal(3)
        ectopic = rng.random() < p.pvc_per_beat
        irregular = float(rng.standard_normal())
        r_s = self._next_s
        rr_s = self._rr(r_s, irregular)
        if ectopic and not self._pause_s:
            # The premature beat replaces the sinus beat, and a compensatory pause follows.
            r_s -= PREMATURITY * rr_s
            self._pause_s = PREMATURITY * rr_s
        else:
            ectopic = False
            self._pause_s = 0.0
        self._rr_mean_s += QT_MEMORY * (rr_s - self._rr_mean_s)
        qt_ms = p.qtc_ms * self._rr_mean_s**QT_EXPONENT
        breath = 1.0 + p.resp_r * np.sin(2.0 * np.pi * p.resp_hz * r_s + self._resp_phase)
        waves = _pvc(p, qt_ms) if ectopic else _normal(p, qt_ms, jitter, breath)
        self._add_waves(r_s, waves)
        self._beats.append(Beat(r_s, "V" if ectopic else "N", r_s - self._last_r_s, qt_ms))
        self._last_r_s = r_s
        self._next_s = r_s + rr_s + self._pause_s

    def _rr(self, t_s: float, irregular: float) -> float:
        p = self.params
        mean_s = 60.0 / p.hr_bpm
        if p.af:
            rr = mean_s * float(np.exp(0.22 * irregular - 0.024))
        else:
            share = p.lf_hf / (1.0 + p.lf_hf)
            swing = math.sqrt(share) * self._lf.value(t_s) + math.sqrt(1.0 - share) * self._hf.value(t_s)
            rr = mean_s + 1e-3 * p.rr_sd_ms * swing
        return min(max(rr, _RR_LIMITS_S[0]), _RR_LIMITS_S[1])

    def _add_waves(self, r_s: float, waves: F64) -> None:
        fs = self._fs_hz
        first = max(int(np.ceil((r_s - LEAD_S) * fs)), self._done)
        last = min(int((r_s + TAIL_S) * fs), self._done + self._sum.shape[0])
        if last <= first:
            return
        tau_s = np.arange(first, last) / fs - r_s
        amplitude, centre_s, rise_s, fall_s = waves
        for a, c, up, down in zip(amplitude, centre_s, rise_s, fall_s, strict=True):
            if a == 0.0:
                continue
            # Six standard deviations: the part cut off is below 2e-8 of the wave.
            i, k, m = np.searchsorted(tau_s, (c - 6.0 * up, c, c + 6.0 * down))
            at = slice(first - self._done + int(i), first - self._done + int(m))
            x = (tau_s[i:m] - c) * np.repeat((1.0 / up, 1.0 / down), (k - i, m - k))
            self._sum[at] += a * np.exp(-0.5 * x * x)


class _Lines:
    """Unit-variance noise in a narrow band: a fixed sum of sinusoids, so it can be read at any time."""

    def __init__(self, rng: np.random.Generator, centre_hz: float, sd_hz: float = BAND_SD_HZ) -> None:
        self._w = 2.0 * np.pi * np.abs(rng.normal(centre_hz, sd_hz, _LINES))
        self._phase = rng.uniform(0.0, 2.0 * np.pi, _LINES)

    def at(self, t_s: F64) -> F64:
        """Return the value at each of ``t_s``, shape ``(n,)``."""
        total = np.zeros(t_s.shape[0])
        for w, phase in zip(self._w, self._phase, strict=True):
            total += np.sin(w * t_s + phase)
        return total * math.sqrt(2.0 / _LINES)

    def value(self, t_s: float) -> float:
        """Return the value at one time."""
        return float(np.sum(np.sin(self._w * t_s + self._phase))) * math.sqrt(2.0 / _LINES)


QRS_ONSET = 0.42
"""QRS onset lies this fraction of the QRS width before the R peak (arbitrary; a Q of a quarter of the width)."""


def _normal(p: EcgParams, qt_ms: float, jitter: F64, breath: float) -> F64:
    """Waves of a conducted beat: rows of amplitude (mV), centre, rising and falling standard deviation (s)."""
    onset = -QRS_ONSET * p.qrs_ms
    qrs_gain = breath * (1.0 + (jitter[1] - 1.0) / 3.0)
    t_fall = p.t_ms / (2.0 * (1.0 + p.t_asymmetry))
    t_end = onset + qt_ms
    t_centre = t_end - 2.0 * t_fall
    j_point = onset + p.qrs_ms
    st_centre = 0.5 * (j_point + max(t_end - p.t_ms, j_point + 40.0))
    p_sd = p.p_ms / 4.0
    p_mv = 0.0 if p.af else p.p_mv
    rows = (
        (p_mv * jitter[0], onset - p.pr_ms + 2.0 * p_sd, p_sd, p_sd),
        (p.q_mv * qrs_gain, -0.28 * p.qrs_ms, 0.07 * p.qrs_ms, 0.07 * p.qrs_ms),
        (p.r_mv * qrs_gain, 0.0, 0.13 * p.qrs_ms, 0.11 * p.qrs_ms),
        (p.s_mv * qrs_gain, 0.36 * p.qrs_ms, 0.11 * p.qrs_ms, 0.11 * p.qrs_ms),
        (p.st_mv, st_centre, 35.0, 35.0),
        (p.t_mv * jitter[2], t_centre, t_fall * p.t_asymmetry, t_fall),
        (p.u_mv, t_end + 55.0, 28.0, 32.0),
    )
    return _table(rows)


def _pvc(p: EcgParams, qt_ms: float) -> F64:
    """Waves of a premature ventricular beat: wide, without P, T opposite to QRS (shape arbitrary)."""
    r_mv = 1.25 * max(abs(p.r_mv), 0.4)
    t_end = -65.0 + qt_ms + 40.0
    rows = (
        (r_mv, 0.0, 26.0, 22.0),
        (-0.35 * r_mv, 62.0, 18.0, 26.0),
        (-0.3 * r_mv, t_end - 90.0, 60.0, 45.0),
    )
    return _table(rows)


def _table(rows: tuple[tuple[float, float, float, float], ...]) -> F64:
    table = np.array(rows).T
    table[1:] *= 1e-3
    return table
