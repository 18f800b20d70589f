"""Loss functions that the trainings of students and teachers share."""

from __future__ import annotations

from typing import Any

from convert.compute.tf_runtime import load_tensorflow

HUBER_AT = 3.0
"""Error from which Huber's loss is linear, in units of the scaled target: a few extreme laboratory values must not
dominate the gradient."""


def huber(error: Any, weight: float = 1.0) -> Any:
    """Return Huber's loss of each error: squared up to ``HUBER_AT``, linear beyond.

    Args:
        error: Prediction minus target, float32 tensor of any shape, in units of the scaled target.
        weight: Factor on the result. With 1 the loss is 0.5 at ``HUBER_AT``.

    Returns:
        Tensor of the same shape.
    """
    tf = load_tensorflow()
    size = tf.abs(error) / HUBER_AT
    return weight * tf.where(size < 1.0, 0.5 * size * size, size - 0.5)
