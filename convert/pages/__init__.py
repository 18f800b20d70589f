"""Pages of the host: templates, styles, plots, and names in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.pages.render import render
    from convert.pages.words import names_of

__all__ = ["names_of", "render"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "names_of": "words",
            "render": "render",
        },
    )
