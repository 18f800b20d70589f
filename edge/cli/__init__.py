"""The ``anyecg`` command, one module per subcommand. Modules are loaded by name when a subcommand runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.cli.main import COMMANDS

__all__ = ["COMMANDS"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "COMMANDS": "main",
        },
    )
