"""Estimates of many patches from a broker into a database. Host only; needs the ``collect`` extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.collect.address import open_store
    from edge.collect.collector import Collector
    from edge.collect.hops import Hop
    from edge.collect.stores import Store

__all__ = ["Collector", "Hop", "Store", "open_store"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__, {"Collector": "collector", "Hop": "hops", "Store": "stores", "open_store": "address"}
    )
