"""The rhythm of the last minutes, from the windows that the quality gate accepted."""

from __future__ import annotations

from collections import Counter, deque
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
MAX_BEATS = 4 * MAX_WINDOWS
"""Most beats that are kept."""
SAME_S = 0.1
"""Largest difference between the times of a beat in two windows, s."""
JOINED_S = 2.5
"""Longest time between two ectopic beats of a couplet, s; more beats in between are known to be others."""


class _Beats:
    """The beats of the last minutes, and running counts over them, so that a window has a constant cost."""

    def __init__(self) -> None:
        self._held: deque[tuple[float, bool]] = deque()
        """Signal time, s, of each beat, and whether it is ectopic."""
        self.ectopic = 0
        self.couplets = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def newest_s(self) -> float:
        """Signal time of the newest beat, s; minus infinity without one."""
        return self._held[-1][0] if self._held else -np.inf

    def append(self, time_s: float, ectopic: bool) -> None:
        if len(self._held) == MAX_BEATS:
            self._drop()
        beat = (time_s, ectopic)
        if self._held:
            self.couplets += _couplet(self._held[-1], beat)
        self.ectopic += ectopic
        self._held.append(beat)

    def drop_until(self, time_s: float) -> None:
        while self._held and self._held[0][0] <= time_s:
            self._drop()

    def _drop(self) -> None:
        beat = self._held.popleft()
        self.ectopic -= beat[1]
        if self._held:
            self.couplets -= _couplet(beat, self._held[0])


def _couplet(first: tuple[float, bool], second: tuple[float, bool]) -> bool:
    return first[1] and second[1] and second[0] - first[0] < JOINED_S


class RhythmMeter:
    """Judges windows one after another."""

    def __init__(self) -> None:
        self._windows: deque[tuple[float, RhythmName]] = deque()
        self._names: Counter[RhythmName] = Counter()
        self._beats = _Beats()
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
        if len(self._windows) == MAX_WINDOWS:
            self._drop_window()
        self._windows.append((end_s, found.name))
        self._names[found.name] += 1
        seen_s = self._beats.newest_s
        times = (start_s + found.beats / FS_HZ).tolist()
        # Windows overlap: a beat is judged by the first one that holds all of it, and a pause counts once.
        for time_s, ectopic in zip(times, found.ectopic.tolist(), strict=True):
            if time_s > seen_s + SAME_S:
                self._beats.append(time_s, ectopic)
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
            self._drop_window()
        self._beats.drop_until(until_s)
        while self._pauses and self._pauses[0] <= until_s:
            self._pauses.popleft()

    def _drop_window(self) -> None:
        self._names[self._windows.popleft()[1]] -= 1

    def _minutes(self) -> RhythmMinutes:
        known = [(count, name) for name, count in self._names.items() if count and name != "undetermined"]
        name: RhythmName = max(known)[1] if known else "undetermined" if self._windows else "unreadable"
        total = sum(count for count, _name in known)
        beats = len(self._beats)
        return RhythmMinutes(
            name,
            len(self._windows),
            self._names["af_or_flutter"] / total if total else None,
            beats,
            self._beats.ectopic / beats if beats else None,
            self._beats.couplets,
            len(self._pauses),
        )
