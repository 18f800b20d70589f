"""Correction of biases: rounding shifts the mean of a channel, and the bias takes the shift away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.quantization.forward import apply, grids, rounded_constants, tf
from convert.quantization.network import CONVOLUTIONS, SAME_SCALE, Network
from convert.quantization.passes import batches


def correct_biases(network: Network, windows: NDArray[np.float32]) -> int:
    """Subtract the mean error of each channel of each convolution from its bias, from the first layer to the last.

    Each layer sees the inputs that the corrected layers before it give, so that the corrections do not add up.

    Args:
        network: The model, with ranges.
        windows: Calibration windows, ``(n, samples)``, all of which are held in memory.

    Returns:
        Number of convolutions.
    """
    grid, rounded = grids(network), rounded_constants(network)
    x = tf.constant(next(batches(windows, len(windows))))
    exact, inexact = {network.source: x}, {network.source: grid[network.source].round(x)}
    last = {i: k for k, op in enumerate(network.ops) for i in op.inputs}
    count = 0
    for k, op in enumerate(network.ops):
        read = list(op.inputs)
        a = apply(op, [_value(network, exact, {}, i) for i in read])
        b = apply(op, [_value(network, inexact, rounded, i) for i in read])
        if op.kind in CONVOLUTIONS and len(read) == 3 and not op.raw.builtinOptions.fusedActivationFunction:
            error = tf.reduce_mean(b - a, list(range(len(a.shape) - 1))).numpy()
            network.give_constant(op, 2, (network.constant(read[2]) - error).astype(np.float32))
            b = b - error
            count += 1
        exact[op.output] = a
        inexact[op.output] = b if op.kind in SAME_SCALE else grid[op.output].round(b)
        for index in read:
            if last[index] == k:
                exact.pop(index, None)
                inexact.pop(index, None)
    return count


def _value(network: Network, values: dict[int, Any], constants: dict[int, Any], index: int) -> Any:
    if index in values:
        return values[index]
    return constants[index] if index in constants else network.constant(index)
