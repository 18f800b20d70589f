"""The page of ``anyecg run --http``: estimates, ECG and history of running patches in a browser, and their metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.http.address import HttpAddress
    from edge.http.open import open_page
    from edge.http.server import PageServer

__all__ = ["HttpAddress", "PageServer", "open_page"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(__name__, {"HttpAddress": "address", "PageServer": "server", "open_page": "open"})
