"""Thresholds and bands of abstention from probabilities of held-out patients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.stats.probability import youden_threshold
from firmware_bridge.errors import UsageError

F64 = NDArray[np.float64]

MIN_FLAGGED = 10
"""Smallest number of flagged patients for which a predictive value is estimated."""


THRESHOLD_MARGIN = 1e-6
"""Smallest distance of a stored threshold from 0 and 1."""


def inside(threshold: float) -> float:
    """Return a threshold inside 0 to 1, as a bundle needs it: at the ends it would flag everybody or nobody."""
    return min(max(threshold, THRESHOLD_MARGIN), 1.0 - THRESHOLD_MARGIN)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that sets a threshold.

    Attributes:
        name: ``youden``, ``sensitivity``, ``ppv`` or ``npv``.
        target: Sensitivity, positive or negative predictive value to reach, 0 to 1; unused by ``youden``.
    """

    name: str = "youden"
    target: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Parse ``youden``, ``sensitivity=0.9``, ``ppv=0.5`` or ``npv=0.99``.

        Raises:
            UsageError: The text is not a rule.
        """
        name, _equals, number = text.partition("=")
        if text == "youden":
            return cls()
        try:
            target = float(number)
        except ValueError:
            target = math.nan
        if name not in {"sensitivity", "ppv", "npv"} or not 0.0 < target < 1.0:
            raise UsageError(
                f"unknown threshold rule {text!r}", "use youden, sensitivity=0.9, ppv=0.5 or npv=0.99, for example"
            )
        return cls(name, target)

    def threshold(self, p: F64, labels: NDArray[np.bool_]) -> float | None:
        """Return the threshold; ``None`` where the target cannot be reached.

        Args:
            p: Probabilities, ``(n,)``.
            labels: Labels, ``(n,)``, with both classes.
        """
        if self.name == "youden":
            return youden_threshold(p, labels)
        if self.name == "sensitivity":
            positive = np.sort(p[labels])
            # The highest threshold with this sensitivity is the probability of one of the positives.
            return float(positive[len(positive) - math.ceil(self.target * len(positive))])
        if self.name == "npv":
            return _cleared(p, labels, self.target)
        order = np.argsort(-p, kind="stable")
        right = np.cumsum(labels[order]) / np.arange(1, len(p) + 1)
        cuts = np.append(p[order][1:] != p[order][:-1], True)
        enough = np.arange(1, len(p) + 1) >= MIN_FLAGGED
        good = np.flatnonzero((right >= self.target) & cuts & enough)
        # Of the thresholds with this predictive value, the lowest finds the most patients.
        return float(p[order][good[-1]]) if len(good) else None


def _cleared(p: F64, labels: NDArray[np.bool_], target: float) -> float | None:
    """Return the highest threshold below which the negative predictive value reaches a target."""
    order = np.argsort(p, kind="stable")
    count = np.arange(1, len(p) + 1)
    right = np.cumsum(~labels[order]) / count
    cuts = np.append(p[order][1:] != p[order][:-1], True)
    good = np.flatnonzero((right >= target) & cuts & (count >= MIN_FLAGGED))
    # Everybody may be cleared; then the threshold is just above the highest probability.
    return None if not len(good) else math.nextafter(float(p[order][good[-1]]), 2.0)


def abstention(p: F64, labels: NDArray[np.bool_], coverage: float, threshold: float | None) -> tuple[float, float]:
    """Return the band of abstention: conformal prediction for each class.

    Each class has its own quantile (Mondrian, Vovk et al. 2005). At most ``1 - coverage`` of the patients with the
    condition are cleared, and at most ``1 - coverage`` of those without it are flagged, at any prevalence. This is
    exact for probabilities from a fit without these patients and approximate for cross-validated ones.

    Args:
        p: Probabilities, ``(n,)``.
        labels: Labels, ``(n,)``, with both classes.
        coverage: Coverage of each class, such as 0.9.
        threshold: Threshold, which the band always contains, so that flags outside the band agree with it.

    Returns:
        Lower and upper bound; equal where no abstention is necessary.
    """
    positive, negative = np.sort(p[labels]), np.sort(p[~labels])
    # The k-th smallest of the positives, k = floor((n + 1) (1 - coverage)); 0 where there are too few positives.
    k = math.floor((len(positive) + 1) * (1.0 - coverage) + 1e-9)
    low = float(positive[k - 1]) if k >= 1 else 0.0
    k = math.ceil((len(negative) + 1) * coverage - 1e-9)
    high = math.nextafter(float(negative[k - 1]), 2.0) if k <= len(negative) else 1.0
    if high < low:
        low = high = min(max(threshold if threshold is not None else high, high), low)
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    return max(low, 0.0), min(high, 1.0)
