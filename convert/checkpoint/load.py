"""From a checkpoint file to a Keras network in one call."""

from __future__ import annotations

from pathlib import Path

from convert.checkpoint.net1d import Net1D, net1d_from_tensors
from convert.checkpoint.reader import read_checkpoint


def net1d_from_checkpoint(path: Path | str, *, stride: int = 2, use_bn: bool = False, key: str | None = None) -> Net1D:
    """Build the network of a checkpoint, with its weights. All options not given are inferred from the shapes.

    Args:
        path: A ``.pth`` or ``.safetensors`` file.
        stride: Stride of the first block of each stage.
        use_bn: Whether the network was trained with batch normalisation.
        key: Name of the network in a file with several.

    Returns:
        A Keras model with the outputs ``logits`` and ``features``, for windows of any length.

    Raises:
        InputError: The file is not a checkpoint, or is the checkpoint of another network.
    """
    return net1d_from_tensors(read_checkpoint(path, key=key), stride=stride, use_bn=use_bn)
