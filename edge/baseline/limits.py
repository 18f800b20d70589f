"""How far scatter, posture and heart rate alone move a quantity: the band around the quiet hour."""

from __future__ import annotations

import math
from typing import NamedTuple

from edge.baseline.file import Baseline
from edge.baseline.record import PostureSource, Quantity

PUBLISHED: dict[Quantity, tuple[float, float]] = {"qtc_ms": (-25.0, 43.0)}
"""Range of the change from lying to upright in 95 % of persons, if the wearer's own is unknown.

QTc: +8.84 ms with a standard deviation of 17.30 ms (Fridericia) in 1028 patients, single ECGs (Markendorf et al.,
Cardiol J 2018;25:589): 8.84 - 1.96 * 17.30 = -25 and 8.84 + 1.96 * 17.30 = 43. The mean changes of healthy
volunteers lie within: standing -8.3 ms, and -14 ms with exponents of their own (54, Williams et al., J Cardiovasc
Electrophysiol 2006;17:352), sitting -7 to -10 and standing -11 to -14 ms (72, Kubo et al., J Arrhythm 2005;21:528).

T and R amplitudes and ST have no entry: they change with posture in many persons (T in 135 of 150 patients on a tilt
table, Mayuga et al., Ann Noninvasive Electrocardiol 2007;12:246; ST by 0.1 mV or more in 6 of 40 who turned to a side,
Adams and Drew, J Electrocardiol 1997;30:285), but no source was found for millivolts under a chest patch.
"""


MIN_POSTURES = 2
"""Fewest named postures whose range is taken as that of the wearer."""


class Band(NamedTuple):
    """The band of a quantity, as changes in its unit.

    Attributes:
        low: Lower end.
        high: Upper end.
        posture: Where the part of posture comes from.
    """

    low: float
    high: float
    posture: PostureSource


def posture_range(baseline: Baseline, name: Quantity) -> tuple[float, float, PostureSource]:
    """Return the lowest and highest change with posture, at most 0 and at least 0, and where they come from."""
    level = baseline.levels[name].median
    own = [posture.medians[name] - level for posture in baseline.postures if name in posture.medians]
    if len(own) >= MIN_POSTURES:
        return min(0.0, *own), max(0.0, *own), "measured"
    if name in PUBLISHED:
        return *PUBLISHED[name], "published"
    return 0.0, 0.0, "unknown"


def rate_range(baseline: Baseline, rr_ms: float) -> tuple[float, float]:
    """Return the lowest and highest change of QTc that a wrong exponent of the correction makes at a rate, ms.

    Args:
        baseline: The baseline.
        rr_ms: Median RR interval, ms.
    """
    c = baseline.correction
    log_ratio = math.log(rr_ms / baseline.rr_ms)
    ends = [baseline.levels["qtc_ms"].median * math.expm1(log_ratio * (true - c.exponent)) for true in (c.low, c.high)]
    return min(0.0, *ends), max(0.0, *ends)


def band(baseline: Baseline, name: Quantity, rr_ms: float) -> Band:
    """Return the band of a quantity at a heart rate: the parts are added, as if they all came together.

    Args:
        baseline: The baseline.
        name: A quantity that it has.
        rr_ms: Median RR interval, ms.
    """
    low, high, posture = posture_range(baseline, name)
    rate_low, rate_high = rate_range(baseline, rr_ms) if name == "qtc_ms" else (0.0, 0.0)
    scatter = baseline.levels[name].scatter
    return Band(low + rate_low - scatter, high + rate_high + scatter, posture)
