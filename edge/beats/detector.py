"""Streaming R-peak detector on the 125 Hz ``stream/1`` signal.

It takes the samples of a segment in pieces of any size and returns the sample numbers of the R peaks in order. The
output after a given sample does not depend on the pieces, because the work is done in internal blocks of 0.2 s from the
reset. A beat is confirmed 0.42 to 0.62 s after its peak, one found by search-back within ``max_delay_samples``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.beats.decide import HOLD_S, LEARN_S, BeatDecision
from edge.beats.feature import Peak, QrsFeature
from edge.beats.vet import BeatVetting
from edge.stats import median

LOCATE_S = 0.08
"""Distance from the peak of the feature within which the R peak is searched, s."""
LEVEL_S = 0.2
"""Distance within which the median of the stream is the zero of deflections, s."""
POLARITY_RATIO = 1.5
"""How much larger the deflection of the other polarity must be to change it, so that a complex with equal R and S keeps
the same landmark from beat to beat."""
BALANCE_MEMORY = 0.125
"""Weight of the newest beat in the balance of upward and downward deflections, which sets the polarity."""
BALANCE_TURN = 0.2
"""Balance on the other side at which the polarity changes; 0.2 is the balance at ``POLARITY_RATIO``."""

RIVAL = 0.8
"""Lowest summit of a notched complex that may be the R peak, as a fraction of the highest."""


class RPeakDetector:
    """Finds the R peaks of gap-free segments, one after another.

    Args:
        fs_hz: Sampling rate of the stream, Hz.

    Attributes:
        max_delay_samples: Longest delay from an R peak to the sample with which it is reported (in the first seconds
            after a reset: until the levels have been learned, at 2.6 s).
    """

    def __init__(self, fs_hz: float = 125.0) -> None:
        self._feature = QrsFeature(fs_hz)
        self._decision = BeatDecision(fs_hz)
        self._vetting = BeatVetting(round(HOLD_S * fs_hz))
        self._locate = round(LOCATE_S * fs_hz)
        self._level = round(LEVEL_S * fs_hz)
        self._certain_lag = self._feature.lag + self._feature.spacing
        self.max_delay_samples = round(HOLD_S * fs_hz) + self._certain_lag + self._feature.block + self._locate
        self._tail_n = self._certain_lag + round(max(HOLD_S, LEARN_S) * fs_hz) + 2 * self._feature.block + self._level
        self.reset()

    def reset(self) -> None:
        """Start a new segment: the next sample is number 0."""
        self._feature.reset()
        self._decision.reset()
        self._vetting.reset()
        self._block = np.zeros(self._feature.block)
        self._filled = 0
        self._tail = np.zeros(self._tail_n)
        self._taken = 0
        self._balance = 0.0
        self._sign = 0
        self._offset = 0
        self._previous = -1

    def push(self, x: NDArray[np.float64]) -> list[int]:
        """Take the next samples of the segment.

        Args:
            x: Samples, shape ``(n,)``, any ``n``, finite.

        Returns:
            Sample numbers (since the reset) of the R peaks that are now confirmed, strictly increasing over all calls.
        """
        samples = np.asarray(x, dtype=np.float64)
        beats: list[int] = []
        at = 0
        while at < len(samples):
            n = min(len(self._block) - self._filled, len(samples) - at)
            self._block[self._filled : self._filled + n] = samples[at : at + n]
            self._filled += n
            at += n
            if self._filled == len(self._block):
                self._filled = 0
                beats += self._step(self._block)
        return beats

    def _step(self, x: NDArray[np.float64]) -> list[int]:
        self._tail = np.concatenate([self._tail[len(x) :], x])
        self._taken += len(x)
        feature, peaks = self._feature.step(x)
        now = self._taken - self._certain_lag
        beats = self._vetting.step(now, self._decision.step(now, feature, peaks))
        return [self._r_peak(beat) for beat in beats]

    def _r_peak(self, peak: Peak) -> int:
        """Return the sample number of a beat's R peak: the largest deflection, in the known polarity if in doubt."""
        centre = peak.index - (self._taken - self._tail_n)
        around = self._tail[max(0, centre - self._level) : centre + self._level + 1]
        first = max(0, centre - self._locate)
        near = self._tail[first : centre + self._locate + 1] - median(around)
        up, down = float(near.max()), float(-near.min())
        if up + down > 0:
            balance = (up - down) / (up + down)
            self._balance += BALANCE_MEMORY * (balance - self._balance)
            if self._sign == 0 or self._sign * self._balance < -BALANCE_TURN:
                self._sign = 1 if balance >= 0 else -1
        bias = POLARITY_RATIO**self._sign
        at = self._landmark(near if up * bias >= down else -near, centre - first)
        index = first + at + self._taken - self._tail_n
        self._previous = max(index, self._previous + 1)
        return self._previous

    def _landmark(self, deflection: NDArray[np.float64], centre: int) -> int:
        """Return the index of the summit; among similar ones, the one at the same place as in the beat before."""
        summits = np.flatnonzero((deflection[1:-1] >= deflection[:-2]) & (deflection[1:-1] > deflection[2:])) + 1
        highest = int(deflection.argmax())
        rivals = [highest, *(int(s) for s in summits if deflection[s] >= RIVAL * deflection[highest])]
        at = min(rivals, key=lambda s: abs(s - centre - self._offset)) if len(rivals) > 1 else highest
        self._offset = at - centre
        return at
