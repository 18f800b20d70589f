"""Shift the heads of a full-int8 model by changing the bias of its last convolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.compute.flatbuffer import convolutions, opened, packed, set_constant
from edge.bundle.tensors import TensorSpec


def with_shifted_heads(model: bytes, shift: NDArray[np.float64], sink: TensorSpec) -> bytes:
    """Add a constant to every head.

    Args:
        model: A full-int8 model that ends in a convolution.
        shift: What to add to each head, on the scale of the output, ``(heads,)``.
        sink: Output of the model; its coarser copies are shifted, too.
    """
    root = opened(model)
    graph = root.subgraphs[0]
    source, weights, bias = (graph.tensors[i] for i in convolutions(root)[-1].inputs)
    # A bias counts in steps of input times weights, for each output channel.
    step = np.asarray(weights.quantization.scale, np.float64) * float(source.quantization.scale[0])
    by_channel = shift if sink.coarse is None else np.concatenate([shift, shift / sink.coarse.ratio])
    steps = np.frombuffer(bytes(root.buffers[bias.buffer].data), "<i4").astype(np.float64)
    moved = np.clip(np.rint(steps + by_channel / step), -(2**31), 2**31 - 1)
    set_constant(root, bias, moved.astype(np.int32))
    return packed(root)
