"""The boundary network: where P, QRS and T of an average beat begin and end.

Seven small convolutions over 1.28 s at 125 Hz, in numpy alone. It was trained on the beats that cardiologists marked in
the Lobachevsky University Database (Kalyakulina et al., IEEE Access 2020;8:186181, ODC-By 1.0) and on simulated beats;
``benchmarks/fit_waves.py`` makes the weights again. Each of its six outputs is a distribution over time, whose centre
is the boundary and whose concentration is how sure it is. The beat is also given upside down, because a lead may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]

FS_HZ = 125.0
"""Sampling rate of the beat, Hz."""
SAMPLES = 160
"""Length of the beat, samples at 125 Hz."""
R = 60
"""Index of R."""
CHANNELS = 20
FIRST, LATER = 7, 5
"""Lengths of the first convolution and of the five that follow."""
DILATIONS = (1, 2, 4, 8, 16)
MARGIN = max(DILATIONS) * (LATER // 2)
"""Zeros before and after the beat."""
MARKS = ("p_begin", "p_end", "qrs_begin", "qrs_end", "t_peak", "t_end")
"""What the outputs mean."""
SLOPE_GAIN = 4.0
"""Factor of the second input, the slope per sample."""
NEAR = 4
"""Samples on each side of the most probable one over which the centre is taken, except for the end of T."""
QRS_RANGE = slice(R - 15, R + 18)
"""Where the largest deflection is 1 after scaling."""

QTC_USUAL_S, QTC_USUAL_SD_S = 0.415, 0.08
"""Usual QT at RR = 1 s (Fridericia) and a generous spread, s: of two equally likely ends of T, such as before and after
a U wave, the usual one counts."""

_ONSET, _T_END = MARKS.index("qrs_begin"), MARKS.index("t_end")
_TIME = np.arange(SAMPLES)

_SHAPES: tuple[tuple[int, ...], ...] = (
    (FIRST * 2, CHANNELS),
    (CHANNELS,),
    *((LATER * CHANNELS, CHANNELS), (CHANNELS,)) * len(DILATIONS),
    (CHANNELS, len(MARKS)),
    (len(MARKS),),
    (CHANNELS, 1),
    (1,),
)
WEIGHTS = sum(int(np.prod(shape)) for shape in _SHAPES)
"""Number of weights."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What the network says about a beat.

    Attributes:
        at: Times of :data:`MARKS`, samples at 125 Hz with a fraction, ``(6,)``.
        sure: Probability of being within 32 ms of the most probable time, ``(6,)``.
        t_end_sd: Standard deviation of the distribution of the end of T, samples at 125 Hz.
        p_score: Logit of a P wave being there.
    """

    at: F64
    sure: F64
    t_end_sd: float
    p_score: float


class BoundaryNet:
    """The network.

    Args:
        weights: Weights in the order of :data:`_SHAPES`, ``(WEIGHTS,)``; ``None`` for those of the package.

    Raises:
        ValueError: The number of weights is wrong.
    """

    def __init__(self, weights: NDArray[np.floating] | None = None) -> None:
        flat = np.load(Path(__file__).parent / "boundaries.npy", allow_pickle=False) if weights is None else weights
        if flat.shape != (WEIGHTS,):
            msg = f"the boundary network has {WEIGHTS} weights, not {flat.shape}"
            raise ValueError(msg)
        ends = np.cumsum([int(np.prod(shape)) for shape in _SHAPES])[:-1]
        parts = np.split(flat.astype(np.float32), ends)
        self._weights = [part.reshape(shape) for part, shape in zip(parts, _SHAPES, strict=True)]

    def mark(self, beat: F64, rr_s: float) -> Marked:
        """Mark a beat.

        Args:
            beat: The beat less the level before QRS, any unit, ``(160,)`` at 125 Hz with R at 60.
            rr_s: RR interval, seconds.
        """
        x = scaled(beat)
        slope = SLOPE_GAIN * np.gradient(x)
        once = np.stack((x, slope), axis=1)
        scores, p_score = self._run(np.stack((once, -once)))
        scale = rr_s ** (1.0 / 3.0) * FS_HZ
        away = (_TIME - scores[:, _ONSET].argmax() - QTC_USUAL_S * scale) / (QTC_USUAL_SD_S * scale)
        scores[:, _T_END] -= 0.5 * away * away
        scores -= scores.max(axis=0)
        share = np.exp(scores)
        share /= share.sum(axis=0)
        most = share.argmax(axis=0)
        near = np.where(np.abs(_TIME[:, None] - most) <= NEAR, share, 0.0)
        sure = near.sum(axis=0)
        at = (near * _TIME[:, None]).sum(axis=0) / sure
        # A small second phase may or may not belong to T: the mean of both possible ends errs less than the likelier
        # one. The other boundaries gain nothing from it.
        t_end = share[:, _T_END]
        at[_T_END] = mean = float((t_end * _TIME).sum())
        return Marked(at, sure, float(np.sqrt((t_end * (_TIME - mean) ** 2).sum())), p_score)

    def _run(self, x: F64) -> tuple[F64, float]:
        """Return the scores of the marks, ``(160, 6)``, and of P: means over the beat and its mirror image."""
        w, room = self._weights, _Room()
        room.input[:, MARGIN : MARGIN + SAMPLES, :2] = x
        h = np.maximum(room.convolved(w[0], w[1], FIRST, 1), 0.0)
        for i, dilation in enumerate(DILATIONS):
            room.input[:, MARGIN : MARGIN + SAMPLES] = h
            found = room.convolved(w[2 + 2 * i], w[3 + 2 * i], LATER, dilation)
            h += np.maximum(found, 0.0, out=found)
        scores = h.reshape(-1, CHANNELS) @ w[-4] + w[-3]
        p_scores = h.max(axis=1) @ w[-2] + w[-1]
        return scores.reshape(2, SAMPLES, -1).mean(axis=0, dtype=np.float64), float(p_scores.mean())


class _Room:
    """Memory of one run: blocks of this size go back to the system when they are freed (edge/process/allocator.py)."""

    def __init__(self) -> None:
        # Single precision moves no boundary by a microsecond and takes three quarters of the time.
        self.input = np.zeros((2, SAMPLES + 2 * MARGIN, CHANNELS), dtype=np.float32)
        self._sum, self._product = np.empty((2, 2, SAMPLES, CHANNELS), dtype=np.float32)

    def convolved(self, weights: F32, bias: F32, length: int, dilation: int) -> F32:
        """Return a convolution of the input, ``(2, 160, CHANNELS)``; the next one overwrites it."""
        channels = len(weights) // length
        first = MARGIN - dilation * (length // 2)
        for k in range(length):
            at = first + k * dilation
            part = self.input[:, at : at + SAMPLES, :channels]
            np.matmul(part, weights[k * channels : (k + 1) * channels], out=self._product if k else self._sum)
            if k:
                self._sum += self._product
        self._sum += bias
        return self._sum


def scaled(beat: F64) -> F64:
    """Return a beat whose largest deflection near R is 1, ``(160,)``; zeros as they are."""
    largest = float(np.abs(beat[QRS_RANGE]).max())
    return beat / (largest if largest > 0.0 else 1.0)
