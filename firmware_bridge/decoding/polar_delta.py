"""Polar's delta frames: a reference sample, then blocks of differences packed least significant bit first.

The rule is that of polarofficial/polar-ble-sdk's ``BlePMDClient.parseDeltaFramesAll``: values wrap at 32 bits, every
block begins on a byte boundary. Other projects unpack most significant bit first, which is right for eight-bit
differences only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_BITS = 32
"""Largest width of a difference and of a reference sample, bits."""


def decode_delta(content: bytes, channels: int, resolution_bits: int) -> NDArray[np.int32] | None:
    """Decode the content of a compressed frame.

    Args:
        content: The bytes after the ten-byte head of the frame.
        channels: Values per sample, at least one.
        resolution_bits: Width of the reference sample's values, 1 to 32; each occupies whole bytes.

    Returns:
        Values, shape ``(n, channels)``, ``n >= 1``; ``None`` if the bytes are not a delta frame.
    """
    width = -(-resolution_bits // 8)
    offset = width * channels
    if not 1 <= resolution_bits <= MAX_BITS or channels < 1 or len(content) < offset:
        return None
    reference = [int.from_bytes(content[i * width : (i + 1) * width], "little", signed=True) for i in range(channels)]
    parts = [np.array([reference], dtype=np.int64)]
    while offset < len(content):
        if len(content) - offset < 2:
            return None
        bits, count = content[offset], content[offset + 1]
        size = -(-bits * count * channels // 8)
        packed = content[offset + 2 : offset + 2 + size]
        if bits > MAX_BITS or len(packed) < size:
            return None
        parts.append(_differences(packed, bits, count * channels).reshape(count, channels))
        offset += 2 + size
    # 32-bit two's complement, as in the sensor's own arithmetic; a 64-bit sum cannot overflow in one frame.
    wrapped: NDArray[np.int32] = np.cumsum(np.concatenate(parts), axis=0).astype(np.uint32).view(np.int32)
    return wrapped


def _differences(packed: bytes, bits: int, count: int) -> NDArray[np.int64]:
    if bits == 0 or count == 0:
        return np.zeros(count, dtype=np.int64)
    flat = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), bitorder="little")[: bits * count]
    weights = np.left_shift(np.int64(1), np.arange(bits, dtype=np.int64))
    # In two's complement the top bit has negative weight: this is the sign extension.
    weights[-1] = -weights[-1]
    values: NDArray[np.int64] = (flat.reshape(count, bits).astype(np.int64) * weights).sum(axis=1)
    return values
