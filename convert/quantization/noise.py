"""Where the noise of int8 comes from: round one kind of tensor and leave the others in float."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from convert.quantization.network import CONVOLUTIONS, SAME_SCALE, Network, Op
from convert.quantization.passes import outputs, rounded_outputs
from convert.quantization.records import step_row


class NoiseRow(TypedDict):
    """The noise of one kind of tensor.

    Attributes:
        kind: What is rounded.
        tensors: Number of tensors; 0 for weights.
        noise_to_signal: Median over the outputs of the variance of the error over that of the output.
    """

    kind: str
    tensors: int
    noise_to_signal: float


def noise_table(network: Network, windows: NDArray[np.float32]) -> list[NoiseRow]:
    """Return the noise at the outputs of a calibrated model by kind of tensor, the largest first.

    Args:
        network: The model, with ranges.
        windows: Windows that judge, ``(n, samples)``.
    """
    exact = outputs(network, windows)
    groups: dict[str, list[int]] = {}
    for op in network.ops:
        if op.kind not in SAME_SCALE and op.output != network.sink:
            groups.setdefault(kind_of(network, op), []).append(op.output)

    def noise(only: list[int], *, weights: bool) -> float:
        return step_row("", exact, rounded_outputs(network, windows, only, weights=weights))["noise_to_signal"]

    rows: list[NoiseRow] = [
        {"kind": kind, "tensors": len(group), "noise_to_signal": noise(group, weights=False)}
        for kind, group in groups.items()
    ]
    rows.append({"kind": "weights", "tensors": 0, "noise_to_signal": noise([], weights=True)})
    return sorted(rows, key=lambda row: -row["noise_to_signal"])


def kind_of(network: Network, op: Op) -> str:
    """Return what an operation is in a residual network with gates."""
    if op.kind in ("ADD", "MUL") and network.is_constant(op.inputs[1]):
        return "normalisations"
    if op.kind == "DEPTHWISE_CONV_2D":
        return "normalisations"
    if network.shape(op.output)[2] == 1:
        return "means" if op.kind == "MEAN" else "gates"
    if op.kind in CONVOLUTIONS:
        return "convolutions"
    if op.kind == "ADD":
        return "residual sums"
    if op.kind == "LOGISTIC":
        return "sigmoids of swish"
    return "products with gates" if network.shape(op.inputs[1])[2] == 1 else "products of swish"
