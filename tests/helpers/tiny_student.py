"""A student small enough to train within a test, and the settings of its distillation."""

from __future__ import annotations

from pathlib import Path

from convert.compute.students import Block, StudentSpec
from convert.distil.run import DistilConfig
from convert.distil.train import DistilPlan
from convert.teacher.open import CheckpointOptions
from convert.teacher.soft_labels import WindowPlan

TINY = StudentSpec("tiny", 4, 7, 4, (Block(6, 5, 2), Block(6, 5), Block(8, 3, 2)), 8, 32 * 1024, 16 * 1024)


def config(folder: Path, labels: Path | None = None) -> DistilConfig:
    plan = DistilPlan(seed=3, float_epochs=2, quant_epochs=1)
    return DistilConfig(
        Path("unused"), folder, CheckpointOptions(), labels, folder, "tiny", "pupil", None, WindowPlan(2.0, 6), plan
    )
