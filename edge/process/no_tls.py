"""Import of asyncio without TLS, for a device that opens only plain network connections.

``import asyncio`` loads ``ssl`` if it exists: 1.1 of the 60 MiB that a device may use (``anyecg bench`` with and
without). ``asyncio`` supports a Python without ``ssl``; this uses the same path, and leaves ``ssl`` importable for
later imports.
"""

from __future__ import annotations

import importlib
import sys


def load_asyncio() -> None:
    """Load asyncio without ``ssl``. Do nothing if either is loaded, as in a larger program or a test run."""
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # marks a module as not importable
    try:
        importlib.import_module("asyncio")
    finally:
        del sys.modules["ssl"]
