"""The decision which peaks of the QRS feature are beats: the second half of the R-peak detector.

An adaptive threshold between a beat level and a noise level, rejection of T waves by slope, search-back in a pause, and
re-learning after a lasting change of amplitude (Pan & Tompkins, IEEE TBME 1985;32:230; Hamilton, Computers in
Cardiology 2002;29:101). All levels are relative to the stream, so the unit does not matter.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.beats.feature import Peak
from edge.stats import median

THRESHOLD = 0.35
"""Position of the threshold between noise level (0) and beat level (1)."""
SEARCH_BACK_THRESHOLD = 0.18
"""Position of the threshold for the search-back after a pause of ``SEARCH_BACK_RR`` usual intervals."""
SEARCH_BACK_RR = 1.5
"""Length of a pause that starts a search-back, usual intervals (1.66 in Pan & Tompkins, 1.5 in Hamilton)."""
RELEARN_S = 2.0
"""Time without a beat after which the levels are learned again, s (and at least two usual intervals)."""
RELEARN_PART = 0.1
"""Lowest peak from which the levels are learned again, as a fraction of the beat level; halved after each further
``RELEARN_S``. A P wave or ringing in a pause stays below, and a signal that became small is found again."""
RELEARN_CONTRAST = 3.0
"""Lowest peak for learning again, relative to the median of the feature: band-limited noise stays below about 2, a QRS
complex reaches 4 and more. Without it, flat noise would give beats."""
LEARN_S = 2.0
"""Time over which the first levels are learned, s."""
T_WAVE_S = 0.36
"""Time after a beat within which a peak may be its T wave, s (Pan & Tompkins)."""
T_WAVE_RR = 0.45
"""The same time in usual intervals, for slow rates with a long QT; at most ``T_WAVE_MAX_S``."""
T_WAVE_MAX_S = 0.5
"""Latest peak of a T wave after its R peak, s."""
T_WAVE_SLOPE = 0.5
"""A T wave has a slope below this fraction of the slope of a beat (Pan & Tompkins)."""
HISTORY = 8
"""Number of beats, noise peaks and intervals that set the levels (Hamilton: 8, with medians)."""
HOLD_S = 0.8
"""Time for which a rejected peak can still become a beat, s."""
RR_LIMITS_S = (0.27, 2.0)
"""Bounds of the usual interval, s: 222 and 30 beats per minute."""


class BeatDecision:
    """Classifies the peaks of one stream as beats or noise.

    Args:
        fs_hz: Sampling rate of the stream, Hz.
    """

    def __init__(self, fs_hz: float) -> None:
        self._fs_hz = fs_hz
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._beats: deque[float] = deque(maxlen=HISTORY)
        self._noise: deque[float] = deque(maxlen=HISTORY)
        self._slopes: deque[float] = deque(maxlen=HISTORY)
        self._intervals: deque[int] = deque(maxlen=HISTORY)
        self._held: list[Peak] = []
        self._last: Peak | None = None
        self._background: deque[NDArray[np.float64]] = deque()
        self._background_n = 0
        self._learned = False

    def step(self, now: int, feature: NDArray[np.float64], peaks: list[Peak]) -> list[Peak]:
        """Take the next piece of the feature and the peaks that it confirms.

        Args:
            now: Stream sample up to which all peaks are known.
            feature: The newest feature values, the same number in every call.
            peaks: New peaks, in order.

        Returns:
            The peaks that are beats, in order; all later than every one returned before.
        """
        self._remember(feature)
        if not self._learned:
            self._held.extend(peaks)
            if now < LEARN_S * self._fs_hz:
                return []
            self._learned = True
            peaks, self._held = self._held, []
            if peaks:
                self._beats.append(max(p.height for p in peaks))
        found: list[Peak] = []
        for peak in peaks:
            found += self._look_back(peak.index)
            if self._is_t_wave(peak):
                self._noise.append(peak.height)
            elif peak.height > self._level(THRESHOLD):
                found.append(self._accept(peak))
            else:
                self._held.append(peak)
        found += self._look_back(now)
        self._expire(now)
        return found

    def _remember(self, feature: NDArray[np.float64]) -> None:
        self._background.append(feature)
        self._background_n += len(feature)
        if self._background_n - len(self._background[0]) >= RELEARN_S * self._fs_hz:
            self._background_n -= len(self._background.popleft())

    @property
    def _usual(self) -> float:
        """Return the usual interval between beats, samples; one second until three are known."""
        low, high = RR_LIMITS_S
        rr = median(self._intervals) if len(self._intervals) > 2 else self._fs_hz
        return float(min(max(rr, low * self._fs_hz), high * self._fs_hz))

    def _level(self, position: float) -> float:
        beat = median(self._beats) if self._beats else 0.0
        noise = min(median(self._noise), 0.6 * beat) if self._noise else 0.0
        return float(noise + position * (beat - noise))

    def _is_t_wave(self, peak: Peak) -> bool:
        if self._last is None:
            return False
        after = peak.index - self._last.index
        reach_s = min(max(T_WAVE_S, T_WAVE_RR * self._usual / self._fs_hz), T_WAVE_MAX_S)
        # The median protects against an artefact that is much steeper than any beat and was taken for the last beat.
        slope = min(self._last.slope, median(self._slopes))
        return after < reach_s * self._fs_hz and peak.slope < T_WAVE_SLOPE * slope

    def _accept(self, peak: Peak) -> Peak:
        if self._last is not None:
            self._intervals.append(peak.index - self._last.index)
        self._noise.extend(p.height for p in self._held if p.index < peak.index)
        self._held = [p for p in self._held if p.index > peak.index]
        self._beats.append(peak.height)
        self._slopes.append(peak.slope)
        self._last = peak
        return peak

    def _look_back(self, now: int) -> list[Peak]:
        """Return the beats among the held peaks if the pause up to ``now`` is too long."""
        found: list[Peak] = []
        while self._held:
            best = max(self._held, key=lambda p: p.height)
            pause = now - self._last.index if self._last is not None else now
            if pause > SEARCH_BACK_RR * self._usual and best.height > self._level(SEARCH_BACK_THRESHOLD):
                found.append(self._accept(best))
            elif pause > max(RELEARN_S * self._fs_hz, 2 * self._usual) and self._stands_out(best, pause):
                self._beats.clear()
                self._noise.clear()
                self._slopes.clear()
                found.append(self._accept(best))
            else:
                break
        return found

    def _stands_out(self, peak: Peak, pause: int) -> bool:
        least = RELEARN_PART * 0.5 ** (pause / (RELEARN_S * self._fs_hz) - 1) * self._level(1.0)
        return bool(peak.height > max(least, RELEARN_CONTRAST * median(np.concatenate(self._background))))

    def _expire(self, now: int) -> None:
        keep = now - HOLD_S * self._fs_hz
        self._noise.extend(p.height for p in self._held if p.index < keep)
        self._held = [p for p in self._held if p.index >= keep]
