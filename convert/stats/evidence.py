"""The evidence level of a head: how well its scores separate positives from negatives on held-out patients."""

from __future__ import annotations

from typing import Literal

STRONG_ABOVE = 0.65
"""AUROC above which the evidence is strong, as in the AnyECG-Lab paper (arXiv 2510.22301)."""

LIMITED_BELOW = 0.55
"""AUROC below which the evidence is limited, as in the same paper."""

EvidenceLevel = Literal["strong", "moderate", "limited"]


def evidence_level(auroc: float | None) -> EvidenceLevel | None:
    """Return the evidence level of an AUROC; ``None`` where the AUROC is not defined."""
    if auroc is None:
        return None
    if auroc > STRONG_ABOVE:
        return "strong"
    return "limited" if auroc < LIMITED_BELOW else "moderate"
