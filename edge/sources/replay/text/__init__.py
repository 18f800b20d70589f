"""Text recordings: from bytes to lines, from lines to a table, and which of its columns is the ECG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.sources.replay.text.json_table import JsonTable
    from edge.sources.replay.text.lines import TextFile
    from edge.sources.replay.text.table import TextTable

__all__ = ["JsonTable", "TextFile", "TextTable"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {
            "JsonTable": "json_table",
            "TextFile": "lines",
            "TextTable": "table",
        },
    )
