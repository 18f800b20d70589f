"""The example patch in C, and a reader for its output."""

from __future__ import annotations

import asyncio

from firmware_bridge.samples import SampleBlock
from helpers.c_side import C_SIDE

EXAMPLE = C_SIDE / "examples" / "patch"


async def listen(source, seconds: float, timeout_s: float = 120.0) -> list:
    """Collect items until that many seconds of signal have arrived."""
    items: list = []
    got = 0.0
    try:
        async with asyncio.timeout(timeout_s):
            async for item in source.items():
                items.append(item)
                if isinstance(item, SampleBlock):
                    got += (len(item) + item.lost) / item.fs_hz
                if got >= seconds:
                    break
    finally:
        await source.close()
    return items
