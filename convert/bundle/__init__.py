"""Create a bundle: contents, calibration, evidence and the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.bundle.fit import calibrate, judge
    from convert.bundle.scaling import Scaling
    from convert.bundle.writer import BundleContents, write_bundle

__all__ = ["BundleContents", "Scaling", "calibrate", "judge", "write_bundle"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "BundleContents": "writer",
            "Scaling": "scaling",
            "calibrate": "fit",
            "judge": "fit",
            "write_bundle": "writer",
        },
    )
