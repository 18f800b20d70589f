"""The loss of a teacher: masked cross-entropy and masked regression, over labels most of which are unknown.

A segment has labels of only a few heads, and few of them are positive. Weights from the training part balance both: a
head that is known for every tenth segment counts ten times where it is known, and positives count more than negatives.
The loss is then a plain sum over segments and heads, which does not depend on the division of a batch into passes or
between workers.

With the weight ``w`` of the positives the best logit is ``log(w p / (1 - p))``, so it is too high by ``log w``. This
shift is removed when the teacher is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.compute.losses import HUBER_AT, huber
from convert.compute.tf_runtime import load_tensorflow
from convert.datasets.prepared import PreparedDataset, PreparedHead

F32 = NDArray[np.float32]

MIN_KNOWN = 0.02
"""Minimum share of known segments for the weight of a head, so that a few labels do not dominate the gradient."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadWeights:
    """Weights of the heads.

    Attributes:
        known: Weight of a known label, ``(heads,)``.
        positive: Weight of a positive relative to a negative, ``(heads,)``; 1 for a value.
        prior: Share of positives among the known labels, ``(heads,)``; 0.5 for a value.
        is_value: Whether each head is a value, ``(heads,)``.
    """

    known: F32
    positive: F32
    prior: F32
    is_value: NDArray[np.bool_]

    @property
    def logit_shift(self) -> F32:
        """Shift of the best logit by the weight of the positives, ``(heads,)``."""
        return np.log(self.positive)

    @property
    def first_bias(self) -> F32:
        """The best constant outputs, with which the training starts, ``(heads,)``."""
        p = np.clip(self.prior, 1e-3, 1 - 1e-3)
        return np.where(self.is_value, 0.0, np.log(p / (1 - p)) + self.logit_shift).astype(np.float32)


def head_weights(data: PreparedDataset, most: float, value_weight: float) -> HeadWeights:
    """Return the weights of the heads for the training part.

    Args:
        data: The prepared data set.
        most: Largest weight of a positive; 1 for equal weights.
        value_weight: Weight of a value head relative to a probability.
    """
    counts = [_counts(data, head) for head in data.heads]
    total = max(1, data.size("train"))
    known = np.array([c[0] for c in counts], np.float64)
    positive = np.array([c[1] for c in counts], np.float64)
    value = np.array([head.kind == "value" for head in data.heads])
    prior = np.where(value, 0.5, positive / np.maximum(known, 1))
    weight = np.where(value, 1.0, np.clip((1 - prior) / np.maximum(prior, 1e-9), 1.0, max(1.0, most)))
    # The weight of the positives must not increase the total weight of a head with rare positives.
    mean = np.where(value, 1.0 / max(value_weight, 1e-9), prior * weight + 1 - prior)
    share = np.maximum(known / total, MIN_KNOWN)
    return HeadWeights(
        (1.0 / (share * mean)).astype(np.float32), weight.astype(np.float32), prior.astype(np.float32), value
    )


def _counts(data: PreparedDataset, head: PreparedHead) -> tuple[int, int]:
    found = next(h["counts"]["train"] for h in data.manifest["heads"] if h["key"] == head.key)
    return int(found["segments"]), int(found["positive_segments"])


def segment_losses(weights: HeadWeights, logits: Any, y: Any) -> Any:
    """Return the loss of each segment, the mean over all heads, ``(n,)``.

    Args:
        weights: Weights of the heads.
        logits: Outputs of the network, ``(n, heads)``.
        y: Targets, ``(n, heads)``, NaN where unknown.
    """
    tf = load_tensorflow()
    known = tf.cast(~tf.math.is_nan(y), tf.float32)
    y = tf.where(tf.math.is_nan(y), tf.zeros_like(y), y)
    entropy = tf.nn.weighted_cross_entropy_with_logits(labels=y, logits=logits, pos_weight=weights.positive)
    regression = huber(logits - y, HUBER_AT)
    each = tf.where(tf.constant(weights.is_value), regression, entropy) * known * weights.known
    return tf.reduce_mean(each, axis=1)


def macro_auroc(
    heads: Sequence[PreparedHead], logits: F32, y: F32, least: int
) -> tuple[float | None, dict[str, float]]:
    """Return the mean AUROC over the heads that can be judged, and the AUROC of each of them.

    Args:
        heads: Heads of the data set.
        logits: Outputs of the network, ``(n, heads)``.
        y: Targets, ``(n, heads)``, NaN where unknown.
        least: Number of positives and of negatives that a head needs.

    Returns:
        The mean, ``None`` if no head can be judged; and the AUROC by head.
    """
    from convert.stats.metrics import auroc

    found: dict[str, float] = {}
    for j, head in enumerate(heads):
        known = np.isfinite(y[:, j])
        positive = y[known, j] > 0.5
        if head.kind == "value" or min(int(positive.sum()), int((~positive).sum())) < least:
            continue
        area = auroc(logits[known, j], positive)
        if area is not None:
            found[head.key] = area
    return (float(np.mean(list(found.values()))) if found else None), found
