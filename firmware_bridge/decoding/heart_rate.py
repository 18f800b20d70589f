"""Bluetooth's heart rate measurement (characteristic 0x2A37), which many straps send next to their own service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeartRate:
    """One notification of the heart rate service.

    Attributes:
        bpm: Heart rate, beats per minute.
        contact: Whether the electrodes touch skin; ``None`` if the strap does not report it.
        rr_ms: Beat-to-beat intervals since the last notification, oldest first, in milliseconds.
    """

    bpm: int
    contact: bool | None
    rr_ms: tuple[int, ...]


def parse_heart_rate(data: bytes) -> HeartRate | None:
    """Parse a notification; return ``None`` if it is truncated.

    Source: Bluetooth SIG, Heart Rate Service 1.0, section 3.1: flags, rate, energy, intervals of 1/1024 s.
    """
    if len(data) < 2:
        return None
    flags = data[0]
    wide = flags & 1
    at = 3 if wide else 2
    if len(data) < at:
        return None
    bpm = int.from_bytes(data[1:at], "little")
    at += 2 if flags & 8 else 0
    intervals: list[int] = []
    if flags & 16:
        intervals = [int.from_bytes(data[i : i + 2], "little") for i in range(at, len(data) - 1, 2)]
    contact = bool(flags & 2) if flags & 4 else None
    return HeartRate(bpm, contact, tuple(round(raw * 1000 / 1024) for raw in intervals))
