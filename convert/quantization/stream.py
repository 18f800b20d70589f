"""A scale of its own for each channel of the residual stream.

All sums of the residual blocks share their channels, and one int8 scale for all channels gives a quiet channel a few
steps. A factor for each channel changes that at no cost: the last convolution of each block is multiplied by it, and
what reads the stream is divided by it. Sums, pools, paddings and gates do not notice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.quantization.network import CONVOLUTIONS, Network, Op
from convert.quantization.passes import Ranges
from convert.quantization.rewrite import is_gain

MAX_FACTOR = 32.0
"""Largest factor, so that a channel that is silent in calibration keeps room."""

SHARPNESS = (8.0, 32.0, 128.0)
"""Exponents of the soft maximum in the search for the factors, from smooth to nearly exact."""

STEPS = 120
"""Steps of the search for each exponent."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The residual stream of a network.

    Attributes:
        channels: Group of each channel of each tensor of the stream; channels of one group have one factor.
        carried: The same for the tensors that the factors also reach: results of the branches and their products.
        branches: Convolutions whose results are summed into the stream, with the output of each sum.
        entry: The operation that leads into the stream and has no factors, and the sum that reads it.
        groups: Number of groups.
    """

    channels: dict[int, NDArray[np.int64]]
    carried: dict[int, NDArray[np.int64]]
    branches: list[tuple[Op, int]]
    entry: tuple[Op, Op]
    groups: int


def find_stream(network: Network) -> Stream | None:
    """Return the residual stream of a network; ``None`` if it has none of the known form."""
    channels: dict[int, NDArray[np.int64]] = {}
    carried: dict[int, NDArray[np.int64]] = {}
    branches: list[tuple[Op, int]] = []
    entry: tuple[Op, Op] | None = None
    groups = 0
    for op in network.ops:
        if op.kind != "ADD" or any(network.is_constant(i) for i in op.inputs):
            continue
        branch, rest = _branch(network, op.inputs[0]), op.inputs[1]
        before = _walk_back(network, rest, channels)
        if branch is None or (before is None and entry is not None):
            return None
        if before is None:
            first = network.producer(rest)
            if first is None:
                return None
            entry, groups = (first, op), network.shape(rest)[-1]
            channels[rest] = np.arange(groups)
        for step in before or ():
            inside = channels[step.inputs[0]]
            left, right = network.constant(step.inputs[1])[-1] if step.kind == "PAD" else (0, 0)
            new = groups + np.arange(int(left + right))
            groups += len(new)
            channels[step.output] = np.concatenate([new[:left], inside, new[left:]])
        channels[op.output] = carried[op.inputs[0]] = carried[branch.output] = channels[rest]
        branches.append((branch, op.output))
    if entry is None:
        return None
    scaled = {**channels, **carried}
    readers = [(i, op) for i in scaled if i != entry[0].output for op in network.consumers(i)]
    if not all(op.output in scaled or _takes_up(network, op, i) for i, op in readers):
        return None
    return Stream(channels, carried, branches, entry, groups)


def _takes_up(network: Network, op: Op, index: int) -> bool:
    """Whether an operation can be changed so that a factor of its input does not reach its output."""
    if op.kind == "MEAN":
        return all(_takes_up(network, reader, op.output) for reader in network.consumers(op.output))
    return op.inputs[0] == index and (op.kind in CONVOLUTIONS or is_gain(network, op))


def _branch(network: Network, index: int) -> Op | None:
    """Return the convolution of a branch that ends in a product with its own gate, or in the convolution itself."""
    op = network.producer(index)
    if op is not None and op.kind == "MUL" and not network.is_constant(op.inputs[1]):
        gate = network.producer(op.inputs[1])
        op = network.producer(op.inputs[0]) if gate is not None and gate.kind == "LOGISTIC" else None
    if op is None or op.kind != "CONV_2D" or len(op.inputs) != 3:
        return None
    return None if op.raw.builtinOptions.fusedActivationFunction else op


def _walk_back(network: Network, index: int, known: dict[int, NDArray[np.int64]]) -> list[Op] | None:
    """Return the pools and paddings from a tensor of the stream to ``index``, in order; ``None`` if it is another."""
    found: list[Op] = []
    while index not in known:
        op = network.producer(index)
        if op is None or op.kind not in ("MAX_POOL_2D", "PAD"):
            return None
        found.insert(0, op)
        index = op.inputs[0]
    return found


def best_factors(
    network: Network, stream: Stream, ranges: Ranges, sensitivity: dict[int, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return the factors that make the rounding of the stream cause the least noise at the outputs.

    The noise of a tensor is the square of its step, which its loudest channel sets, times the sum of the sensitivity
    of each channel over the square of its factor.

    Args:
        network: The model.
        stream: Its residual stream.
        ranges: Range of each channel of each tensor.
        sensitivity: See :func:`convert.quantization.sensitivity.sensitivities`.

    Returns:
        One factor for each group.
    """
    from scipy.optimize import minimize

    tensors = {**stream.channels, **stream.carried}
    for op in network.ops:
        if op.kind == "MEAN" and op.inputs[0] in tensors:
            tensors[op.output] = tensors[op.inputs[0]]
    parts = [
        _Part(sensitivity[i].astype(float), np.maximum(-ranges[i][0], 1e-6), np.maximum(ranges[i][1], 1e-6), groups)
        for i, groups in tensors.items()
        if i in ranges and i in sensitivity
    ]
    z = np.zeros(stream.groups)
    limit = float(np.log(MAX_FACTOR))
    for sharpness in SHARPNESS:
        found = minimize(
            _log_noise, z, (parts, sharpness), "L-BFGS-B", jac=True, bounds=[(-limit, limit)] * stream.groups,
            options={"maxiter": STEPS},
        )  # fmt: skip
        z = found.x
    return np.exp(z - np.median(z)).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    sensitivity: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    groups: NDArray[np.int64]


