"""What a step of the quantization bought."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

LEAST_SPREAD = 1e-6
"""Outputs that vary less over windows are not judged."""


class StepRow(TypedDict):
    """One step and the agreement of the rounded model with the float model after it.

    Attributes:
        step: Name of the step.
        correlation_median: Median over the outputs of the correlation over windows.
        correlation_min: The lowest one.
        noise_to_signal: Median over the outputs of the variance of the error over that of the output.
    """

    step: str
    correlation_median: float
    correlation_min: float
    noise_to_signal: float


def step_row(step: str, exact: NDArray[np.float64], rounded: NDArray[np.float64]) -> StepRow:
    """Compare outputs, ``(windows, outputs)``, of the float model and of the rounded model."""
    varied = exact.std(axis=0) > LEAST_SPREAD
    a, b = exact[:, varied] - exact[:, varied].mean(axis=0), rounded[:, varied] - rounded[:, varied].mean(axis=0)
    if not a.size:
        return {"step": step, "correlation_median": 1.0, "correlation_min": 1.0, "noise_to_signal": 0.0}
    power = (a * a).sum(axis=0)
    r = (a * b).sum(axis=0) / np.sqrt(np.maximum(power * (b * b).sum(axis=0), 1e-30))
    noise = ((a - b) ** 2).sum(axis=0) / power
    return {
        "step": step,
        "correlation_median": float(np.median(r)),
        "correlation_min": float(r.min()),
        "noise_to_signal": float(np.median(noise)),
    }
