"""The heart rate of successive windows, also in noise.

In a good window the detected beats are real, and the rate is theirs: the mean rate if the rhythm is irregular or
alternates. A window is good if the quality gate accepts it, or if most beats look like those of the windows before. In
any other window the rate follows from the rate known before, how fast a heart rate can change, and the best chain of
candidates for each rate. If these do not give one credible rate, the result is ``None``. An irregular rhythm has no
chain; there beats and candidates must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from edge.beats.chain import ChainFinder
from edge.beats.newest import with_newest
from edge.beats.rate import MIN_BEATS, heart_rate_bpm, median_rate_bpm
from edge.beats.shape import Candidates, Shape, ShapeMatcher, unit_shape
from edge.stats import median

FS_HZ = 125.0
"""Sampling rate of the windows, Hz."""
MATCH = 0.8
"""Likeness from which a beat counts as known (95 % of all beats of clean records are above 0.9)."""
MOSTLY = 0.75
"""Share of known beats in a good window. With electrode motion and motion noise on real and simulated beats, the rate
is wrong by more than 5 bpm in 2 % of the good windows and in 50 % of all windows."""
USABLE = 0.5
"""Quality score from which the beats of a window are right (``ACCEPT_SCORE`` of the quality gate): its rate is theirs,
and shape and rhythm are learned from it."""
REGULAR = 0.1
"""A rhythm is regular if the median deviation of its intervals from their median is below this fraction of it (as
``REGULAR`` in ``vet.py``)."""
MEMORY = 0.2
"""Weight of the newest window in shape and rhythm."""
FORGET_WINDOWS = 20
"""Usable windows in a row with beats like each other but unlike the known shape, after which it counts as changed."""
CERTAIN = 0.04
"""Smallest standard deviation of the logarithm of the rate after a good window."""
WALK = 0.02
"""Standard deviation of the change of that logarithm in one second: 2 %, so 15 % in a minute."""
LEAP_PER_S = 0.005
"""Probability per second of a jump to any other rate."""
WINDOW_S = 10.0
"""Length of a window, s; its evidence counts for its new part only."""
ONE_RATE = 0.06
"""Largest relative difference of rates that count as the same."""
CREDIBLE = 0.6
"""Smallest probability of a credible rate."""
EXPLAINED = 0.5
"""Smallest share of the matching candidates in the chain of a credible rate; otherwise it may be half the true rate."""
IRREGULAR_MATCHES = (0.65, 0.75)
"""In an irregular rhythm the rate is computed from the detected beats and from the candidates above each of these two
likenesses (``MATCH`` in ``vet.py`` is between them)."""
AGREE = 1.4
"""Largest ratio between these three rates; a rate that depends more on the choice is not credible."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Measurements of one window."""

    window: NDArray[np.float64]
    band: NDArray[np.float64]
    beats: NDArray[np.int64]
    score: float
    own: Shape | None
    found: Candidates
    share: float
    scatter: float


