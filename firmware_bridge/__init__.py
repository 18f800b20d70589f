"""Wire protocols and transports of ECG patches. The core is sans-IO: bytes in, sample blocks and link events out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

__all__ = ["LinkEvent", "LinkEventKind", "LinkItem", "SampleBlock"]


def __getattr__(name: str) -> object:
    """Loads the types, and numpy with them, when they are first asked for: ``anyecg doctor`` works without either."""
    if name in __all__:
        from firmware_bridge import samples

        return getattr(samples, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
