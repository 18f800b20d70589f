"""Where a training begins: a checkpoint with a new last layer, or nothing.

ECGFounder's own way (its README): drop ``dense``, put a new linear layer of as many outputs as there are heads.
A checkpoint of twelve leads is read as the one-lead network that does the same where the other eleven are zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.checkpoint.reader import read_checkpoint
from convert.checkpoint.spec import Net1DSpec, spec_from_tensors
from convert.checkpoint.tensors import Checkpoint
from convert.teacher.place import checkpoint_at, network_options
from firmware_bridge.errors import InputError, UsageError

SCRATCH = "scratch"

SHAPES: Mapping[str, Net1DSpec] = {
    "ecgfounder": Net1DSpec(),
    "clef-small": Net1DSpec(1, 32, 0.5, (32, 64, 64, 128, 128, 256), (1, 1, 2, 2, 2, 2), 16, 2, 8),
    "small": Net1DSpec(1, 8, 1.0, (8, 16, 16, 32), (1, 1, 1, 1), 16, 2, 8),
    "tiny": Net1DSpec(1, 8, 1.0, (8, 16), (1, 1), 16, 2, 8),
}
"""Networks to train from nothing: ECGFounder's own, the smallest published relative (Nokia-Bell-Labs/ecg-foundation-
model), one for a few hundred patients that sees a second at once, and one for a look at the command itself."""

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""Order of a twelve-lead checkpoint's inputs (ECGFounder)."""

DENSE = ("dense.weight", "dense.bias")


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What a start needs to be told.

    Attributes:
        init: A checkpoint, or ``scratch``.
        shape: Of a network from nothing, a key of :data:`SHAPES`.
        stride: Of a checkpoint's stages; ``None`` for what it says itself, else 2.
        use_bn: Batch normalisation; ``None`` for what a checkpoint says itself, else off; from nothing, on.
        lead: Of a twelve-lead checkpoint.
    """

    init: str
    shape: str = "clef-small"
    stride: int | None = None
    use_bn: bool | None = None
    lead: str = "II"

    @property
    def scratch(self) -> bool:
        """Whether it begins from nothing."""
        return self.init == SCRATCH

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise UsageError(f"no shape is called {self.shape!r}", f"one of {', '.join(SHAPES)}")
        if self.lead not in LEADS:
            raise UsageError(f"no lead is called {self.lead!r}", f"one of {', '.join(LEADS)}")


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A network to train.

    Attributes:
        spec: Its options, with the outputs of the data.
        tensors: Weights of everything but ``dense``; empty from nothing.
        sha256: Of the checkpoint, or empty.
        remarks: What the user should know, one sentence each.
    """

    spec: Net1DSpec
    tensors: Mapping[str, NDArray[Any]]
    sha256: str
    remarks: tuple[str, ...]


def open_start(options: InitOptions, outputs: int) -> Start:
    """Reads the checkpoint that a training begins with.

    Args:
        options: What is asked for.
        outputs: Heads of the data.

    Raises:
        InputError: The checkpoint cannot be read, or is of another network.
    """
    if options.scratch:
        bn = True if options.use_bn is None else options.use_bn
        return Start(replace(SHAPES[options.shape], n_classes=outputs, use_bn=bn), {}, "", ())
    checkpoint = read_checkpoint(checkpoint_at(Path(options.init)))
    stride, use_bn = network_options(checkpoint, options.stride, options.use_bn)
    spec = spec_from_tensors(checkpoint.tensors, str(checkpoint.path), stride=stride, use_bn=use_bn)
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
        raise InputError(f"{checkpoint.path} reads {weight.shape[1]} leads", "one or twelve can be fine-tuned")
    i = LEADS.index(lead)
    return weight[:, i : i + 1]


def build(start: Start, bias: NDArray[np.float32], seed: int) -> Any:
    """The network with its first weights: the checkpoint's, a new last layer with the given bias.

    Args:
        start: What to build.
        bias: Of the last layer, ``(outputs,)``.
        seed: Of what is drawn.

    Raises:
        InputError: A tensor of the checkpoint is missing or does not fit.
    """
    import keras

    from convert.checkpoint.net1d import load_tensors, net1d_from_spec, to_tensors

    keras.utils.set_random_seed(seed)
    net = net1d_from_spec(start.spec)
    tensors = to_tensors(net) | dict(start.tensors)
    # Nothing is known of the heads yet: the best constant, whatever the features say.
    tensors["dense.weight"] = tensors["dense.weight"] * np.float32(0.1)
    tensors["dense.bias"] = bias
    load_tensors(net, tensors)
    return net
