"""Rejection of artefacts among the beats: a beat of another shape between two good ones that are one interval apart.

Electrode motion gives peaks as steep and as large as a QRS complex, so no threshold removes them. The shape does, with
care, because an ectopic beat looks different as well. A beat of another shape is dropped only if the beat before it and
a better-looking one after it are one usual interval apart, so that it has no place in the rhythm. A premature beat with
its pause, a run of ectopic beats and a changed shape all stay. (An interpolated ectopic beat is dropped; those are
rare.)
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.beats.feature import Peak
from edge.stats import median

MATCH = 0.7
"""Correlation with the template from which a beat matches. On a record with electrode motion at 6 dB, false beats have
a median of 0.65 and true ones of 0.95; on clean records 95 % of all beats are above 0.9."""
LEARN_MATCH = 0.8
"""Correlation from which a beat also updates the template."""
REGULAR_MATCH = 0.85
"""Correlation below which a misplaced beat is dropped in a regular rhythm; otherwise ``MATCH``."""
BETTER_BY = 0.1
"""How much larger the correlation of the beat that replaces it must be."""
TEMPLATE_MEMORY = 0.125
"""Weight of the newest beat in the template."""
MATURE = 4
"""Number of beats in the template, or of intervals in the rhythm, before it is used."""
FORGET = 12
"""Beats in a row without a match after which the template is learned again, because the shape has changed. The same for
intervals that do not fit the rhythm."""
TINY = float(np.finfo(np.float64).tiny)
"""Divisor in place of a length of 0."""
ONE_INTERVAL = (0.75, 1.3)
"""Bounds of the distance of two beats, in usual intervals, that counts as one interval."""
HISTORY = 12
"""Number of intervals that determine the usual one."""
REGULAR = 0.1
"""A rhythm is regular if the median deviation of its intervals from their median is below this fraction of it.
Sinus rhythm stays below 0.05, atrial fibrillation has 0.15 and more."""


class _Rhythm:
    """The usual interval, from intervals between matching beats that follow each other directly."""

    def __init__(self) -> None:
        self._intervals: deque[int] = deque(maxlen=HISTORY)
        self._strange: deque[int] = deque(maxlen=FORGET)

    def learn(self, interval: int) -> None:
        if self._intervals and not self.is_one(interval) and len(self._intervals) >= MATURE:
            self._strange.append(interval)
            if len(self._strange) == FORGET:
                self._intervals.extend(self._strange)
                self._strange.clear()
            return
        self._strange.clear()
        self._intervals.append(interval)

    def is_one(self, interval: int) -> bool:
        low, high = ONE_INTERVAL
        return low <= interval / median(self._intervals) <= high

    @property
    def known(self) -> bool:
        return len(self._intervals) >= MATURE

    @property
    def regular(self) -> bool:
        usual = median(self._intervals)
        return median(abs(i - usual) for i in self._intervals) < REGULAR * usual


class BeatVetting:
    """Holds beats that come too early until it is clear whether they belong to the rhythm.

    Args:
        hold: Longest time from a beat to its release, samples.
    """

    def __init__(self, hold: int) -> None:
        self._hold = hold
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._template: NDArray[np.float64] | None = None
        self._formed_by = 0
        self._misses = 0
        self._rhythm = _Rhythm()
        self._last: tuple[int, float] | None = None
        self._doubtful: list[tuple[Peak, float]] = []

    def step(self, now: int, beats: list[Peak]) -> list[Peak]:
        """Take the next beats and release those that are confirmed.

        Args:
            now: Stream sample up to which beats are known.
            beats: New beats, in order.

        Returns:
            The released beats, in order over all calls.
        """
        released: list[Peak] = []
        for beat in beats:
            released += self._judge(beat, self._likeness(beat))
        overdue = [d for d in self._doubtful if now - d[0].index > self._hold]
        self._doubtful = self._doubtful[len(overdue) :]
        return released + self._release(overdue)

    def _judge(self, beat: Peak, score: float) -> list[Peak]:
        if self._last is None or not self._rhythm.known:
            return self._release([*self._take_doubtful(), (beat, score)])
        limit = REGULAR_MATCH if self._rhythm.regular else MATCH
        interval = beat.index - self._last[0]
        on_time = self._rhythm.is_one(interval)
        if on_time and score >= MATCH:
            stay = [d for d in self._take_doubtful() if d[1] >= min(limit, score - BETTER_BY)]
            return self._release([*stay, (beat, score)])
        if score < limit:
            self._doubtful.append((beat, score))
            return []
        return self._release([*self._take_doubtful(), (beat, score)])

    def _take_doubtful(self) -> list[tuple[Peak, float]]:
        taken, self._doubtful = self._doubtful, []
        return taken

    def _release(self, beats: list[tuple[Peak, float]]) -> list[Peak]:
        for beat, score in beats:
            if self._last is not None and score >= MATCH and self._last[1] >= MATCH:
                self._rhythm.learn(beat.index - self._last[0])
            self._last = (beat.index, score)
        return [beat for beat, _ in beats]

    def _likeness(self, beat: Peak) -> float:
        """Return the correlation with the template at the best alignment; a good match updates the template."""
        width = len(beat.shape) - 2 * beat.shape_slack
        if self._template is None:
            return self._begin(beat, width)
        shape = np.ascontiguousarray(beat.shape)
        cuts: NDArray[np.float64] = np.ndarray(
            (len(shape) - width + 1, width), np.float64, shape, 0, (shape.itemsize, shape.itemsize)
        )
        cuts = cuts - np.add.reduce(cuts, axis=1, keepdims=True) / width
        norms = np.sqrt(np.add.reduce(cuts * cuts, axis=1))
        scores = np.add.reduce(cuts * self._template, axis=1) / np.maximum(norms, TINY)
        best = int(scores.argmax())
        score = float(scores[best])
        self._misses = 0 if score >= MATCH else self._misses + 1
        if score >= LEARN_MATCH:
            self._template = self._template + TEMPLATE_MEMORY * (cuts[best] / norms[best] - self._template)
            self._template = self._template / float(np.sqrt((self._template * self._template).sum()))
            self._formed_by += 1
        elif self._misses >= FORGET or (self._formed_by < MATURE and self._misses >= MATURE):
            return self._begin(beat, width)
        return score if self._formed_by >= MATURE else 1.0

    def _begin(self, beat: Peak, width: int) -> float:
        centred = beat.shape[beat.shape_slack : beat.shape_slack + width]
        centred = centred - centred.mean()
        self._template = centred / max(float(np.sqrt((centred * centred).sum())), TINY)
        self._formed_by = 1
        self._misses = 0
        return 1.0
