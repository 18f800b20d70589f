"""Zephyr's framing and the packets of a BioHarness: ``02 id length payload crc 03|06|15``.

Source: jpaalasm/zephyr-bt@c7cae8a ``src/zephyr`` (BSD), checked against its two-minute capture. The lifesign (id 23)
and the battery level in the summary come from a second public driver of the device, and occur in that capture too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

STX = b"\x02"
ETX, ACK, NAK = 0x03, 0x06, 0x15
PAYLOAD_MAX = 128
OVERHEAD = 5
"""Bytes of a frame besides its payload."""
REPORT_EVERY = 256
"""Discarded bytes that are reported at once; fewer are reported with the next valid frame."""

SUMMARY, ECG, LIFESIGN, GENERAL = 0x2B, 0x22, 0x23, 0x20
"""Packets that the device sends unprompted."""
SET_ECG, SET_SUMMARY = 0x16, 0xBD
"""Commands: switch the ECG waveform on or off; set the seconds between two summaries."""

ECG_SAMPLES = 63
ECG_BYTES = 88
DAY_MS = 86_400_000
_EPOCH = date(2000, 1, 1)
_YEARS = range(1990, 2200)
"""Plausible years; a date outside them is damage."""
_BITS = 10
_OFFSET = 512
_WEIGHTS: NDArray[np.int32] = np.left_shift(1, np.arange(_BITS)).astype(np.int32)


def _table() -> bytes:
    """CRC-8 of every byte: reflected polynomial 8C, initial value 0."""
    out = bytearray()
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1  # noqa: PLW2901 - the loop is the algorithm
        out.append(crc)
    return bytes(out)


_CRC = _table()


def crc8(payload: bytes) -> int:
    """Return the checksum of a payload; it does not cover the rest of the frame."""
    crc, table = 0, _CRC
    for byte in payload:
        crc = table[crc ^ byte]
    return crc


def encode(kind: int, payload: bytes = b"", end: int = ETX) -> bytes:
    """Encode a whole frame."""
    return STX + bytes((kind, len(payload))) + payload + bytes((crc8(payload), end))


ENABLE_ECG = encode(SET_ECG, b"\x01")
DISABLE_ECG = encode(SET_ECG, b"\x00")
SUMMARY_EACH_SECOND = encode(SET_SUMMARY, b"\x01\x00")
SIGN_OF_LIFE = encode(LIFESIGN)


@dataclass(frozen=True, slots=True)
class Frame:
    """A valid frame."""

    kind: int
    payload: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Junk:
    """Bytes that are not a frame.

    Attributes:
        size: Number of bytes.
        synced: Whether a valid frame came before on this connection.
    """

    size: int
    synced: bool


class FrameFinder:
    """Finds frames in a stream that may be split and damaged anywhere. Holds at most one frame's bytes."""

    def __init__(self) -> None:
        self._held = b""
        self._junk = 0
        self._synced = False

    def feed(self, data: bytes) -> list[Frame | Junk]:
        """Process bytes; return frames, and before each the bytes that were discarded."""
        return self._find(self._held + data, ended=False)

    def reset(self) -> list[Frame | Junk]:
        """End the stream: search an incomplete frame for valid frames, then discard it."""
        out = self._find(self._held, ended=True)
        out += self._report()
        self._held, self._synced = b"", False
        return out

    def _find(self, data: bytes, *, ended: bool) -> list[Frame | Junk]:
        out: list[Frame | Junk] = []
        at = 0
        while at < len(data):
            start = data.find(STX, at)
            if start != at:
                start = len(data) if start < 0 else start
                self._discard(start - at, out)
                at = start
                continue
            size = OVERHEAD + data[at + 2] if at + 2 < len(data) else OVERHEAD
            if size > OVERHEAD + PAYLOAD_MAX or (at + size > len(data) and ended):
                self._discard(1, out)
                at += 1
            elif at + size > len(data):
                break
            elif data[at + size - 1] in {ETX, ACK, NAK} and crc8(data[at + 3 : at + size - 2]) == data[at + size - 2]:
                out += self._report()
                self._synced = True
                out.append(Frame(data[at + 1], data[at + 3 : at + size - 2], data[at + size - 1]))
                at += size
            else:
                # Discard only the first byte: a valid frame may begin inside what looked like one.
                self._discard(1, out)
                at += 1
        self._held = data[at:]
        return out

    def _discard(self, size: int, out: list[Frame | Junk]) -> None:
        self._junk += size
        while self._junk >= REPORT_EVERY:
            self._junk -= REPORT_EVERY
            out.append(Junk(REPORT_EVERY, self._synced))

    def _report(self) -> list[Frame | Junk]:
        size, self._junk = self._junk, 0
        return [Junk(size, self._synced)] if size else []


@dataclass(frozen=True, slots=True, eq=False)
class EcgPacket:
    """An ECG waveform packet.

    Attributes:
        seq: Number of the packet, 0 to 255.
        time_ms: Device clock at the first sample, milliseconds since 2000-01-01.
        samples: Counts around zero, shape ``(63,)``.
    """

    seq: int
    time_ms: int
    samples: NDArray[np.int32]


def parse_ecg(payload: bytes) -> EcgPacket | None:
    """Parse an ECG waveform packet; return ``None`` if the payload is not one."""
    if len(payload) != ECG_BYTES:
        return None
    time_ms = parse_time_ms(payload[1:9])
    if time_ms is None:
        return None
    flat = np.unpackbits(np.frombuffer(payload, np.uint8, offset=9), bitorder="little")[: ECG_SAMPLES * _BITS]
    samples: NDArray[np.int32] = (flat.reshape(ECG_SAMPLES, _BITS) * _WEIGHTS).sum(axis=1, dtype=np.int32) - _OFFSET
    return EcgPacket(payload[0], time_ms, samples)


def ecg_payload(seq: int, day: date, ms_of_day: int, samples: NDArray[np.int32]) -> bytes:
    """Encode the payload of an ECG waveform packet. For virtual devices and tests."""
    head = bytes((seq % 256,)) + day.year.to_bytes(2, "little") + bytes((day.month, day.day))
    values = (samples + _OFFSET).astype(np.int64)
    bits = (values[:, None] >> np.arange(_BITS)) & 1
    packed = np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little")
    return head + ms_of_day.to_bytes(4, "little") + packed.tobytes()


def parse_time_ms(data: bytes) -> int | None:
    """Parse year, month, day and milliseconds of the day; return ``None`` if the last are impossible.

    An invalid date (a clock that was never set) counts as 2000-01-01.
    """
    ms_of_day = int.from_bytes(data[4:8], "little")
    if ms_of_day >= DAY_MS:
        return None
    try:
        day = date(int.from_bytes(data[:2], "little"), data[2], data[3])
    except ValueError:
        return ms_of_day
    return (day - _EPOCH).days * DAY_MS + ms_of_day if day.year in _YEARS else ms_of_day


def parse_summary(payload: bytes) -> dict[str, object] | None:
    """Parse heart rate, respiration and battery of a summary; return ``None`` if it is too short.

    Values that the device marks as invalid are ``None``.
    """
    if len(payload) < 25:
        return None
    rate, breaths = int.from_bytes(payload[10:12], "little"), int.from_bytes(payload[12:14], "little")
    battery_mv = int.from_bytes(payload[22:24], "little")
    return {
        "heart_rate_bpm": rate if 0 < rate < 0xFFFF else None,
        "respiration_bpm": breaths / 10 if breaths < 0xFFFF else None,
        "battery_mv": battery_mv if battery_mv < 0xFFFF else None,
        "battery_percent": payload[24] if payload[24] <= 100 else None,
    }
