"""``anyecg doctor``: checks of the software, the computer, Bluetooth and serial ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.doctor.run import Report, examine

__all__ = ["Report", "examine"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Report": "run",
            "examine": "run",
        },
    )
