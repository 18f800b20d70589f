"""The check of a patch's estimates against the host's own, where both have averaged over the same samples.

The two need not be equal: the host estimates every second and weights windows by their quality, the patch estimates
every few seconds and counts windows alike. Larger differences mean that one of them computes something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.records import LabEstimate

MAX_PROBABILITY_GAP = 0.1
"""Largest difference of a probability that is no disagreement."""


@dataclass(slots=True)
class Check:
    """The account of all comparisons.

    Attributes:
        compared: Estimates of the patch that were compared.
        disagreed: Those of them with at least one disagreement.
        flags: Outputs whose flag differed.
        largest: Largest difference of a probability.
    """

    compared: int = 0
    disagreed: int = 0
    flags: int = 0
    largest: float = 0.0

    def compare(self, patch: Sequence[LabEstimate], host: Sequence[LabEstimate]) -> str | None:
        """Compare one estimate of each side.

        Args:
            patch: The outputs of the patch.
            host: The host's own for nearly the same time, in the same order.

        Returns:
            What differs, in words; ``None`` if they agree.
        """
        self.compared += 1
        worst: tuple[float, str] | None = None
        flags = 0
        for theirs, own in zip(patch, host, strict=True):
            if own.abstained is not None:
                continue
            gap, allowed = _gap(theirs, own)
            if own.unit == "1":
                self.largest = max(self.largest, gap)
            if gap > allowed and (worst is None or gap / allowed > worst[0]):
                worst = (gap / allowed, f"{own.key} is {theirs.value:.3g} on the patch and {own.value:.3g} here")
            flags += theirs.flag != own.flag
        self.flags += flags
        if worst is None:
            return None
        self.disagreed += 1
        return worst[1]

    def words(self) -> str:
        """Return the account as one line."""
        if not self.compared:
            return "no estimate of the patch was compared with the host's own"
        noun = "estimate" if self.compared == 1 else "estimates"
        return (
            f"{self.compared} {noun} of the patch compared with the host's own: {self.disagreed} disagreed, "
            f"{self.flags} flags differed, largest difference of a probability {self.largest:.3f}"
        )


def _gap(theirs: LabEstimate, own: LabEstimate) -> tuple[float, float]:
    """Return the difference of two values, and the largest that is no disagreement."""
    if theirs.value is None or own.value is None:
        return 0.0, MAX_PROBABILITY_GAP
    gap = abs(theirs.value - own.value)
    if own.unit == "1" or own.interval is None:
        return gap, MAX_PROBABILITY_GAP
    return gap, max(0.5 * (own.interval[1] - own.interval[0]), 1e-9)
