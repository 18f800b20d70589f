"""How strongly an error in each channel of each tensor reaches the outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.quantization.forward import run, tf
from convert.quantization.network import Network, Op
from convert.quantization.passes import SEED, batches

WINDOWS = 12
"""Windows for the gradients; a gradient takes nine times as long as a forward pass."""

BATCH = 4


def sensitivities(
    network: Network, windows: NDArray[np.float32], spread: NDArray[np.float64]
) -> dict[int, NDArray[np.float32]]:
    """Return the noise that white noise of variance one in a channel of a tensor causes at the outputs.

    The outputs are divided by their spread and averaged. One random projection of the outputs per window replaces the
    gradient of each of them: its squared gradient has the same mean.

    Args:
        network: The model.
        windows: Windows, ``(n, samples)``; the first ones of an even choice are used.
        spread: Standard deviation of each output over windows.

    Returns:
        One value for each channel, by index of the tensor.
    """
    draw = np.random.default_rng(SEED)
    chosen = windows[np.unique(np.linspace(0, len(windows) - 1, WINDOWS).astype(int))]
    weight = np.where(spread > 0, 1.0 / np.maximum(spread, 1e-12), 0.0) / np.sqrt(len(spread))
    total: dict[int, NDArray[np.float32]] = {}
    for batch in batches(chosen, BATCH):
        signs = draw.choice([-1.0, 1.0], (len(batch), len(spread))) * weight
        for index, gradient in _gradients(network, batch, signs.astype(np.float32)).items():
            squares = tf.reduce_sum(gradient * gradient, list(range(len(gradient.shape) - 1))).numpy()
            total[index] = total.get(index, 0.0) + squares / len(chosen)
    return total


def _gradients(network: Network, batch: NDArray[np.float32], weights: NDArray[np.float32]) -> dict[int, Any]:
    made: dict[int, Any] = {}

    def keep(op: Op, y: Any) -> Any:
        made[op.output] = y
        return y

    x = tf.constant(batch)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = run(network, x, keep)
        scalar = tf.reduce_sum(tf.reshape(y, weights.shape) * weights)
    found = tape.gradient(scalar, list(made.values()))
    return {index: g for index, g in zip(made, found, strict=True) if g is not None}
