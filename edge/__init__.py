"""The device side: samples of a patch in, laboratory estimates out. Research software, not a medical device.

``docs/python.md`` has recipes, ``docs/api.md`` the reference. Importing this package loads no library and takes a few
milliseconds; every name loads its module on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.api.array_stream import ArrayStream
    from edge.api.bundle import Bundle, load_bundle
    from edge.api.items import Beat, Samples, Waves
    from edge.api.open import open  # noqa: A004  # as wave.open, gzip.open: used as edge.open
    from edge.api.session import Session, read_session
    from edge.api.stream import Results, Stream
    from edge.api.tables import Estimates
    from edge.api.version import __version__
    from edge.engine import Engine, Output
    from edge.grid import Gap
    from edge.model import load_model
    from edge.records import Estimate, LabEstimate
    from edge.sources import SourceUrl, open_source
    from firmware_bridge.errors import (
        AnyEcgError,
        BundleError,
        InputError,
        LinkError,
        MissingExtraError,
        OutputError,
        UsageError,
    )

__all__ = [
    "AnyEcgError",
    "ArrayStream",
    "Beat",
    "Bundle",
    "BundleError",
    "Engine",
    "Estimate",
    "Estimates",
    "Gap",
    "InputError",
    "LabEstimate",
    "LinkError",
    "MissingExtraError",
    "Output",
    "OutputError",
    "Results",
    "Samples",
    "Session",
    "SourceUrl",
    "Stream",
    "UsageError",
    "Waves",
    "__version__",
    "load_bundle",
    "load_model",
    "open",
    "open_source",
    "read_session",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "AnyEcgError": "firmware_bridge.errors",
            "ArrayStream": "api.array_stream",
            "Beat": "api.items",
            "Bundle": "api.bundle",
            "BundleError": "firmware_bridge.errors",
            "Engine": "engine",
            "Estimate": "records",
            "Estimates": "api.tables",
            "Gap": "grid",
            "InputError": "firmware_bridge.errors",
            "LabEstimate": "records",
            "LinkError": "firmware_bridge.errors",
            "MissingExtraError": "firmware_bridge.errors",
            "Output": "engine",
            "OutputError": "firmware_bridge.errors",
            "Results": "api.stream",
            "Samples": "api.items",
            "Session": "api.session",
            "SourceUrl": "sources",
            "Stream": "api.stream",
            "UsageError": "firmware_bridge.errors",
            "Waves": "api.items",
            "__version__": "api.version",
            "load_bundle": "api.bundle",
            "load_model": "model",
            "open": "api.open",
            "open_source": "sources",
            "read_session": "api.session",
        },
    )
