"""How far the beats of a window can be trusted: the measures, and the score that is fitted to them.

Each measure compares the beats with each other or with what lies between them, so none depends on the scale. Rhythm
counts only as far as it makes a missed or false beat likelier. The weights are in ``trust.json``: a logistic regression
with squares (L2, C = 0.03) on the windows of annotated records, of the same records with noise, of simulated rhythms
and shapes, and of signals that are no ECG. ``benchmarks/fit_gate.py`` fits
them, and ``benchmarks/bench_signal.py`` checks them.
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import pairwise
from math import exp, log
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.beats.envelope import FS_HZ, envelope, peaks_near
from edge.stats import median

NEAR = round(0.16 * FS_HZ)
"""Distance from the peak of a beat that belongs to the complex, samples."""
UNCONFIRMED = round(0.8 * FS_HZ)
"""The end of a window in which a beat may not be confirmed yet, samples. What lies there is not held against it."""
TINY = 1e-9
"""Smallest ratio of two amplitudes."""
LIMIT = 4.0
"""Largest distance of a measure from its usual value that counts, standard deviations."""
QUIET = 2.5
"""Rest of the envelope, logarithm relative to a beat, below which it is quiet: a twelfth of a beat."""
ALIKE = 4.0
"""Distance of a beat from its likest one, negative logarithm, from which it is like another one: correlation 0.98."""
FILE = Path(__file__).with_name("trust.json")
"""The weights."""


class Weight(NamedTuple):
    """The part of one measure in the score: ``linear * z + square * z**2`` with ``z = (x - usual) / spread``."""

    usual: float
    spread: float
    linear: float
    square: float


class Weights(NamedTuple):
    """The content of ``trust.json``.

    Attributes:
        allowed: The log odds of right beats from which a window is accepted: the one number that sets the trade.
        constant: The log odds of a window whose measures are all usual.
        parts: The weight of each measure, by name.
    """

    allowed: float
    constant: float
    parts: dict[str, Weight]


@lru_cache(maxsize=1)
def weights() -> Weights:
    """Return the weights of the package."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    return Weights(found["allowed"], found["constant"], {k: Weight(*v) for k, v in found["measures"].items()})


def trust(measures: dict[str, float]) -> float:
    """Return the score of a window, 0 to 1: 0.5 at the allowed risk of a wrong beat."""
    known = weights()
    z = known.constant - known.allowed
    for name, (usual, spread, linear, square) in known.parts.items():
        off = min(max((measures[name] - usual) / spread, -LIMIT), LIMIT)
        z += off * (linear + square * off)
    return 1.0 / (1.0 + exp(-min(max(z, -500.0), 500.0)))


def measure(
    window: NDArray[np.float64], beats: NDArray[np.int_], alike: NDArray[np.float64], simple: dict[str, float]
) -> dict[str, float]:
    """Return the measures of the beats in a window.

    Args:
        window: The filtered window at 125 Hz, shape ``(n,)``.
        beats: At least three R peaks, as increasing sample numbers.
        alike: ``measures.likeness`` of the beats; may be empty.
        simple: ``burst``, ``kurtosis``, ``qrs_share``, ``height_outlier`` and ``irregularity`` of the window.

    Returns:
        The measures by name; most are logarithms of ratios.
    """
    level = envelope(window).level
    at, heights = peaks_near(level, beats)
    usual = max(median(heights), TINY)
    between = _between(level, at)
    bumps = np.maximum.reduceat(between, at[:-1].astype(np.intp))  # reduceat accepts no other type
    bumps = bumps[bumps > 0]
    power = float(np.add.reduce(level * level)) / len(level)
    found = {
        "lowest_beat": log_ratio(float(np.minimum.reduce(heights)) / usual),
        "highest_beat": log_ratio(float(np.maximum.reduce(heights)) / usual),
        "largest_rest": log_ratio(float(np.maximum.reduce(between)) / usual),
        "usual_rest": log_ratio((median(bumps) if len(bumps) else 0.0) / usual),
        "beats_differ": log(1.0005 - (float(np.add.reduce(alike)) / len(alike) if len(alike) else 0.0)),
        "odd_beat": log(1.002 - (float(np.minimum.reduce(alike)) if len(alike) else 0.0)),
        "beat_energy": log_ratio(float(np.add.reduce(heights)) / len(heights) / max(power, TINY * TINY) ** 0.5),
        "burst": log_ratio(simple["burst"]),
        "kurtosis": log_ratio(simple["kurtosis"]),
        "qrs_share": simple["qrs_share"],
        "height_outlier": log_ratio(simple["height_outlier"]),
        "irregularity": min(simple["irregularity"], 1.0),
    }
    return found | _intervals(beats) | _together(found, _intervals(beats))


def _intervals(beats: NDArray[np.int_]) -> dict[str, float]:
    at: list[int] = beats.tolist()
    intervals = [b - a for a, b in pairwise(at)]
    usual = max(median(intervals), 1.0)
    return {
        "longest_interval": log_ratio(max(intervals) / usual),
        "shortest_interval": log_ratio(min(intervals) / usual),
        "interval": log_ratio(usual / FS_HZ),
    }


def _together(found: dict[str, float], intervals: dict[str, float]) -> dict[str, float]:
    """Return what two measures say together: a low beat is suspect if it is also early, a pause if it is not empty."""
    early, late = intervals["shortest_interval"], max(intervals["longest_interval"], 0.0)
    rest = max(found["largest_rest"] + QUIET, 0.0)
    return {
        "rest_outlier": found["largest_rest"] - found["usual_rest"],
        "margin": found["largest_rest"] - found["lowest_beat"],
        "early_low": min(found["lowest_beat"], 0.0) * min(early, 0.0),
        "late_rest": late * rest,
        "rough_rest": max(found["burst"], 0.0) * rest,
        "odd_early": max(found["odd_beat"] + ALIKE, 0.0) * min(early, 0.0),
    }


def _between(level: NDArray[np.float64], at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the envelope with 0 at the beats and where a beat may not be confirmed yet, shape of ``level``."""
    between = level.copy()
    between[np.clip(at[:, None] + np.arange(-NEAR, NEAR + 1), 0, len(level) - 1)] = 0.0
    between[max(int(at[-1]), len(level) - UNCONFIRMED) :] = 0.0
    return between


def log_ratio(ratio: float) -> float:
    """Return the logarithm of a ratio of two amplitudes; tiny and infinite ones are cut off."""
    return log(min(max(ratio, TINY), 1.0 / TINY))
