"""The systemd service: one unit for all patches, one instance and one file of options for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.service.install import install, remove
    from edge.service.place import Place
    from edge.service.status import status
    from edge.service.unit import render

__all__ = ["Place", "install", "remove", "render", "status"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "Place": "place",
            "install": "install",
            "remove": "install",
            "render": "unit",
            "status": "status",
        },
    )
