"""Batch normalisations after residual sums as one operation, which rounds once."""

from __future__ import annotations

from convert.quantization.network import Network, Op


def fold_norms(network: Network) -> int:
    """Make one depthwise convolution of each product and sum with a constant of every channel.

    A batch normalisation after a residual sum is such a pair. In int8 the pair rounds the signal twice and its
    constants to one scale for all channels; the convolution rounds once, has a scale for each channel and an int32
    bias.

    Returns:
        Number of pairs.
    """
    pairs = []
    for product in network.ops:
        after = network.consumers(product.output)
        if is_gain(network, product) and len(after) == 1:
            total = after[0]
            if total.kind == "ADD" and total.inputs[0] == product.output and _by_channel(network, total):
                pairs.append((product, total))
    for product, total in pairs:
        gain, shift = network.constant(product.inputs[1]), network.constant(total.inputs[1])
        new = network.depthwise(product.inputs[0], gain.reshape(1, 1, 1, -1), shift.reshape(-1), total.output)
        network.replace((product, total), new)
    return len(pairs)


def is_gain(network: Network, op: Op) -> bool:
    """Whether an operation multiplies each channel by a constant."""
    return op.kind == "MUL" and _by_channel(network, op)


def _by_channel(network: Network, op: Op) -> bool:
    if len(op.inputs) != 2 or not network.is_constant(op.inputs[1]) or op.raw.builtinOptions.fusedActivationFunction:
        return False
    return network.shape(op.inputs[1]) == network.shape(op.output)[-1:]
