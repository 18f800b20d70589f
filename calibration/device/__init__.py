"""Calibration of a device: scale, polarity, offset, sampling rate and frequency response of a board."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from calibration.device.run import measure

__all__ = ["measure"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "measure": "run",
        },
    )