class HeartRate:
    """Computes the heart rate of the windows of gap-free segments, one after another."""

    def __init__(self) -> None:
        self._matcher = ShapeMatcher(FS_HZ)
        self._chains = ChainFinder(FS_HZ)
        self.reset()

    def reset(self) -> None:
        """Start a new segment and forget everything."""
        self._belief = np.full(len(self._chains.log_rate), 1.0 / len(self._chains.log_rate))
        self._shape: Shape | None = None
        self._scatter: float | None = None
        self._strange = 0
        self._end_s: float | None = None

    def update(self, end_s: float, window: NDArray[np.float64], beats: NDArray[np.int64], score: float) -> float | None:
        """Take the next window.

        Args:
            end_s: Signal time of the end of the window, s, increasing.
            window: The filtered window at 125 Hz, shape ``(n,)``.
            beats: R peaks in the window, as increasing sample numbers.
            score: Quality score of the window.

        Returns:
            Beats per minute; ``None`` if no rate is credible.
        """
        passed_s = end_s - self._end_s if self._end_s is not None else WINDOW_S
        self._end_s = end_s
        self._drift(passed_s)
        look = self._look(window, beats, score)
        if look is None:
            return heart_rate_bpm(with_newest(window, beats), FS_HZ) if score >= USABLE else None
        if self._is_good(look):
            self._strange = 0
            return self._from_beats(look)
        self._notice_new_shape(look)
        if self._shape is None:
            return None
        if not self._regular:
            return self._from_candidates(look)
        return self._from_chain(look, min(1.0, passed_s / WINDOW_S))

    @property
    def _regular(self) -> bool:
        return self._scatter is None or self._scatter <= REGULAR

    def _drift(self, passed_s: float) -> None:
        """Diffuse the belief for some time without new data, and spread a little of it over all rates."""
        step = float(self._chains.log_rate[1] - self._chains.log_rate[0])
        variance = WALK**2 * passed_s
        rounds = max(1, ceil(variance / (0.5 * step * step)))
        aside = variance / rounds / (2.0 * step * step)
        belief = self._belief
        for _ in range(rounds):
            wide = np.concatenate([belief[:1], belief, belief[-1:]])
            belief = (1.0 - 2.0 * aside) * belief + aside * (wide[:-2] + wide[2:])
        leap = 1.0 - (1.0 - LEAP_PER_S) ** passed_s
        self._belief = (1.0 - leap) * belief + leap / len(belief)

    def _believe(self, log_likelihood: NDArray[np.float64]) -> None:
        belief = self._belief * np.exp(log_likelihood - log_likelihood.max()) + np.finfo(float).tiny
        self._belief = belief / belief.sum()

    def _look(self, window: NDArray[np.float64], beats: NDArray[np.int64], score: float) -> _Look | None:
        band = self._matcher.band(window)
        own = self._matcher.learn(band, beats)
        shape = self._shape or own
        if shape is None:
            return None
        found = self._matcher.candidates(band, shape)
        share = self._matcher.share_alike(found, beats, len(band), MATCH)
        return _Look(window, band, beats, score, own, found, share, _scatter(beats))

    def _is_good(self, look: _Look) -> bool:
        if len(look.beats) < MIN_BEATS:
            return False
        if look.score >= USABLE:
            return True
        # Artefacts that match the shape by chance disturb the rhythm, which shows if it was regular before.
        return look.share >= MOSTLY and (look.scatter <= REGULAR or not self._regular)

    def _from_beats(self, look: _Look) -> float | None:
        beats = with_newest(look.window, look.beats)
        rate_bpm = heart_rate_bpm(beats, FS_HZ) if look.score >= USABLE else median_rate_bpm(look.beats, FS_HZ)
        if rate_bpm is None:
            return None
        if look.score >= USABLE:
            self._learn(look)
        off = (self._chains.log_rate - np.log(rate_bpm)) / max(CERTAIN, look.scatter)
        self._believe(-0.5 * off * off)
        return rate_bpm

    def _learn(self, look: _Look) -> None:
        known = look.scatter if self._scatter is None else self._scatter
        self._scatter = known + MEMORY * (look.scatter - known)
        if look.own is None or (self._shape is not None and look.share < MOSTLY):
            return
        old = self._shape or look.own
        unit = old.unit + MEMORY * (look.own.unit - old.unit)
        self._shape = unit_shape(unit, old.size + MEMORY * (look.own.size - old.size))

    def _notice_new_shape(self, look: _Look) -> None:
        """Forget the known shape if usable windows have shown another one for long enough."""
        if self._shape is None or look.own is None or look.score < USABLE:
            return
        found = self._matcher.candidates(look.band, look.own)
        if self._matcher.share_alike(found, look.beats, len(look.band), MATCH) >= MOSTLY:
            self._strange += 1
        if self._strange >= FORGET_WINDOWS:
            self._shape = None
            self._strange = 0

    def _from_candidates(self, look: _Look) -> float | None:
        at, likeness = look.found.at, look.found.likeness
        choices = [look.beats, *(at[likeness >= least] for least in IRREGULAR_MATCHES)]
        rates = [r for r in (median_rate_bpm(beats, FS_HZ) for beats in choices) if r is not None]
        return median(rates) if len(rates) == len(choices) and max(rates) <= AGREE * min(rates) else None

    def _from_chain(self, look: _Look, weight: float) -> float | None:
        chains = self._chains.find(look.found, len(look.band))
        self._believe(weight * chains.score)
        best = int(self._belief.argmax())
        beats = chains.beats(best)
        near = np.abs(self._chains.log_rate - self._chains.log_rate[best]) <= ONE_RATE
        matching = look.found.at[look.found.likeness >= MATCH]
        taken = len(set(matching.tolist()).intersection(beats.tolist())) / len(matching) if len(matching) else 0.0
        if chains.score[best] <= 0.0 or float(self._belief[near].sum()) < CREDIBLE or taken < EXPLAINED:
            return None
        intervals = np.diff(beats)
        intervals = intervals / np.maximum(1.0, np.rint(intervals / self._chains.period[best]))
        return 60.0 * FS_HZ / (median(intervals) if len(intervals) > MIN_BEATS else float(self._chains.period[best]))


def _scatter(beats: NDArray[np.int64]) -> float:
    """Return the median deviation of the intervals from their median, relative to it; 1 without intervals."""
    intervals = [b - a for a, b in pairwise(beats.tolist())]
    if not intervals:
        return 1.0
    usual = median(intervals)
    return median(abs(interval - usual) for interval in intervals) / max(usual, 1.0)
