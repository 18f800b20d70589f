"""Calibration and thresholds in fixed point, as a patch computes them, and the identity of what it computes.

A score is a calibrated logit, or a value in its unit. The patch averages outputs in steps and computes
``score = slope * mean + offset`` in integers (``firmware_bridge/c/src/anyecg_estimate.c``); a probability is compared
in logits, so that it needs no exponential function.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.bundle.calibration import HeadCalibration
from edge.bundle.schema import OutputHead
from firmware_bridge.errors import BundleError

SLOPE_BITS = 24
SCORE_BITS = 16
NO_THRESHOLD = 2**31 - 1
"""Threshold of a head that raises no flag."""
LARGEST = 2**31 - 2
"""Largest number of the table that is not ``NO_THRESHOLD``."""
IDENTITY_BYTES = 8
USABLE_METHODS = "run anyecg calibrate probability with --methods temperature,platt and without --abstain"
"""What to do about a calibration that a patch cannot compute."""
MAX_ERROR = 2.0**-15
"""Largest difference between a score in fixed point and in double precision, for the same equally weighted windows."""


@dataclass(frozen=True, slots=True)
class FixedHead:
    """One head in fixed point.

    Attributes:
        key: Key of the output.
        slope: Score per step of the output, times ``2**SLOPE_BITS``.
        offset: Score at the zero point, times ``2**SCORE_BITS``.
        threshold: Score from which the flag is raised, times ``2**SCORE_BITS``; ``NO_THRESHOLD`` for none.
        index: Number of the model's output.
    """

    key: str
    slope: int
    offset: int
    threshold: int
    index: int

    def row(self) -> tuple[int, int, int, int]:
        """Return the numbers in the order of the table in C."""
        return self.slope, self.offset, self.threshold, self.index


def fixed_heads(
    outputs: Sequence[OutputHead], calibration: Mapping[str, HeadCalibration], output_scale: float
) -> tuple[FixedHead, ...]:
    """Return the heads of a bundle in fixed point.

    Args:
        outputs: Heads of the manifest.
        calibration: Their calibration by key.
        output_scale: Scale of the model's output.

    Raises:
        BundleError: A calibration cannot be computed in fixed point.
    """
    return tuple(_fixed(head, calibration[head.key], output_scale) for head in outputs)


def identity(model: bytes, heads: Sequence[FixedHead]) -> bytes:
    """Return what a patch states of its model: eight bytes that depend on the model and the whole table."""
    lines = [hashlib.sha256(model).hexdigest(), *(f"{h.key} {' '.join(map(str, h.row()))}" for h in heads)]
    return hashlib.sha256("\n".join(lines).encode()).digest()[:IDENTITY_BYTES]


def unsupported(cal: HeadCalibration) -> str | None:
    """Return the part of a calibration that a patch cannot compute, in words; ``None`` if there is none."""
    if cal.knots is not None:
        return "an isotonic curve"
    return None if cal.abstain is None else "a band of abstention"


def _fixed(head: OutputHead, cal: HeadCalibration, output_scale: float) -> FixedHead:
    what = unsupported(cal)
    if what is not None:
        raise BundleError(f"a patch cannot compute {what} ({head.key})", USABLE_METHODS)
    slope = round(cal.slope * output_scale * (1 << SLOPE_BITS))
    offset = round(cal.offset * (1 << SCORE_BITS))
    threshold = NO_THRESHOLD if cal.threshold is None or head.evidence.tier == "limited" else _threshold(head, cal)
    if max(abs(slope), abs(offset)) > LARGEST or not -LARGEST <= threshold <= NO_THRESHOLD:
        raise BundleError(
            f"the calibration of {head.key} does not fit the fixed point of a patch", "give the output a smaller unit"
        )
    return FixedHead(head.key, slope, offset, threshold, head.index)


def _threshold(head: OutputHead, cal: HeadCalibration) -> int:
    limit = cal.threshold or 0.0
    if head.kind == "value":
        return round(limit * (1 << SCORE_BITS))
    if limit <= 0.0:
        return -LARGEST
    if limit >= 1.0:
        return LARGEST
    return round(math.log(limit / (1.0 - limit)) * (1 << SCORE_BITS))
