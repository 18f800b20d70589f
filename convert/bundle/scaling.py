"""Standardisation of a teacher's logits and features for the training of a student, and its inverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.datasets.heads import TeacherHead
from edge.stats import sigmoid

F32 = NDArray[np.float32]


SPREAD = 2.5
"""Standard deviation of a student's output over the training windows. The range of the int8 output, +-16, is then 6.4
standard deviations, and its step is a twentieth of one."""
MIN_GAP = 1e-5
"""Smallest loss of a constant against the teacher that is used for a weight, nats."""
MIN_SCALE = 1e-4
"""Smallest scale of a head, so that a constant output is not divided by zero."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Map from the outputs of a student to those of a teacher: ``teacher = centre + scale * student``, for each head.

    Attributes:
        centre: Mean of the teacher's outputs, ``(heads,)``.
        scale: Standard deviation of the teacher's outputs divided by `SPREAD`, ``(heads,)``.
        weight: 1 divided by the cross-entropy that a constant loses against the teacher, ``(heads,)``; 1 for a value.
        feature_mean: Mean of the features, ``(width,)``.
        feature_sd: Standard deviation of the features, ``(width,)``.
    """

    centre: F32
    scale: F32
    weight: F32
    feature_mean: F32
    feature_sd: F32

    def to_student(self, logits: F32) -> F32:
        """Return the teacher's outputs on the scale of the student."""
        return np.asarray((logits - self.centre) / self.scale, dtype=np.float32)

    def to_teacher(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the student's outputs on the scale of the teacher."""
        return np.asarray(self.centre + self.scale * outputs.astype(np.float64), dtype=np.float64)


def scaling_of(heads: Sequence[TeacherHead], logits: F32, features: F32) -> Scaling:
    """Compute the scaling from a teacher's outputs over the training windows.

    Args:
        heads: Heads of the teacher.
        logits: Outputs of the teacher, ``(windows, heads)``.
        features: Features of the teacher, ``(windows, width)``.
    """
    wide = logits.astype(np.float64)
    centre, sd = wide.mean(axis=0), wide.std(axis=0)
    # The weight is relative to the best constant, so that a rare head counts as much as a common one.
    shown = wide * [h.slope for h in heads] + [h.offset for h in heads]
    p = sigmoid(shown)
    gap = _entropy(p.mean(axis=0)) - _entropy(p).mean(axis=0)
    value = np.array([h.is_value for h in heads])
    f = features.astype(np.float64)
    return Scaling(
        centre.astype(np.float32),
        np.maximum(sd / SPREAD, MIN_SCALE).astype(np.float32),
        np.where(value, 1.0, 1.0 / np.maximum(gap, MIN_GAP)).astype(np.float32),
        f.mean(axis=0).astype(np.float32),
        np.maximum(f.std(axis=0), 1e-6).astype(np.float32),
    )


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    q = np.clip(p, 1e-12, 1.0 - 1e-12)
    return np.asarray(-(q * np.log(q) + (1 - q) * np.log(1 - q)))
