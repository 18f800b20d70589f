"""What a baseline and a run must share: the device, and the lead of a recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from firmware_bridge.text import printable

if TYPE_CHECKING:
    from edge.sources import SourceInfo

RECORDING = "recording"
"""Device of all recordings that no decoder of the kit reads: their names are those of files. The lead must agree."""


def of_source(info: SourceInfo) -> tuple[str, str | None]:
    """Return the device and the lead of a source."""
    return (info.device, None) if info.decided is None else (RECORDING, printable(info.decided.lead))


def of_session(about: Mapping[str, object]) -> tuple[str, str | None]:
    """Return the device and the lead of a session, from its ``session.json``."""
    decided = about.get("decided")
    lead = decided.get("lead") if isinstance(decided, Mapping) else None
    return (RECORDING, printable(lead)) if isinstance(lead, str) else (str(about.get("device", "?")), None)
