"""The demonstration bundle: simulated patients, its teacher, its student, its model card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.demo.run import DemoConfig, train_demo

__all__ = ["DemoConfig", "train_demo"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "DemoConfig": "run",
            "train_demo": "run",
        },
    )
