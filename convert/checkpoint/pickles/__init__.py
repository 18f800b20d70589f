"""Pickles without execution: a small interpreter that makes tensors, plain containers and inert placeholders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.checkpoint.pickles.unpickle import load_next, load_plain
    from convert.checkpoint.pickles.values import Inert, Loaded, StorageRef, Symbol, TensorRef

__all__ = ["Inert", "Loaded", "StorageRef", "Symbol", "TensorRef", "load_next", "load_plain"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Inert": "values",
            "Loaded": "values",
            "StorageRef": "values",
            "Symbol": "values",
            "TensorRef": "values",
            "load_next": "unpickle",
            "load_plain": "unpickle",
        },
    )
