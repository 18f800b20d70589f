"""Which outputs abstain because their evidence holds for other rhythms than the one that their windows show.

An output may name the rhythms in which its evidence holds (``rhythms`` in the manifest). What counts is the rhythm of
the windows that its value averages.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from edge.rhythm.record import RHYTHM_NAMES, RhythmName

STATED: tuple[RhythmName, ...] = tuple(name for name in RHYTHM_NAMES if name != "unreadable")
"""Rhythms that an output may name. ``undetermined`` stands for any rhythm that no rule recognises; a refused window is
never part of a value."""

MIN_NAMED = 0.5
"""Smallest share of the windows that show a rhythm of the output. A rhythm that no rule recognises is no evidence for
sinus rhythm: flutter with a fixed conduction, for example, stays undetermined."""
MAX_OTHER = 0.1
"""Largest share of the windows that show a rhythm which the output does not name. Runs of ectopic beats are called
atrial fibrillation in up to 4 % of the windows of a record in sinus rhythm (``docs/waves.md``)."""


def fits(rhythm: RhythmName, rhythms: Sequence[RhythmName] | None) -> bool:
    """Return whether the rhythm of a single window is one in which an output may answer."""
    return rhythms is None or rhythm in rhythms


class RhythmGate:
    """The rhythm of the held windows, at a constant cost.

    Args:
        rhythms: Rhythms in which the evidence of each output holds; ``None`` for any.
    """

    def __init__(self, rhythms: Sequence[Sequence[RhythmName] | None]) -> None:
        self._rhythms = rhythms
        self._held: deque[tuple[float, RhythmName]] = deque()
        self._count: Counter[RhythmName] = Counter()

    def add(self, end_s: float, rhythm: RhythmName) -> None:
        """Take a window: the time of its end, s, and its rhythm."""
        self._held.append((end_s, rhythm))
        self._count[rhythm] += 1

    def drop_until(self, time_s: float) -> None:
        """Drop the windows that end at or before a time."""
        while self._held and self._held[0][0] <= time_s:
            self._count[self._held.popleft()[1]] -= 1

    def abstaining(self) -> list[bool]:
        """Return which outputs abstain; none without a window."""
        return [names is not None and self._misfit(names) for names in self._rhythms]

    def _misfit(self, names: Sequence[RhythmName]) -> bool:
        windows = len(self._held)
        named = sum(self._count[name] for name in names)
        other = windows - named - (0 if "undetermined" in names else self._count["undetermined"])
        return named < MIN_NAMED * windows or other > MAX_OTHER * windows
