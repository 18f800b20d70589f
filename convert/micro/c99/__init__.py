"""A student as plain C99: the layers of its graph, tables for its kernels, and what both cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from convert.micro.c99.network import Network
    from convert.micro.c99.package import C99Package

__all__ = ["C99Package", "Network"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"C99Package": "package", "Network": "network"})
