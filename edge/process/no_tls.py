"""Loads asyncio without its TLS half, on a device that opens no network connection but plain ones.

``import asyncio`` loads ``ssl`` where it finds it: 1.1 of the 60 MiB that a device may use (``anyecg bench`` with and
without). ``asyncio`` itself provides for an interpreter that was built without ``ssl``; this uses the same path, and
leaves ``ssl`` importable for whoever wants it later.
"""

from __future__ import annotations

import importlib
import sys


def load_asyncio() -> None:
    """Loads asyncio without ``ssl``; does nothing where either is loaded, as in a larger program or a test run."""
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # the import system's own way to say "not there"
    try:
        importlib.import_module("asyncio")
    finally:
        del sys.modules["ssl"]
