"""Pieces that decoders share: cutting, timing, loss, and the wire formats of one maker."""

from __future__ import annotations

__all__: list[str] = []
