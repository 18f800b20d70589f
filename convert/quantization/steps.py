"""Steps after training that make a calibrated model lose less in int8."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from convert.quantization.bias import correct_biases
from convert.quantization.network import Network
from convert.quantization.passes import outputs, rounded_outputs, set_ranges, survey
from convert.quantization.ranges import clip_swish_inputs
from convert.quantization.records import StepRow, step_row
from convert.quantization.rewrite import fold_norms
from convert.quantization.sensitivity import sensitivities
from convert.quantization.stream import best_factors, find_stream, scale_stream

JUDGES = 16
"""Number of windows on which each step is judged when none are given for it."""

CLIP_WINDOWS = 24
BIAS_WINDOWS = 32
"""Numbers of windows for two steps; more change nothing that can be measured."""

WORSE = 1.1
"""Noise after a step, relative to the least before it, above which the step is undone. A little more noise is accepted,
because a later step may need it."""

Step = Callable[[Network, NDArray[np.float32]], None]


def improve(
    calibrated: bytes,
    windows: NDArray[np.float32],
    stream: TextIO | None = None,
    judges: NDArray[np.float32] | None = None,
) -> tuple[bytes, list[StepRow]]:
    """Apply the steps in order.

    Args:
        calibrated: Result of :func:`convert.foundation.export.calibrated_flatbuffer` with the range of the int8 input.
        windows: Calibration windows, ``(n, samples)``, with values that the int8 input can hold.
        stream: Stream for progress lines, or ``None``.
        judges: Windows that judge the steps; ``None`` for some of the calibration windows.

    Returns:
        The better model, and what each step bought; the first row is the model as it came. A step that makes more
        noise is undone, and its row says so.
    """
    network = Network(calibrated)
    judging = windows[:: max(1, len(windows) // JUDGES)][:JUDGES] if judges is None else judges
    exact = outputs(network, judging)
    rows: list[StepRow] = []

    def judge(name: str) -> None:
        rows.append(step_row(name, exact, rounded_outputs(network, judging)))
        if stream is not None:
            r = rows[-1]
            stream.write(
                f"int8, {name}: correlation {r['correlation_median']:.4f}, lowest {r['correlation_min']:.4f}\n"
            )

    judge("as calibrated")
    best = rows[0]["noise_to_signal"]
    for name, step in STEPS.items():
        kept = network.pack()
        step(network, windows)
        judge(name)
        if rows[-1]["noise_to_signal"] > WORSE * best:
            network = Network(kept)
            rows[-1]["step"] += " (not kept)"
        best = min(best, rows[-1]["noise_to_signal"])
    return network.pack(), rows


def _fold(network: Network, windows: NDArray[np.float32]) -> None:
    del windows
    fold_norms(network)


def _scale(network: Network, windows: NDArray[np.float32]) -> None:
    ranges, found = survey(network, windows)
    stream = find_stream(network)
    if stream is not None:
        sensitivity = sensitivities(network, windows, found.std(axis=0))
        scale_stream(network, stream, best_factors(network, stream, ranges, sensitivity), ranges)
    set_ranges(network, ranges)


def _clip(network: Network, windows: NDArray[np.float32]) -> None:
    clip_swish_inputs(network, windows[:CLIP_WINDOWS])


def _correct(network: Network, windows: NDArray[np.float32]) -> None:
    correct_biases(network, windows[:BIAS_WINDOWS])


STEPS: dict[str, Step] = {
    "norms folded": _fold,
    "residual channels scaled": _scale,
    "swish inputs clipped": _clip,
    "biases corrected": _correct,
}
