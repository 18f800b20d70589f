"""The version of the installed kit."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("anyecg-edge")
except PackageNotFoundError:
    __version__ = "0+unknown"
    """A checkout that is not installed."""
