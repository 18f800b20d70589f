"""Options of fine-tuning. The defaults are those of the nearest published recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from convert.finetune.augment import Augmentation
from convert.finetune.init import InitOptions
from firmware_bridge.errors import UsageError

RATES = {"full": 3e-5, "scratch": 1e-3, "probe": 1e-3}
"""Peak learning rates. That of fine-tuning is published; the others are usual for AdamW and were tested on the
simulator."""

Mode = Literal["full", "probe"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """Options of a training.

    Attributes:
        init: Options of the start.
        mode: ``"full"`` to train every weight, ``"probe"`` to train the last layer only.
        epochs: Maximum number of epochs.
        patience: Number of epochs without a better macro AUROC after which the training ends.
        batch: Number of segments of a step over all workers.
        passes: Number of parts in which a step is computed, to save memory.
        rate: Peak learning rate; ``None`` for the default of the mode.
        decay: Decoupled weight decay.
        clip: Largest norm of the gradient; 0 for no limit.
        most_positive_weight: Largest weight of a rare positive; 1 for equal weights.
        value_weight: Weight of a value head relative to a probability.
        segments_per_visit: Number of segments of a visit, drawn again for each epoch; 0 for all.
        val_segments: Maximum number of validation segments.
        augmentation: Augmentation of the training segments; ``None`` for none.
        average: Factor of the moving average of the weights, the share that it keeps in each step; 0 for none. With
            it, the average is judged and written.
        precision: Precision of the computation; the weights are always float32.
        seed: Seed of all random numbers.
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
            raise UsageError(
                "--epochs, --patience, --batch, --passes and --val-segments must be 1 or more, "
                "--per-visit and --seed 0 or more"
            )
        sizes = (self.decay, self.clip, self.value_weight, self.peak)
        if not all(math.isfinite(s) and s >= 0 for s in sizes) or not 1 <= self.most_positive_weight <= 1e4:
            raise UsageError(
                "--decay, --clip, --value-weight and --rate must be 0 or more, --positive-weight 1 to 10000"
            )
        if not 0.0 <= self.average < 1.0:
            raise UsageError(f"--average is {self.average:g}", "give 0 to less than 1, such as 0.99")
        if self.mode == "probe" and self.init.scratch:
            raise UsageError("a linear probe needs a checkpoint", "give --init CHECKPOINT, or --mode full")

    @property
    def peak(self) -> float:
        """Peak learning rate, given or by mode."""
        if self.rate is not None:
            return self.rate
        return RATES["probe" if self.mode == "probe" else "scratch" if self.init.scratch else "full"]
