"""The rhythm of the last minutes, from the windows that the quality gate accepted."""

from __future__ import annotations

from collections import Counter, deque
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.rhythm.record import RhythmMinutes, RhythmName, RhythmRecord
from edge.rhythm.window import PAUSE_S, WindowRhythm, judge_window
from edge.waves.measure import STREAM_STEP
from edge.waves.path import FS_HZ

if TYPE_CHECKING:
    from edge.waves.measure import WaveMeter

MINUTES_S = 300.0
"""Length of the last minutes, s."""
MAX_WINDOWS = 3000
"""Most windows that are kept: all of five minutes at the shortest hop."""
SAME_S = 0.1
"""Largest difference between the times of a beat in two windows, s."""
JOINED_S = 2.5
"""Longest time between two ectopic beats of a couplet, s; more beats in between are known to be others."""


class RhythmMeter:
    """Judges windows one after another."""

    def __init__(self) -> None:
        self._windows: deque[tuple[float, RhythmName]] = deque(maxlen=MAX_WINDOWS)
        self._beats: deque[tuple[float, bool]] = deque(maxlen=4 * MAX_WINDOWS)
        """Signal time, s, of each beat, and whether it is ectopic."""
        self._pauses: deque[float] = deque(maxlen=MAX_WINDOWS)
        """Signal time, s, of the beat that ends each pause."""

    def judge(self, start_s: float, end_s: float, waves: WaveMeter, beats: NDArray[np.int64]) -> RhythmRecord:
        """Judge an accepted window and take it.

        Args:
            start_s: Signal time of its first sample, s.
            end_s: Signal time of its last sample, s.
            waves: What has just measured its waves.
            beats: R peaks, as indices into the 125 Hz stream of the window.
        """
        rough = beats * STREAM_STEP
        return self.take(start_s, end_s, judge_window(waves.beat, waves.found, waves.above_40_hz, rough))

    def take(self, start_s: float, end_s: float, found: WindowRhythm) -> RhythmRecord:
        """Take an accepted window.

        Args:
            start_s: Signal time of its first sample, s.
            end_s: Signal time of its last sample, s.
            found: Its rhythm.
        """
        self._forget(end_s - MINUTES_S)
        self._windows.append((end_s, found.name))
        seen_s = self._beats[-1][0] if self._beats else -np.inf
        times = (start_s + found.beats / FS_HZ).tolist()
        # Windows overlap: a beat is judged by the first one that holds all of it, and a pause counts once.
        self._beats.extend((t, bool(e)) for t, e in zip(times, found.ectopic, strict=True) if t > seen_s + SAME_S)
        rr_s = found.rr_s
        pauses = (start_s + found.peaks[1:][rr_s >= PAUSE_S] / FS_HZ).tolist()
        seen_s = self._pauses[-1] if self._pauses else -np.inf
        self._pauses.extend(t for t in pauses if t > seen_s + SAME_S)
        longest = 1e3 * float(rr_s.max()) if len(rr_s) else None
        share = float(np.mean(found.ectopic)) if len(found.ectopic) else None
        return RhythmRecord(
            found.name, found.irregularity, share, found.couplets, found.bigeminy, len(pauses), longest, self._minutes()
        )

    def refused(self, end_s: float) -> RhythmRecord:
        """Take a window that the quality gate refused."""
        self._forget(end_s - MINUTES_S)
        return RhythmRecord(
            "unreadable", None, None, 0, bigeminy=False, pauses=0, longest_rr_ms=None, minutes=self._minutes()
        )

    def _forget(self, until_s: float) -> None:
        while self._windows and self._windows[0][0] <= until_s:
            self._windows.popleft()
        while self._beats and self._beats[0][0] <= until_s:
            self._beats.popleft()
        while self._pauses and self._pauses[0] <= until_s:
            self._pauses.popleft()

    def _minutes(self) -> RhythmMinutes:
        names = Counter(name for _end_s, name in self._windows)
        known = [(count, name) for name, count in names.items() if name != "undetermined"]
        name: RhythmName = max(known)[1] if known else "undetermined" if self._windows else "unreadable"
        total = sum(count for count, _name in known)
        ectopic = [e for _t, e in self._beats]
        couplets = sum(a[1] and b[1] and b[0] - a[0] < JOINED_S for a, b in pairwise(self._beats))
        return RhythmMinutes(
            name,
            len(self._windows),
            names["af_or_flutter"] / total if total else None,
            len(ectopic),
            sum(ectopic) / len(ectopic) if ectopic else None,
            couplets,
            len(self._pauses),
        )
