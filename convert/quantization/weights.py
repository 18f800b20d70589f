"""Weights in int8: symmetric, with one scale for each output channel, as TensorFlow's converter makes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def int8_weights(weights: NDArray[np.float32], axis: int = 0) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantize the weights of a convolution.

    Args:
        weights: The weights.
        axis: Axis of the output channels.

    Returns:
        Steps of the same shape from -127 to 127, and the scales, of size 1 along every other axis.
    """
    rest = tuple(i for i in range(weights.ndim) if i != axis)
    peak = np.abs(weights).max(axis=rest, keepdims=True)
    scale = np.maximum(peak / np.float32(127.0), np.float32(1e-12)).astype(np.float32)
    return np.clip(np.rint(weights / scale), -127, 127).astype(np.int8), scale
