"""Passes over windows: what the tensors of a model hold, and what rounding does to its outputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.quantization.forward import Tap, grids, rounded_constants, run, tf
from convert.quantization.network import SAME_SCALE, Network, Op

BATCH = 8
"""Windows in one pass: the tensors of one operation then nearly fit into the cache."""

SAMPLES = 20_000
"""Values that :func:`samples` takes from a tensor in each batch."""

SEED = 1

Ranges = dict[int, NDArray[np.float32]]
"""Smallest and largest value of each channel, ``(2, channels)``, by index of the tensor."""


def batches(windows: NDArray[np.float32], size: int = BATCH) -> Iterator[NDArray[np.float32]]:
    """Yield windows in the form of the model's input, ``(n, 1, samples, 1)``."""
    for i in range(0, len(windows), size):
        yield windows[i : i + size].reshape(-1, 1, windows.shape[-1], 1)


def survey(network: Network, windows: NDArray[np.float32]) -> tuple[Ranges, NDArray[np.float64]]:
    """Return the ranges of all tensors that an operation makes, and the outputs, ``(n, outputs)``."""
    found: Ranges = {}

    def tap(op: Op, y: Any) -> Any:
        axes = list(range(len(y.shape) - 1))
        low, high = tf.reduce_min(y, axes).numpy(), tf.reduce_max(y, axes).numpy()
        if op.output in found:
            low, high = np.minimum(low, found[op.output][0]), np.maximum(high, found[op.output][1])
        found[op.output] = np.stack([low, high])
        return y

    return found, outputs(network, windows, tap)


def set_ranges(network: Network, ranges: Ranges) -> None:
    """Write ranges into a model; those of its input and output are the caller's and stay."""
    for index, (low, high) in ranges.items():
        if index != network.sink:
            network.set_range(index, float(low.min()), float(high.max()))


def samples(network: Network, windows: NDArray[np.float32], indices: Collection[int]) -> dict[int, NDArray[np.float32]]:
    """Return values of some tensors, drawn at random, by index of the tensor."""
    draw = np.random.default_rng(SEED)
    found: dict[int, list[NDArray[np.float32]]] = {i: [] for i in indices}

    def tap(op: Op, y: Any) -> Any:
        if op.output in found:
            values = y.numpy().ravel()
            found[op.output].append(values[draw.integers(0, values.size, min(values.size, SAMPLES))])
        return y

    outputs(network, windows, tap)
    return {index: np.concatenate(parts) for index, parts in found.items()}


def outputs(
    network: Network,
    windows: NDArray[np.float32],
    tap: Tap | None = None,
    constants: dict[int, NDArray[np.float32]] | None = None,
) -> NDArray[np.float64]:
    """Return the outputs of a model over windows, ``(n, outputs)``."""
    parts = [run(network, batch, tap, constants).numpy() for batch in batches(windows)]
    return np.concatenate(parts).reshape(len(windows), -1).astype(np.float64)


def rounded_outputs(
    network: Network,
    windows: NDArray[np.float32],
    only: Collection[int] | None = None,
    *,
    weights: bool = True,
) -> NDArray[np.float64]:
    """Return the outputs of a model that rounds as int8 kernels do.

    The output itself is not rounded, since its step is chosen elsewhere. The windows hold values of the int8 input.

    Args:
        network: The model, with ranges.
        windows: Windows, ``(n, samples)``.
        only: Tensors that are rounded; ``None`` for all.
        weights: Whether weights and other constants are rounded.
    """
    grid = grids(network)

    def tap(op: Op, y: Any) -> Any:
        exact = op.kind in SAME_SCALE or op.output == network.sink or (only is not None and op.output not in only)
        return y if exact else grid[op.output].round(y)

    return outputs(network, windows, tap, rounded_constants(network) if weights else None)
