"""Ranges by least error, where a range cannot clip what matters.

The rule: a range is reduced only at the lower end of a tensor that a swish reads. The swish of a strongly negative
value is nearly zero, so clipping there changes little, and the step of the tensor gets finer. Upper ends, the input,
the residual stream and the outputs keep the smallest and largest value of calibration: R peaks are there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.quantization.forward import grid_of
from convert.quantization.network import Network
from convert.quantization.passes import samples

CANDIDATES = 40
HIGHEST_END = -1.5
"""Upper limit of a reduced lower end: the swish has its minimum at -1.28."""


def swish_inputs(network: Network) -> list[int]:
    """Return the tensors that only a swish reads: a LOGISTIC and the product with it."""
    found = []
    for op in network.ops:
        readers = network.consumers(op.output)
        if sorted(r.kind for r in readers) == ["LOGISTIC", "MUL"]:
            gate, product = sorted(readers, key=lambda r: r.kind)
            if sorted(product.inputs) == sorted((op.output, gate.output)):
                found.append(op.output)
    return found


def clip_swish_inputs(network: Network, windows: NDArray[np.float32]) -> int:
    """Raise the lower end of the range of every tensor that only a swish reads to where the swish has the least error.

    Args:
        network: The model, with ranges.
        windows: Calibration windows, ``(n, samples)``.

    Returns:
        Number of tensors with a new range.
    """
    changed = 0
    for index, values in samples(network, windows, swish_inputs(network)).items():
        low, high = network.range_of(index)
        ends = np.linspace(low, HIGHEST_END, CANDIDATES) if low < HIGHEST_END else np.array([low])
        best = float(ends[int(np.argmin([_swish_error(values, float(end), high) for end in ends]))])
        if best > low:
            network.set_range(index, best, high)
            changed += 1
    return changed


def _swish_error(values: NDArray[np.float32], low: float, high: float) -> float:
    grid = grid_of(low, high)
    steps = np.clip(np.rint(values / grid.scale) + grid.zero_point, -128, 127)
    return float(np.mean((_swish((steps - grid.zero_point) * grid.scale) - _swish(values)) ** 2))


def _swish(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(x * 0.5 * (1.0 + np.tanh(0.5 * x)))
