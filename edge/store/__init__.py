"""Results on disk: the compact form of estimates, reading them back, ``--keep``, and the account of a full disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.store.keep import Keep, parse_keep
    from edge.store.reader import EstimateReader
    from edge.store.storage import Storage

__all__ = ["EstimateReader", "Keep", "Storage", "parse_keep"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {"EstimateReader": "reader", "Keep": "keep", "Storage": "storage", "parse_keep": "keep"},
    )
