"""Parts that decoders share: framing, timing, loss detection, and the wire formats of each manufacturer."""

from __future__ import annotations

__all__: list[str] = []
