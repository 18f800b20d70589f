"""Which peaks of the QRS feature are heart beats: the second half of the R-peak detector.

Adaptive threshold between a beat level and a noise level, rejection of T waves by slope, search-back in a pause, and
re-learning where the amplitude changed for good (Pan & Tompkins, IEEE TBME 1985;32:230; Hamilton, Computers in
Cardiology 2002;29:101). All levels are ratios of what the stream itself shows: nothing knows millivolts.
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
"""The same, for the second look after a pause of ``SEARCH_BACK_RR`` usual intervals."""
SEARCH_BACK_RR = 1.5
"""A pause this many usual intervals long is looked at again (1.66 in Pan & Tompkins, 1.5 in Hamilton)."""
RELEARN_S = 2.0
"""Without any beat for this long (and for two usual intervals) the levels are learned anew."""
RELEARN_PART = 0.1
"""The levels are learned anew from a peak of at least this part of the beat level at first, half of it after each
further ``RELEARN_S``: a P wave or ringing in a pause stays below, a signal gone small for good is found again."""
RELEARN_CONTRAST = 3.0
"""Learning anew asks that a peak stands this far above the median of the feature: band-limited noise stays below
about 2, a complex against its baseline is at 4 and more. Else flat noise would be counted."""
LEARN_S = 2.0
"""The first levels are learned over this long."""
T_WAVE_S = 0.36
"""A peak this soon after a beat may be its T wave (Pan & Tompkins)."""
T_WAVE_RR = 0.45
"""The same in usual intervals, for slow hearts with a long QT; never beyond ``T_WAVE_MAX_S``."""
T_WAVE_MAX_S = 0.5
"""The latest that a T wave peaks after its R."""
T_WAVE_SLOPE = 0.5
"""It is one if its slope is below this part of a beat's slope (Pan & Tompkins)."""
HISTORY = 8
"""Beats, noise peaks and intervals that the levels rest on (Hamilton: 8 and medians)."""
HOLD_S = 0.8
"""A peak that was not taken for a beat can still become one for this long."""
RR_LIMITS_S = (0.27, 2.0)
"""Bounds of the usual interval: 222 and 30 bpm."""


class BeatDecision:
    """Sorts the peaks of one stream into beats and noise.

    Args:
        fs_hz: Rate of the stream.
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
        """Take the next piece of the feature and the peaks that became certain with it.

        Args:
            now: Stream sample up to which all peaks are known.
            feature: The newest feature values, always the same number of them.
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
        """Usual interval between beats in samples; one second until three are known."""
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
        # The median guards against one artefact, far steeper than any beat, in the place of the last beat.
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
        """Beats among the held peaks, once the pause up to ``now`` is too long."""
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
