"""Counts in the data of link events. A recording may hold any value there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from firmware_bridge.items import HOLE_BYTES
from firmware_bridge.samples import LinkEvent, LinkEventKind

MAX_COUNT = 1 << 40
UNDECODED = "undecoded"
"""Value of ``fault`` in the data of events about a stream without any frame."""

_DISCARDING = {LinkEventKind.INFO, LinkEventKind.CORRUPT}


def frames_in(event: LinkEvent) -> int:
    """Return how many damaged frames an event of the kind CORRUPT reports; 0 for any other."""
    return number_in(event.data, "frames", 1) if event.kind is LinkEventKind.CORRUPT else 0


def number_in(data: Mapping[str, object], key: str, default: int) -> int:
    """Return a count by its key, or the default if there is none."""
    value = data.get(key, default)
    return value if isinstance(value, int) and 0 <= value <= MAX_COUNT else default


def thrown_by(event: LinkEvent) -> Counter[str]:
    """Return what an event says was thrown away, by the names of the summary."""
    out: Counter[str] = Counter()
    warning = event.kind is LinkEventKind.INFO and event.data.get("fault") == UNDECODED  # about bytes counted before
    if event.kind in _DISCARDING and HOLE_BYTES not in event.data and not warning:
        out["bytes"] = number_in(event.data, "bytes", 0)
    found = event.data.get("decided")
    damage = found.get("damage") if isinstance(found, Mapping) else None
    if isinstance(damage, Mapping):
        out["recording_bytes"] = number_in(damage, "bytes", 0)
        out["recording_samples"] = number_in(damage, "samples", 0)
    return out
