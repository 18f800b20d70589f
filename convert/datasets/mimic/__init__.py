"""MIMIC-IV with its ECGs: the full sets and the open demos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.datasets.mimic.dataset import MimicDataset

__all__ = ["MimicDataset"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"MimicDataset": "dataset"})
