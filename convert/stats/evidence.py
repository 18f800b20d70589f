"""The evidence level of a head: how well its scores are shown to separate positives from negatives.

A level rests on the lower end of the 95 % interval and not on the estimate, so a few lucky patients give no level, and
with too few patients there is no verdict at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STRONG_ABOVE = 0.65
"""AUROC above which the evidence is strong, as in the AnyECG-Lab paper (arXiv 2510.22301)."""

LIMITED_BELOW = 0.55
"""AUROC below which the evidence is limited, as in the same paper."""

CHANCE = 0.5

MIN_PATIENTS = 20
"""Default number of patients of each class below which there is no verdict. With fewer, an AUROC of 0.8 has an interval
wider than 0.28."""

EvidenceLevel = Literal["strong", "moderate", "limited"]


@dataclass(frozen=True, slots=True)
class LeastPatients:
    """Minimum number of patients of each class for a verdict.

    Attributes:
        positives: Patients with a positive label.
        negatives: Patients with a negative label.
    """

    positives: int = MIN_PATIENTS
    negatives: int = MIN_PATIENTS

    def reached(self, positives: int, negatives: int) -> bool:
        """Return whether there are enough patients of both classes."""
        return positives >= self.positives and negatives >= self.negatives

    @property
    def both(self) -> int:
        """Minimum number of patients for a measure without classes, such as a mean absolute error."""
        return self.positives + self.negatives

    def missing(self, positives: int, negatives: int) -> str:
        """Return in words which class has too few patients; empty if both have enough."""
        if self.reached(positives, negatives):
            return ""
        return (
            f"too few patients: {positives} with and {negatives} without the abnormal result; at least "
            f"{self.positives} and {self.negatives} are needed"
        )


def evidence_level(auroc: float | None) -> EvidenceLevel | None:
    """Return the level of an AUROC, which should be the lower end of an interval; ``None`` where it is not defined."""
    if auroc is None:
        return None
    if auroc > STRONG_ABOVE:
        return "strong"
    return "limited" if auroc < LIMITED_BELOW else "moderate"


def shown_level(low: float | None, p: float | None, alpha: float) -> EvidenceLevel | None:
    """Return the level that an interval shows; ``None`` where the head is not distinguishable from chance.

    Args:
        low: Lower end of the interval of the AUROC.
        p: P-value of chance, adjusted for the number of heads; ``None`` where it was not tested.
        alpha: Level of the test.
    """
    if low is None or low <= CHANCE or (p is not None and p > alpha):
        return None
    return evidence_level(low)
