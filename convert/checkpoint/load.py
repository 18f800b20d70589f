"""From a checkpoint file to a Keras network in one call."""

from __future__ import annotations

from pathlib import Path

from convert.checkpoint.net1d import Net1D, net1d_from_tensors
from convert.checkpoint.reader import read_checkpoint


def net1d_from_checkpoint(path: Path | str, *, stride: int = 2, use_bn: bool = False) -> Net1D:
    """Builds the network that a checkpoint is of, with its weights. Everything else is inferred from the shapes.

    Args:
        path: A ``.pth`` file.
        stride: Of each stage's first block.
        use_bn: Whether the network was trained with batch normalisation.

    Returns:
        A Keras model with the outputs ``logits`` and ``features``, for windows of any length.

    Raises:
        InputError: The file is no checkpoint, or one of another network.
    """
    return net1d_from_tensors(read_checkpoint(path), stride=stride, use_bn=use_bn)
