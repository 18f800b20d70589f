"""Listing, reporting and exporting sessions: ``anyecg sessions``, ``anyecg report``, ``anyecg export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.lazy import lazy_face

if TYPE_CHECKING:
    from edge.sessions.folder import SessionFolder
    from edge.sessions.listing import SessionFacts, list_sessions

__all__ = ["SessionFacts", "SessionFolder", "list_sessions"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_face(
        __name__,
        {"SessionFacts": "listing", "SessionFolder": "folder", "list_sessions": "listing"},
    )
