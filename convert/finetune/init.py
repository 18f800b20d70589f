"""Start of a training: a checkpoint with a new last layer, or random weights.

As the README of ECGFounder describes, ``dense`` is replaced by a new linear layer with one output for each head. A
twelve-lead checkpoint is read as the one-lead network with the same result when the other eleven leads are zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.spec import Net1DSpec
from firmware_bridge.errors import InputError, UsageError

if TYPE_CHECKING:
    from convert.checkpoint.tensors import Checkpoint

SCRATCH = "scratch"

SHAPES: Mapping[str, Net1DSpec] = {
    "ecgfounder": Net1DSpec(),
    "clef-small": Net1DSpec(1, 32, 0.5, (32, 64, 64, 128, 128, 256), (1, 1, 2, 2, 2, 2), 16, 2, 8),
    "small": Net1DSpec(1, 8, 1.0, (8, 16, 16, 32), (1, 1, 1, 1), 16, 2, 8),
    "tiny": Net1DSpec(1, 8, 1.0, (8, 16), (1, 1), 16, 2, 8),
}
"""Networks to train from scratch: that of ECGFounder, its smallest published relative
(Nokia-Bell-Labs/ecg-foundation-model), one for a few hundred patients with a receptive field of one second, and one to
try out the command."""

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Order of the inputs of a twelve-lead checkpoint (ECGFounder)."""

DENSE = ("dense.weight", "dense.bias")
"""Tensors of the last layer."""


@dataclass(frozen=True, slots=True)
class InitOptions:
    """Options of the start of a training.

    Attributes:
        init: Path of a checkpoint, or ``scratch``.
        shape: Network for ``scratch``, a key of :data:`SHAPES`.
        stride: Stride of a checkpoint's stages; ``None`` for the stride in the file, or 2 if it has none.
        use_bn: Batch normalisation; ``None`` for the fact in the checkpoint, or off if it has none; on for ``scratch``.
        lead: Lead of a twelve-lead checkpoint.
        key: Name of the network in a checkpoint with several; ``None`` for the only one.
    """

    init: str
    shape: str = "clef-small"
    stride: int | None = None
    use_bn: bool | None = None
    lead: str = "II"
    key: str | None = None

    @property
    def scratch(self) -> bool:
        """Whether the training starts from random weights."""
        return self.init == SCRATCH

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UsageError(f"unknown shape {self.shape!r}", f"use one of {', '.join(SHAPES)}")
        if self.lead not in LEADS:
            raise UsageError(f"unknown lead {self.lead!r}", f"use one of {', '.join(LEADS)}")


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A network to train.

    Attributes:
        spec: Size of the network, with the outputs of the data.
        tensors: Weights of all layers except ``dense``; empty for ``scratch``.
        sha256: SHA-256 of the checkpoint, hexadecimal; empty for ``scratch``.
        remarks: Remarks for the user, one sentence each.
    """

    spec: Net1DSpec
    tensors: Mapping[str, NDArray[Any]]
    sha256: str
    remarks: tuple[str, ...]


def open_start(options: InitOptions, outputs: int) -> Start:
    """Read the checkpoint from which a training starts.

    Args:
        options: Options of the start.
        outputs: Number of heads of the data.

    Raises:
        InputError: The checkpoint cannot be read, or belongs to another network.
    """
    if options.scratch:
        bn = True if options.use_bn is None else options.use_bn
        return Start(replace(SHAPES[options.shape], n_classes=outputs, use_bn=bn), {}, "", ())
    # Imported on use, so that the help of 'anyecg finetune' does not load the readers of every format.
    from convert.teacher.place import checkpoint_at, read_network

    checkpoint, spec = read_network(checkpoint_at(Path(options.init)), options.stride, options.use_bn, options.key)
    tensors, remarks = dict(checkpoint.tensors), list(checkpoint.oddities)
    if spec.in_channels != 1:
        tensors["first_conv.conv.weight"] = _one_lead(checkpoint, options.lead)
        remarks.append(f"a checkpoint of {spec.in_channels} leads: only its weights for lead {options.lead} are used")
    for name in DENSE:
        tensors.pop(name, None)
    spec = replace(spec, in_channels=1, n_classes=outputs)
    return Start(spec, tensors, checkpoint.sha256, tuple(remarks))


def _one_lead(checkpoint: Checkpoint, lead: str) -> NDArray[np.float32]:
    weight: NDArray[np.float32] = np.asarray(checkpoint.tensors["first_conv.conv.weight"], np.float32)
    if weight.shape[1] != len(LEADS):
        raise InputError(
            f"{checkpoint.path} reads {weight.shape[1]} leads", "give a checkpoint with one or twelve leads"
        )
    i = LEADS.index(lead)
    return weight[:, i : i + 1]


def build(start: Start, bias: NDArray[np.float32], seed: int) -> Any:
    """Build the network with the weights of the checkpoint and a new last layer with the given bias.

    Args:
        start: Network and weights.
        bias: Bias of the last layer, ``(outputs,)``.
        seed: Seed of the random weights.

    Raises:
        InputError: A tensor of the checkpoint is missing or has the wrong shape.
    """
    import keras

    from convert.checkpoint.net1d import load_tensors, net1d_from_spec, to_tensors

    keras.utils.set_random_seed(seed)
    net = net1d_from_spec(start.spec)
    tensors = to_tensors(net) | dict(start.tensors)
    # The heads are untrained, so the network starts almost as the best constant, whatever the features are.
    tensors["dense.weight"] = tensors["dense.weight"] * np.float32(0.1)
    tensors["dense.bias"] = bias
    load_tensors(net, tensors)
    return net
