"""Means of quantities over a bounded number of steps of a session."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from edge.baseline.record import QUANTITIES, Change, ChangeReason, Quantity, QuantityChange
from edge.rhythm.record import RhythmRecord
from edge.waves.record import DIGITS, WaveRecord

STEPS = 300
"""Most steps of a curve; more would not be seen."""


@dataclass(slots=True)
class Curve:
    """Means of a quantity over the steps of a session.

    Attributes:
        total: Sum of the values of each step.
        low: Sum of the lower bounds.
        high: Sum of the upper bounds.
        count: Number of values of each step.
    """

    total: list[float] = field(default_factory=lambda: [0.0] * STEPS)
    low: list[float] = field(default_factory=lambda: [0.0] * STEPS)
    high: list[float] = field(default_factory=lambda: [0.0] * STEPS)
    count: list[int] = field(default_factory=lambda: [0] * STEPS)

    def add(self, step: int, value: float | None, bounds: tuple[float, float] | None = None) -> None:
        """Add a value."""
        if value is None or not math.isfinite(value):
            return
        low, high = bounds if bounds is not None and all(map(math.isfinite, bounds)) else (value, value)
        self.total[step] += value
        self.low[step] += low
        self.high[step] += high
        self.count[step] += 1

    def runs(self) -> list[list[tuple[int, float, float, float]]]:
        """Return step, mean, and mean bounds, in pieces without an empty step between them."""
        out: list[list[tuple[int, float, float, float]]] = [[]]
        for step, n in enumerate(self.count):
            if n:
                out[-1].append((step, self.total[step] / n, self.low[step] / n, self.high[step] / n))
            elif out[-1]:
                out.append([])
        return [piece for piece in out if piece]


@dataclass(slots=True)
class WaveTrends:
    """The course of the measurements of a session.

    Attributes:
        curves: Means over the steps of the session, by name.
        windows: Number of windows that were measured.
        missing: Number of windows by part and reason.
        rhythms: Number of records by rhythm.
        ectopic: Sum of the ectopic shares of the windows with a share, and their number.
        pauses: Number of windows with an RR interval of 2 s or more.
    """

    curves: dict[str, Curve] = field(default_factory=lambda: {name: Curve() for name in DIGITS})
    windows: int = 0
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    rhythms: Counter[str] = field(default_factory=Counter)
    ectopic: tuple[float, int] = (0.0, 0)
    pauses: int = 0

    def add_rhythm(self, rhythm: RhythmRecord | None) -> None:
        """Add the rhythm of a window."""
        if rhythm is None:
            return
        self.rhythms[rhythm.name] += 1
        self.pauses += rhythm.pauses > 0
        if rhythm.ectopic_share is not None:
            self.ectopic = (self.ectopic[0] + rhythm.ectopic_share, self.ectopic[1] + 1)

    def add(self, step: int, waves: WaveRecord | None) -> None:
        """Add the waves of a window, at a step of the session."""
        if waves is None:
            return
        self.windows += 1
        self.missing.update((str(part), str(reason)) for part, reason in waves.missing.items())
        for name, curve in self.curves.items():
            curve.add(step, getattr(waves, name))


@dataclass(slots=True)
class ChangeTrends:
    """The course of the change against the wearer's quiet hour.

    Attributes:
        curves: The change of each quantity, with the band as bounds.
        last: The last change that could be told, by quantity.
        outside: Hops in which it lay outside of the band.
        counted: Hops in which it could be told.
        missing: Hops by quantity and reason.
        hops: Hops with a comparison, also one without a result.
    """

    curves: dict[Quantity, Curve] = field(default_factory=lambda: {name: Curve() for name in QUANTITIES})
    last: dict[Quantity, QuantityChange] = field(default_factory=dict)
    outside: Counter[Quantity] = field(default_factory=Counter)
    counted: Counter[Quantity] = field(default_factory=Counter)
    missing: Counter[tuple[Quantity, ChangeReason]] = field(default_factory=Counter)
    hops: int = 0

    def add(self, step: int, change: Change | None) -> None:
        """Add the change of a hop, at a step of the session."""
        if change is None:
            return
        self.hops += 1
        self.missing.update(change.missing.items())
        for name, found in change.values.items():
            self.curves[name].add(step, found.value, (found.low, found.high))
            self.last[name] = found
            self.counted[name] += 1
            self.outside[name] += found.within is False
