"""Standardisation of a teacher's logits and features: what a student is trained on and what calibration maps back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.datasets.heads import TeacherHead

F32 = NDArray[np.float32]


SPREAD = 2.5
"""Standard deviation of a student's output over the training windows: +-16, the range of the int8 output, is then 6.4
deviations, and its step a twentieth of one."""
MIN_GAP = 1e-5
MIN_SCALE = 1e-4


@dataclass(frozen=True, slots=True)
class Scaling:
    """From a student's output to a teacher's: ``teacher = centre + scale * student``, by head.

    Attributes:
        centre: ``(heads,)``.
        scale: ``(heads,)``.
        weight: One over the cross-entropy that a constant loses, by head; one for a value.
        feature_mean: ``(width,)``.
        feature_sd: ``(width,)``.
    """

    centre: F32
    scale: F32
    weight: F32
    feature_mean: F32
    feature_sd: F32

    def to_student(self, logits: F32) -> F32:
        """The teacher's outputs as the student shall give them."""
        return np.asarray((logits - self.centre) / self.scale, dtype=np.float32)

    def to_teacher(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The student's outputs as the teacher's logits."""
        return np.asarray(self.centre + self.scale * outputs.astype(np.float64), dtype=np.float64)


def scaling_of(heads: Sequence[TeacherHead], logits: F32, features: F32) -> Scaling:
    """Centre, scale and weight of each head over the training windows."""
    wide = logits.astype(np.float64)
    centre, sd = wide.mean(axis=0), wide.std(axis=0)
    # The weight compares with the best constant: a rare head counts as much as a common one.
    shown = wide * [h.slope for h in heads] + [h.offset for h in heads]
    p = 1.0 / (1.0 + np.exp(-np.clip(shown, -60, 60)))
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
