"""Readers of data sets, recordings, prepared segments and laboratory catalogues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.datasets.heads import TeacherHead
    from convert.datasets.labcatalogue import catalogue
    from convert.datasets.mcmed import McMedDataset
    from convert.datasets.pairs import Recording
    from convert.datasets.prepared import PreparedDataset

__all__ = ["McMedDataset", "PreparedDataset", "Recording", "TeacherHead", "catalogue"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "McMedDataset": "mcmed",
            "PreparedDataset": "prepared",
            "Recording": "pairs",
            "TeacherHead": "heads",
            "catalogue": "labcatalogue",
        },
    )
