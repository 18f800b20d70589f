"""A heartbeat taken apart into P, PR, QRS, ST, QT, T and rate, and put together again."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.explain.record import Part
from edge.waves.delineate import Delineation
from edge.waves.mean_beat import BEFORE, MeanBeat
from edge.waves.path import FS_HZ

F64 = NDArray[np.float64]

TRAIN_S = 13.0
"""Length of the train of beats, s: ten seconds of window, and what the filter needs around them."""
TAIL = round(0.14 * FS_HZ)
"""Samples after T in which its last level falls to zero, and which may hold a U wave."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The parts of a beat; levels are relative to the level before QRS.

    Attributes:
        p: P above the line between its ends, ``(a,)``; empty without P.
        pr_s: P onset to QRS onset, s.
        qrs: QRS, ``(b,)``.
        r: Index of R in ``qrs``.
        st: Level from the end of QRS to the onset of T, ``(c,)``.
        t: T above the line between its ends, ``(d,)``.
        u: What follows T, where a U wave is, above the line between its ends, ``(f,)``; it goes with T.
        qtc_s: QT at RR = 1 s (Fridericia), s.
        rr_s: RR intervals, s, ``(e,)``.
    """

    p: F64
    pr_s: float
    qrs: F64
    r: int
    st: F64
    t: F64
    u: F64
    qtc_s: float
    rr_s: F64

    @property
    def height(self) -> float:
        """Largest deflection of QRS."""
        return float(np.abs(self.qrs).max())

    def with_part(self, part: Part, other: Parts) -> Parts:
        """Return these parts with one of another beat, whose amplitudes are scaled to the same QRS."""
        gain = self.height / other.height if other.height > 0.0 else 1.0
        match part:
            case "P":
                return replace(self, p=other.p * gain)
            case "PR":
                return replace(self, pr_s=other.pr_s)
            case "QRS":
                return replace(self, qrs=other.qrs * gain, r=other.r)
            case "ST":
                return replace(self, st=other.st * gain)
            case "QT":
                return replace(self, qtc_s=other.qtc_s)
            case "T":
                return replace(self, t=other.t * gain, u=other.u * gain)
            case "rate":
                return replace(self, rr_s=self.rr_s * float(np.mean(other.rr_s) / np.mean(self.rr_s)))

    def beat(self, rr_s: float) -> tuple[F64, int]:
        """Return one beat at 250 Hz, and the index of R.

        Args:
            rr_s: RR interval, s, by which QT changes.
        """
        qt = round(self.qtc_s * rr_s ** (1.0 / 3.0) * FS_HZ)
        long = max(qt - len(self.qrs) - len(self.t), 2)
        st = np.interp(np.linspace(0.0, 1.0, long), np.linspace(0.0, 1.0, len(self.st)), self.st)
        pq = np.zeros(max(round(self.pr_s * FS_HZ) - len(self.p), 0))
        t = self.t + np.linspace(st[-1], 0.5 * st[-1], len(self.t))
        tail = self.u + np.linspace(t[-1], 0.0, TAIL)
        wave = np.concatenate((self.p, pq, self.qrs, st, t, tail))
        return _smooth(wave), len(self.p) + len(pq) + self.r

    def train(self) -> F64:
        """Return beats one after another at 250 Hz, ``(13 s,)``."""
        out = np.zeros(round(TRAIN_S * FS_HZ))
        wave, r = self.beat(float(np.mean(self.rr_s)))
        at_s, i = 0.3, 0
        while at_s < TRAIN_S:
            rr_s = float(self.rr_s[i % len(self.rr_s)])
            first = round(at_s * FS_HZ) - r
            inside = slice(max(first, 0), min(first + len(wave), len(out)))
            out[inside] += wave[inside.start - first : inside.stop - first]
            at_s, i = at_s + rr_s, i + 1
        return out


def take_apart(beat: MeanBeat, found: Delineation, reference: Parts | None = None) -> Parts | None:
    """Return the parts of an average beat; ``None`` if T is not clear.

    Args:
        beat: The average beat.
        found: Its waves.
        reference: Where PR comes from without a P.
    """
    qrs, p, t = found.qrs, found.p, found.t
    if not t.clear or len(beat.peaks) < 3:
        return None
    y = beat.wave - qrs.level
    on, off = round(qrs.onset), round(qrs.offset)
    begin, end = max(round(t.begin), off + 2), min(round(t.end), len(y) - 1)
    if end - begin < 4 or not on < BEFORE < off:
        return None
    rr_s = np.diff(beat.peaks) / FS_HZ
    hump, pr_s = np.zeros(0), reference.pr_s if reference is not None else 0.16
    if p.clear:
        hump, pr_s = _hump(y[max(round(p.begin), 0) : round(p.end) + 1]), (qrs.onset - p.begin) / FS_HZ
    qtc_s = (t.end - qrs.onset) / FS_HZ / beat.rr_s ** (1.0 / 3.0)
    u = np.zeros(TAIL)
    first_p = on + round((beat.rr_s - pr_s) * FS_HZ)
    if end + TAIL < min(first_p, len(y)):  # otherwise the next P or the end of the beat is in the way
        u = _hump(y[end : end + TAIL])
    return Parts(hump, pr_s, y[on:off], BEFORE - on, y[off:begin], _hump(y[begin:end]), u, qtc_s, rr_s)


def reference_parts() -> Parts:
    """Return the parts of the reference beat: the normal patient of the simulator, measured like any other.

    ``packaging/reference_beat.py`` writes the file, so that a device needs no simulator.
    """
    found = json.loads((Path(__file__).parent / "reference_beat.json").read_text(encoding="ascii"))
    p, qrs, st, t, u, rr_s = (np.array(found[key]) for key in ("p", "qrs", "st", "t", "u", "rr_s"))
    return Parts(p, found["pr_s"], qrs, found["r"], st, t, u, found["qtc_s"], rr_s)


def _hump(y: F64) -> F64:
    return y - np.linspace(y[0], y[-1], len(y))


def _smooth(y: F64) -> F64:
    """Return the moving mean of 3 samples, which joins the seams; the front end removes more."""
    padded = np.pad(y, 1)
    return np.asarray(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:])
