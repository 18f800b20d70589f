"""The loss of a teacher: masked cross-entropy and masked regression, over labels of which most are unknown.

A segment has labels of a few indicators only, and one of them is abnormal now and then. Both are evened out by weights
that are made once, of the training part: a head known of every tenth segment counts ten times where it is known,
and positives count more than negatives. The loss is then a plain sum over segments and heads, so that it does not
matter how a batch is cut into passes or shared among workers.

What the weight of the positives shifts is taken back when the teacher is written: with weight ``w`` the best logit is
``log(w p / (1 - p))``, so ``log w`` too high.
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

LEAST_KNOWN = 0.02
"""A head known of fewer segments than this share is weighted as if it were known of so many: a handful of labels must
not rule the gradient."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadWeights:
    """How much each head counts.

    Attributes:
        known: Factor on a known label, ``(heads,)``.
        positive: Factor on a positive beside a negative, ``(heads,)``; 1 for a value.
        prior: Share of positives among the known, ``(heads,)``; 0.5 for a value.
        is_value: ``(heads,)``.
    """

    known: F32
    positive: F32
    prior: F32
    is_value: NDArray[np.bool_]

    @property
    def logit_shift(self) -> F32:
        """What the weight of the positives adds to the best logit, ``(heads,)``."""
        return np.log(self.positive)

    @property
    def first_bias(self) -> F32:
        """The best constant output, where training begins, ``(heads,)``."""
        p = np.clip(self.prior, 1e-3, 1 - 1e-3)
        return np.where(self.is_value, 0.0, np.log(p / (1 - p)) + self.logit_shift).astype(np.float32)


def head_weights(data: PreparedDataset, most: float, value_weight: float) -> HeadWeights:
    """The weights that the training part gives.

    Args:
        data: The data.
        most: Largest weight of a positive; 1 for none.
        value_weight: Of a value head beside a probability.
    """
    counts = [_counts(data, head) for head in data.heads]
    total = max(1, data.size("train"))
    known = np.array([c[0] for c in counts], np.float64)
    positive = np.array([c[1] for c in counts], np.float64)
    value = np.array([head.kind == "value" for head in data.heads])
    prior = np.where(value, 0.5, positive / np.maximum(known, 1))
    weight = np.where(value, 1.0, np.clip((1 - prior) / np.maximum(prior, 1e-9), 1.0, max(1.0, most)))
    # So that a head of rare positives does not count more than another by its weight alone.
    mean = np.where(value, 1.0 / max(value_weight, 1e-9), prior * weight + 1 - prior)
    share = np.maximum(known / total, LEAST_KNOWN)
    return HeadWeights(
        (1.0 / (share * mean)).astype(np.float32), weight.astype(np.float32), prior.astype(np.float32), value
    )


def _counts(data: PreparedDataset, head: PreparedHead) -> tuple[int, int]:
    found = next(h["counts"]["train"] for h in data.manifest["heads"] if h["key"] == head.key)
    return int(found["segments"]), int(found["positive_segments"])


def segment_losses(weights: HeadWeights, logits: Any, y: Any) -> Any:
    """The loss of each segment, the mean over all heads, ``(n,)``.

    Args:
        weights: Of the heads.
        logits: ``(n, heads)``.
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
    """Mean AUROC over the heads that can be judged, and each one's.

    Args:
        heads: Of the data.
        logits: ``(n, heads)``.
        y: Targets.
        least: Positives and negatives that a head needs.

    Returns:
        ``None`` where no head has so many.
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
