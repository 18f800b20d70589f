"""Thresholds and abstention from probabilities of patients that did not fit them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.stats.probability import youden_threshold
from firmware_bridge.errors import UsageError

F64 = NDArray[np.float64]

LEAST_FLAGGED = 10
"""Patients above a threshold, from which the share of right ones among them is worth anything."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a threshold is found.

    Attributes:
        name: ``youden``, ``sensitivity`` or ``ppv``.
        target: Of the latter two.
    """

    name: str = "youden"
    target: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Rule:
        """``youden``, ``sensitivity=0.9`` or ``ppv=0.5``.

        Raises:
            UsageError: It is none of these.
        """
        name, _equals, number = text.partition("=")
        if text == "youden":
            return cls()
        try:
            target = float(number)
        except ValueError:
            target = math.nan
        if name not in {"sensitivity", "ppv"} or not 0.0 < target < 1.0:
            raise UsageError(f"no threshold rule {text!r}", "youden, sensitivity=0.9 or ppv=0.5")
        return cls(name, target)

    def threshold(self, p: F64, labels: NDArray[np.bool_]) -> float | None:
        """The threshold; ``None`` where the target cannot be reached.

        Args:
            p: Probabilities, ``(n,)``.
            labels: ``(n,)``, both classes present.
        """
        if self.name == "youden":
            return youden_threshold(p, labels)
        if self.name == "sensitivity":
            ill = np.sort(p[labels])
            # The highest cut that still finds so many: its place counts from the ill patient with the least.
            return float(ill[len(ill) - math.ceil(self.target * len(ill))])
        order = np.argsort(-p, kind="stable")
        right = np.cumsum(labels[order]) / np.arange(1, len(p) + 1)
        cuts = np.append(p[order][1:] != p[order][:-1], True)
        enough = np.arange(1, len(p) + 1) >= LEAST_FLAGGED
        good = np.flatnonzero((right >= self.target) & cuts & enough)
        # The lowest cut with so many right among the flagged finds the most patients.
        return float(p[order][good[-1]]) if len(good) else None


def abstention(p: F64, labels: NDArray[np.bool_], coverage: float, threshold: float | None) -> tuple[float, float]:
    """The band in which neither answer is sure enough: conformal prediction by class.

    Each class has its own quantile (Mondrian, Vovk et al. 2005): of the patients with the condition at most
    ``1 - coverage`` are cleared, of those without at most as many flagged, whatever the prevalence. Exact for
    probabilities from a fit that saw none of these patients; cross-validated ones come close to it.

    Args:
        p: Probabilities, ``(n,)``.
        labels: ``(n,)``, both classes present.
        coverage: Of each class, such as 0.9.
        threshold: Kept inside the band, so that outside of it flag and threshold agree.

    Returns:
        Lower and upper bound; equal where nobody need be left undecided.
    """
    ill, well = np.sort(p[labels]), np.sort(p[~labels])
    # The k-th least among the ill, k = floor((n + 1) (1 - coverage)): none where there are too few to promise it.
    k = math.floor((len(ill) + 1) * (1.0 - coverage) + 1e-9)
    low = float(ill[k - 1]) if k >= 1 else 0.0
    k = math.ceil((len(well) + 1) * coverage - 1e-9)
    high = math.nextafter(float(well[k - 1]), 2.0) if k <= len(well) else 1.0
    if high < low:
        low = high = min(max(threshold if threshold is not None else high, high), low)
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    return max(low, 0.0), min(high, 1.0)