def _log_noise(z: NDArray[np.float64], parts: list[_Part], sharpness: float) -> tuple[float, NDArray[np.float64]]:
    """Return the logarithm of the noise and its gradient, for the logarithms of the factors."""
    noise, gradient = 0.0, np.zeros_like(z)
    for part in parts:
        factor = np.exp(z[part.groups])
        weighted = part.sensitivity / factor**2
        (low, at_low), (high, at_high) = (_soft_maximum(factor * p, sharpness) for p in (part.low, part.high))
        total, span = weighted.sum(), low + high
        noise += total * span**2
        own = -2.0 * weighted * span**2 + 2.0 * total * span * (low * at_low + high * at_high)
        gradient += np.bincount(part.groups, own, len(z))
    return float(np.log(noise)), gradient / noise


def _soft_maximum(values: NDArray[np.float64], sharpness: float) -> tuple[float, NDArray[np.float64]]:
    """Return the p-norm and the share of each value in it."""
    top = values.max()
    powers = (values / top) ** sharpness
    total = powers.sum()
    return float(top * total ** (1.0 / sharpness)), powers / total


def scale_stream(network: Network, stream: Stream, factors: NDArray[np.float32], ranges: Ranges) -> None:
    """Multiply each channel of the stream by its factor, in place; the outputs stay.

    Args:
        network: The model.
        stream: Its residual stream.
        factors: One factor for each group.
        ranges: Ranges of all tensors, which are multiplied, too.
    """
    for branch, total in stream.branches:
        factor = factors[stream.channels[total]]
        weights, bias = (network.constant(i) for i in branch.inputs[1:3])
        network.give_constant(branch, 1, weights * factor[:, None, None, None])
        network.give_constant(branch, 2, bias * factor)
    for index, groups in (*stream.channels.items(), *stream.carried.items()):
        if index != stream.entry[0].output:
            ranges[index] = ranges[index] * factors[groups]
            _divide_readers(network, index, factors[groups], ranges)
    source, reader = stream.entry
    factor = factors[stream.channels[source.output]]
    index = network.copy_tensor(source.output)
    new = network.depthwise(source.output, factor.reshape(1, 1, 1, -1), np.zeros(factor.size, np.float32), index)
    network.ops.insert(network.ops.index(source) + 1, new)
    network.rewire(reader, source.output, index)
    ranges[index] = ranges[source.output] * factor


def _divide_readers(network: Network, index: int, factor: NDArray[np.float32], ranges: Ranges) -> None:
    """Divide the constants of what reads a tensor, also through a mean over time."""
    for op in network.consumers(index):
        if op.kind == "MEAN":
            ranges[op.output] = ranges[op.output] * factor
            _divide_readers(network, op.output, factor, ranges)
        elif op.kind in CONVOLUTIONS or is_gain(network, op):
            network.give_constant(op, 1, np.asarray(network.constant(op.inputs[1]) / factor, dtype=np.float32))
