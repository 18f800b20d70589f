"""Export a bundle as C for TensorFlow Lite Micro, and check a model against targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.micro.package import MicroPackage
    from convert.micro.rules import LintReport

__all__ = ["LintReport", "MicroPackage"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "LintReport": "rules",
            "MicroPackage": "package",
        },
    )
