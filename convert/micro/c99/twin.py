"""The arithmetic of the C kernels in numpy, layer by layer, to check what a package computes before it is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convert.micro.c99.network import Block, Dense, Network, Sum, Timing
from convert.micro.c99.scaling import Range, Scale

Ints = NDArray[np.int64]


def run(network: Network, window: NDArray[np.int8]) -> NDArray[np.int8]:
    """Runs one window.

    Args:
        network: The network.
        window: int8 ``(window,)``.

    Returns:
        Outputs, int8 ``(outputs,)``.
    """
    stem = network.stem
    samples = _padded(window.astype(np.int64).reshape(-1, 1), stem.time, stem.dense.inputs)
    taken = np.lib.stride_tricks.sliding_window_view(samples[:, 0], stem.dense.inputs)[:: stem.time.stride]
    x = _dense(stem.dense, taken[: stem.time.steps])
    for block in network.blocks:
        x = _block(block, x)
    mean = network.mean
    x = _limited(_rescaled(x.sum(axis=0, keepdims=True) + mean.bias, [mean.scale] * mean.channels), mean.range)
    for layer in network.heads:
        x = _dense(layer, x)
    outputs: NDArray[np.int8] = x[0].astype(np.int8)
    return outputs


def _padded(x: Ints, time: Timing, taps: int) -> Ints:
    """Returns the signal with the vectors before and after it that the stage reads."""
    after = max((time.steps - 1) * time.stride + taps - time.left - len(x), 0)
    return np.pad(x, ((time.left, after), (0, 0)), constant_values=time.zero)


def _block(block: Block, x: Ints) -> Ints:
    depth, time = block.depth, block.time
    padded = _padded(x, time, depth.taps)
    last = (time.steps - 1) * time.stride + 1
    sums = depth.biases + sum(padded[t : t + last : time.stride] * depth.weights[t] for t in range(depth.taps))
    y = _dense(block.point, _limited(_rescaled(sums, depth.scales), depth.range))
    return y if block.add is None else _sum(block.add, x, y)


def _dense(layer: Dense, x: Ints) -> Ints:
    sums = x @ layer.weights.T.astype(np.int64) + layer.biases
    return _limited(_rescaled(sums, layer.scales), layer.range)


def _sum(add: Sum, a: Ints, b: Ints) -> Ints:
    large, small = (b, a) if add.swap else (a, b)
    value = _rescaled((small - add.zero_small) * add.factor, [add.scale])
    total = (large - add.zero_large) * (1 << 19) + value
    return _limited(_rescaled(total, [add.scale_sum]), add.range)


def _rescaled(sums: Ints, scales: Sequence[Scale]) -> Ints:
    """Rounds the product with the multiplier to the nearest, halves up, then the division, halves away from zero."""
    multipliers = np.array([s.multiplier for s in scales], np.int64)
    shifts = np.array([max(s.shift - 1, 0) for s in scales], np.int64)
    products = (sums * multipliers + (1 << 30)) >> 31
    return (((products - (products < 0)) >> shifts) + 1) >> 1


def _limited(values: Ints, found: Range) -> Ints:
    return np.clip(values + found.zero, found.low, found.high)
