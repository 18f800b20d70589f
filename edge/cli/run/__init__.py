"""``anyecg run``: one patch, several patches, or many recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.cli.run.command import main
    from edge.cli.run.inputs import source_url
    from edge.cli.run.options import add_view, hop, parser, positive, several_patches

__all__ = ["add_view", "hop", "main", "parser", "positive", "several_patches", "source_url"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "add_view": "options",
            "hop": "options",
            "main": "command",
            "parser": "options",
            "positive": "options",
            "several_patches": "options",
            "source_url": "inputs",
        },
    )
