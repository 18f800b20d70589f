"""Discovery of patches on Bluetooth and serial ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from firmware_bridge.discovery.run import ScanResult, Sighting, scan

__all__ = ["ScanResult", "Sighting", "scan"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "ScanResult": "run",
            "Sighting": "run",
            "scan": "run",
        },
    )
