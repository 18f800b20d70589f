"""The device side: samples of a patch in, laboratory estimates out. Research software, not a medical device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.bundle.reader import Bundle, load_bundle
    from edge.engine import Engine
    from edge.model import load_model
    from edge.records import Estimate, LabEstimate
    from edge.sources import SourceUrl, open_source

__all__ = ["Bundle", "Engine", "Estimate", "LabEstimate", "SourceUrl", "load_bundle", "load_model", "open_source"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Bundle": "bundle.reader",
            "Engine": "engine",
            "Estimate": "records",
            "LabEstimate": "records",
            "SourceUrl": "sources",
            "load_bundle": "bundle.reader",
            "load_model": "model",
            "open_source": "sources",
        },
    )
