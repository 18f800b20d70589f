"""Fine-tuning: training of a teacher from a checkpoint or from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.finetune.options import FinetuneOptions
    from convert.finetune.run import finetune

__all__ = ["FinetuneOptions", "finetune"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "FinetuneOptions": "options",
            "finetune": "run",
        },
    )
