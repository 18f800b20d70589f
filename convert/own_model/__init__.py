"""A bundle from a model that somebody else made: any LiteRT model that takes ten seconds of one lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.own_model.run import OwnModelConfig, make_bundle

__all__ = ["OwnModelConfig", "make_bundle"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"OwnModelConfig": "run", "make_bundle": "run"})
