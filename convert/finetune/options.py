"""How a teacher is trained: every setting, with the default that the nearest published recipe has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from convert.finetune.augment import Augmentation
from convert.finetune.init import InitOptions
from firmware_bridge.errors import UsageError

RATES = {"full": 3e-5, "scratch": 1e-3, "probe": 1e-3}
"""Peak rates: fine-tuning as published; the others are usual for AdamW and were tried on the simulator."""

Mode = Literal["full", "probe"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """How a teacher is trained.

    Attributes:
        init: Where it begins.
        mode: ``"full"``, every weight; ``"probe"``, the last layer only.
        epochs: At most.
        patience: Epochs without a better macro AUROC after which it ends.
        batch: Segments of a step, of all workers together.
        passes: Parts in which a step is computed, to save memory.
        rate: Peak learning rate; ``None`` for the mode's own.
        decay: Decoupled weight decay.
        clip: Largest norm of the gradient, 0 for no limit.
        most_positive_weight: Of a rare positive; 1 for none.
        value_weight: Of a value head.
        segments_per_visit: Drawn anew for each epoch; 0 for all.
        val_segments: At most.
        augmentation: ``None`` for none.
        average: Share that a moving average of the weights keeps from one step to the next, 0 for none; with it, the
            average is what is judged and written.
        precision: Of the computation; weights are float32 in any case.
        seed: Of all chance.
    """

    init: InitOptions
    mode: Mode = "full"
    epochs: int = 100
    patience: int = 10
    batch: int = 64
    passes: int = 1
    rate: float | None = None
    decay: float = 5e-4
    clip: float = 0.0
    most_positive_weight: float = 10.0
    value_weight: float = 1.0
    segments_per_visit: int = 0
    val_segments: int = 20_000
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    average: float = 0.0
    precision: Precision = "auto"
    seed: int = 1

    def __post_init__(self) -> None:
        counts = (self.epochs, self.patience, self.batch, self.passes, self.val_segments)
        if min(counts) < 1 or self.segments_per_visit < 0 or self.seed < 0:
            raise UsageError("epochs, patience, batch, passes and validation segments are at least 1, the seed 0")
        sizes = (self.decay, self.clip, self.value_weight, self.peak)
        if not all(math.isfinite(s) and s >= 0 for s in sizes) or not 1 <= self.most_positive_weight <= 1e4:
            raise UsageError("rates and weights are finite and not negative, the weight of positives 1 to 10000")
        if not 0.0 <= self.average < 1.0:
            raise UsageError(f"an average that keeps {self.average:g}", "0 to less than 1, such as 0.99")
        if self.mode == "probe" and self.init.scratch:
            raise UsageError("a linear probe needs a checkpoint to probe", "--init CHECKPOINT, or --mode full")

    @property
    def peak(self) -> float:
        """Peak learning rate."""
        if self.rate is not None:
            return self.rate
        return RATES["probe" if self.mode == "probe" else "scratch" if self.init.scratch else "full"]
