"""Read checkpoints of PyTorch and Keras without executing anything in them, and build their network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.checkpoint.load import net1d_from_checkpoint
    from convert.checkpoint.net1d import Net1D
    from convert.checkpoint.reader import read_checkpoint
    from convert.checkpoint.tensors import Checkpoint
    from convert.checkpoint.writer import write_checkpoint

__all__ = ["Checkpoint", "Net1D", "net1d_from_checkpoint", "read_checkpoint", "write_checkpoint"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Checkpoint": "tensors",
            "Net1D": "net1d",
            "net1d_from_checkpoint": "load",
            "read_checkpoint": "reader",
            "write_checkpoint": "writer",
        },
    )
