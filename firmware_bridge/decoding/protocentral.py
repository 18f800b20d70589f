"""ProtoCentral's packet format, and decoders of the boards that send it: ``0A FA lenL lenH type payload f1 0B``.

The format has no checksum, and ``f1`` differs between boards. So a frame is accepted by its head and last byte, and
only if no other frame begins inside it (which is what a truncated frame looks like). Sources:
Protocentral/protocentral_healthypi_v4@030856e,
Protocentral/protocentral_healthypi5_zephyr@2c8eb00:app/src/data_module.c,
Protocentral/protocentral-ads1292r-arduino@9a75cf6:examples/02.OpenView/02.OpenView.ino,
Protocentral/protocentral_max30003@343ad18:examples/Example1-ECG-stream-Openview.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding.cutter import MORE, NO, Cutter, Run
from firmware_bridge.decoding.stream import Blocks, StreamDecoder
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem

START = b"\x0a\xfa"
STOP = 0x0B
LENGTH_MAX = 64
"""Longest payload that is accepted, bytes; the longest known one has 50."""
OVERHEAD = 7
"""Bytes of a frame besides its payload."""
HEAD = 5
"""Bytes before the payload."""
NOTIFICATION_MAX = 512
"""Longest notification that is accepted, bytes (the longest attribute that Bluetooth allows)."""
ECG_SERVICE = "00001122-0000-1000-8000-00805f9b34fb"
ECG_CHARACTERISTIC = "00001424-0000-1000-8000-00805f9b34fb"

Kind = tuple[int, int]
"""Type and length of the payload."""


def head(kind: Kind) -> bytes:
    """Return the first five bytes of a frame of that kind."""
    return START + bytes((kind[1], 0, kind[0]))


class Framing:
    """Decides where a frame begins.

    Args:
        kinds: Known kinds -> payload lengths that also occur although the head states another.
    """

    def __init__(self, kinds: Mapping[Kind, tuple[int, ...]]) -> None:
        self._heads = tuple({head(kind)[:4] for kind in kinds})
        self._short = {head(kind): {n + OVERHEAD for n in short} for kind, short in kinds.items() if short}

    def fit(self, buffer: bytes, at: int, trusted: bool, last: int) -> int:
        """Implement `firmware_bridge.decoding.cutter.Fit`."""
        del trusted, last
        known = buffer[at : at + HEAD]
        if len(known) < HEAD:
            begins = known[:2] == START[: len(known)] and known[2:3] <= bytes((LENGTH_MAX,)) and known[3:4] in b"\0"
            return MORE if begins else NO
        if known[:2] != START or known[3] or known[2] > LENGTH_MAX:
            return NO
        end = at + known[2] + OVERHEAD
        if len(buffer) < end:
            return MORE
        inside = min((p for h in self._heads if (p := buffer.find(h, at + HEAD, end)) >= 0), default=-1)
        if inside < 0:
            return end - at if buffer[end - 1] == STOP else NO
        short = self._short.get(known)
        return inside - at if short and inside - at in short and buffer[inside - 1] == STOP else NO


class ProtoCentralDecoder(StreamDecoder):
    """Decodes the frames of ProtoCentral boards; subclasses interpret the payloads.

    Args:
        blocks: Builds blocks of the board's rate and scale.
        kinds: See `Framing`.
    """

    def __init__(self, blocks: Blocks, kinds: Mapping[Kind, tuple[int, ...]]) -> None:
        super().__init__(Cutter(Framing(kinds).fit, START, HEAD))
        self._blocks = blocks
        self._kinds = kinds

    def _frames(self, run: Run, arrival_ns: int) -> list[LinkItem]:
        kind = (run.data[4], run.data[2])
        if kind not in self._kinds:
            self._count["unknown_frames"] += len(run.data) // run.size
            return []
        return self._payloads(kind, run, arrival_ns)

    def _payloads(self, kind: Kind, run: Run, arrival_ns: int) -> list[LinkItem]:
        """Decode whole frames of a known kind."""
        raise NotImplementedError

    def _unnumbered(
        self, samples: NDArray[np.int32], run: Run, arrival_ns: int, lead_off: NDArray[np.bool_] | None = None
    ) -> list[LinkItem]:
        """Make blocks of frames without number or time: the loss is estimated from the discarded bytes."""
        frames = len(run.data) // run.size
        lost = self._guess(run.size, len(samples) // frames)
        self._samples(len(samples), lost)
        if lead_off is None or not lead_off.any():
            return [self._blocks.one(samples, arrival_ns, lost)]
        self._count["lead_off_samples"] += int(lead_off.sum())
        missing = np.zeros(len(samples), np.int64)
        missing[0] = lost
        return self._blocks.cut(samples, arrival_ns, missing, lead_off)


def column(run: Run, offset: int, kind: str, count: int = 1) -> NDArray[np.int32]:
    """Extract the values at one position of every frame.

    Args:
        run: Whole frames.
        offset: Position in bytes from the beginning of a frame.
        kind: NumPy type string, such as ``"<i2"``.
        count: Consecutive values in a frame.

    Returns:
        A copy of the values, ``int32`` of shape ``(frames * count,)``.
    """
    one = _layout(offset, kind, count, run.size)
    return np.frombuffer(run.data, one)["v"].astype(np.int32).reshape(-1)


@lru_cache(maxsize=64)
def _layout(offset: int, kind: str, count: int, size: int) -> np.dtype[np.void]:
    return np.dtype({"names": ["v"], "formats": [(kind, (count,))], "offsets": [offset], "itemsize": size})


SAMPLE_BYTES = 4
"""Bytes of a sample in a notification."""


def notification(blocks: Blocks, data: bytes, arrival_ns: int, lost: int = 0) -> LinkItem:
    """Decode a notification of the ECG characteristic: little-endian ``int32``, without number or time.

    Source: Protocentral/protocentral_healthypi5_zephyr@03636bd:app/src/ble_module.c, ``ble_ecg_notify``.
    """
    if not data or len(data) % 4 or len(data) > NOTIFICATION_MAX:
        fault: dict[str, object] = {"bytes": len(data)}
        return LinkEvent(
            LinkEventKind.CORRUPT, arrival_ns, f"a notification of {len(data)} bytes holds no samples", fault
        )
    return blocks.one(np.frombuffer(data, "<i4").astype(np.int32), arrival_ns, lost)
