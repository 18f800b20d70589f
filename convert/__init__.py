"""The host side of the kit: turn a checkpoint and recordings into a bundle. Needs the ``convert`` extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.bundle.writer import write_bundle
    from convert.checkpoint.reader import read_checkpoint
    from convert.checkpoint.tensors import Checkpoint
    from convert.distil.run import DistilConfig
    from convert.finetune.options import FinetuneOptions
    from convert.foundation.config import FoundationConfig
    from convert.foundation.run import convert_foundation
    from convert.prepare.run import PrepareOptions

__all__ = [
    "Checkpoint",
    "DistilConfig",
    "FinetuneOptions",
    "FoundationConfig",
    "PrepareOptions",
    "convert_foundation",
    "read_checkpoint",
    "write_bundle",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Checkpoint": "checkpoint.tensors",
            "DistilConfig": "distil.run",
            "FinetuneOptions": "finetune.options",
            "FoundationConfig": "foundation.config",
            "PrepareOptions": "prepare.run",
            "convert_foundation": "foundation.run",
            "read_checkpoint": "checkpoint.reader",
            "write_bundle": "bundle.writer",
        },
    )
