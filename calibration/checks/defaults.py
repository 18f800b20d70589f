"""Defaults of ``anyecg validate`` and ``calibrate`` without any library, so that its help appears at once."""

from __future__ import annotations

from typing import Literal

SplitName = Literal["test", "val", "chrono-test", "all"]
SPLITS: tuple[SplitName, ...] = ("test", "val", "chrono-test", "all")

SPLIT: SplitName = "test"
SEED = 1
HOP_S = 1.0
"""Seconds between windows, as on a device."""
ROBUSTNESS = 40
"""Number of recordings to disturb."""
RESAMPLES = 1000
"""Number of replicates of the bootstrap, as in CardioLab (Sci Rep 2025, s41598-025-26715-5)."""
WIDTH = 0.1
"""Width of a planned interval: of the AUROC, or as a share of a claimed mean absolute error."""
