"""Apply the additive model of a head to the waves of the held windows. Host and device run this code."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.bundle.fusion import Fusion, FusionTerm
from edge.records import LabEstimate
from edge.stats import normal_quantile, sigmoid
from edge.waves.network_answer import NetworkAnswer
from edge.waves.record import DIGITS, MAX_VALUE, WaveRecord

F64 = NDArray[np.float64]

MEASUREMENTS: tuple[str, ...] = tuple(DIGITS)
"""Names of the measurements, in the order of the columns."""
STEPS = 1 << 20
"""Steps per unit: measurements are summed as integers, so that windows leave the sums without a rounding error."""
_INDEX = {name: i for i, name in enumerate(MEASUREMENTS)}


def wave_row(waves: WaveRecord | None) -> F64:
    """Return the measurements of a window, ``(len(MEASUREMENTS),)``; NaN where missing."""
    if waves is None:
        return np.full(len(MEASUREMENTS), np.nan)
    found = [getattr(waves, name) for name in MEASUREMENTS]
    return np.array([math.nan if x is None or not abs(x) <= MAX_VALUE else x for x in found])


class WaveMeans:
    """The mean of each measurement over the held windows, at a constant cost."""

    def __init__(self) -> None:
        self._held: deque[tuple[float, NDArray[np.int64], NDArray[np.bool_]]] = deque()
        self._total = np.zeros(len(MEASUREMENTS), dtype=np.int64)
        self._count = np.zeros(len(MEASUREMENTS), dtype=np.int64)

    def add(self, end_s: float, row: F64) -> None:
        """Take a window: the time of its end, s, and its measurements as :func:`wave_row` returns them."""
        known = np.isfinite(row)
        steps = np.rint(np.where(known, row, 0.0) * STEPS).astype(np.int64)
        self._held.append((end_s, steps, known))
        self._total += steps
        self._count += known

    def drop_until(self, time_s: float) -> None:
        """Drop the windows that end at or before a time."""
        while self._held and self._held[0][0] <= time_s:
            _end_s, steps, known = self._held.popleft()
            self._total -= steps
            self._count -= known

    def means(self) -> F64 | None:
        """Return the means, NaN where less than half of the windows have the measurement; ``None`` without windows."""
        if not self._held:
            return None
        enough = 2 * self._count >= len(self._held)
        return np.where(enough, self._total / (np.where(enough, self._count, 1) * STEPS), np.nan)


def term_logits(term: FusionTerm, values: F64) -> F64:
    """Return the effect of a measurement, ``(n,)`` logits for ``(n,)`` values; NaN is a missing value."""
    missing = np.isnan(values)
    return np.where(missing, term.missing, np.interp(np.where(missing, 0.0, values), term.x, term.y))


def fused_logits(fusion: Fusion, network: F64, means: F64) -> F64:
    """Return fused logits, ``(n,)``.

    Args:
        fusion: The additive model.
        network: Calibrated logits of the network, ``(n,)``.
        means: Measurements, ``(n, len(MEASUREMENTS))``; NaN where missing.
    """
    total = fusion.weight * network + fusion.offset
    for term in fusion.terms:
        total = total + term_logits(term, means[:, _INDEX[term.feature]])
    return np.asarray(total)


class Fuser:
    """Fuses the heads that have an additive model.

    Args:
        fusions: Additive models by the index of the head.
        levels: Nominal coverage of the interval of each head.
    """

    def __init__(self, fusions: Mapping[int, Fusion], levels: Sequence[float]) -> None:
        self._fusions = fusions
        self._z = {i: normal_quantile(0.5 + 0.5 * levels[i]) for i in fusions}
        self.waves = WaveMeans()

    def fused(self, labs: tuple[LabEstimate, ...], centre: F64, half: F64) -> tuple[LabEstimate, ...]:
        """Return the estimates with the fused ones in their place, each with the network's own answer beside it.

        Without any window whose waves were looked at, the network's answers stay.

        Args:
            labs: Estimates of the network.
            centre: Calibrated logits of the network, ``(heads,)``.
            half: Half widths of their intervals, logits, ``(heads,)``.
        """
        means = self.waves.means()
        if means is None:
            return labs
        out = list(labs)
        for i, fusion in self._fusions.items():
            logit = float(fused_logits(fusion, centre[i : i + 1], means[None])[0])
            wide = math.hypot(fusion.weight * float(half[i]), self._z[i] * fusion.sd)
            out[i] = _fused(labs[i], fusion, logit, wide)
        return tuple(out)


def _fused(lab: LabEstimate, fusion: Fusion, logit: float, half: float) -> LabEstimate:
    value, low, high = sigmoid(np.array([logit, logit - half, logit + half])).tolist()
    flag = None
    # Limited evidence of the network raises no flag; fused evidence was not collected on other patients.
    if fusion.threshold is not None and lab.tier != "limited":
        flag = value >= fusion.threshold
        if fusion.abstain is not None and fusion.abstain[0] <= value < fusion.abstain[1]:
            flag = None
    return lab._replace(
        value=value,
        interval=None if lab.interval is None else (low, high),
        threshold=fusion.threshold,
        flag=flag,
        network=NetworkAnswer(lab.value, lab.interval, lab.threshold, lab.flag),
    )
