"""Frames on a byte stream: COBS, a zero byte as delimiter, CRC-16/XMODEM. Sans-IO; never raises on any input.

On the wire: ``COBS(body || crc16_be) 00``. A frame (body and CRC) has at most 253 bytes, so that its COBS form has
exactly one byte more, never holds a full 254-byte group, and the whole code word stays inside the 2048 bits for which
CRC-16 keeps its distance (Koopman's tables). A sender puts one extra ``00`` before its first frame: it closes any
text a boot loader left on the line. Empty frames (two delimiters in a row) mean nothing, but thousands of them are a
line that is stuck, and are reported.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from enum import StrEnum

from firmware_bridge.errors import LocalProtocolError

DELIMITER = 0x00
"""Ends every frame; COBS keeps it out of the frame itself, so a receiver resynchronises at the next one."""
CRC_BYTES = 2
"""CRC-16/XMODEM: polynomial 0x1021, start 0, no reflection, most significant byte first."""
ENCODED_MAX = 254
"""Bytes of a COBS-coded frame without its delimiter: one below the length that needs a second group."""
FRAME_MAX = ENCODED_MAX - 1
"""Bytes of a frame before COBS: body and CRC."""
BODY_MAX = FRAME_MAX - CRC_BYTES
"""Bytes of a body: header and payload."""
SKIP_REPORT_BYTES = 4096
"""Bytes without any delimiter (wrong baud rate, plain text), or delimiters alone, after which they are reported and
discarded."""


class FrameFault(StrEnum):
    """Reason why bytes between two delimiters are not a frame."""

    TOO_LONG = "too_long"
    COBS = "cobs"
    SHORT = "short"
    CRC = "crc"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class FrameError:
    """Bytes that were discarded.

    Attributes:
        fault: Reason.
        size: Number of bytes, without the delimiter.
        synced: Whether a valid frame came before. ``False`` is typical of boot text.
    """

    fault: FrameFault
    size: int
    synced: bool


def crc16(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC-16/XMODEM of some bytes (check value of ``b"123456789"`` is 0x31C3)."""
    return binascii.crc_hqx(data, 0)


def cobs_encode(frame: bytes) -> bytes:
    """Encode at most 253 bytes in COBS, without a delimiter; always one byte longer (Cheshire & Baker 1999)."""
    if len(frame) > FRAME_MAX:
        raise LocalProtocolError(f"a frame of {len(frame)} bytes is too long: at most {FRAME_MAX} are allowed")
    out = bytearray()
    for run in frame.split(b"\x00"):
        out.append(len(run) + 1)
        out += run
    return bytes(out)


def cobs_decode(coded: bytes | bytearray) -> bytes | None:
    """Decode a COBS form without zero bytes; return ``None`` if a code points past the end."""
    out = bytearray()
    at, end = 0, len(coded)
    while at < end:
        code = coded[at]
        if code == DELIMITER or at + code > end:
            return None
        out += coded[at + 1 : at + code]
        at += code
        if at < end:
            out.append(0)
    return bytes(out)


def encode_frame(body: bytes) -> bytes:
    """Return one frame ready to send, with its delimiter.

    Args:
        body: Header and payload, 1 to 251 bytes.

    Raises:
        LocalProtocolError: The body is empty or too long.
    """
    if not body:
        raise LocalProtocolError("an empty frame cannot be sent")
    return cobs_encode(body + crc16(body).to_bytes(CRC_BYTES, "big")) + b"\x00"


class FrameDecoder:
    """Splits a byte stream into frames. Any split of the stream gives the same results; memory is bounded.

    Attributes:
        frames: Number of valid frames so far.
        errors: Number of discarded pieces so far.
        error_bytes: Bytes in them.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.errors = 0
        self.error_bytes = 0
        self._held = bytearray()
        self._skipped = 0
        self._skipping = False
        self._synced = False
        self._empty = 0

    def feed(self, data: bytes) -> list[bytes | FrameError]:
        """Decode the next bytes; return the bodies of the frames they complete and an error for each broken one."""
        out: list[bytes | FrameError] = []
        at = 0
        while True:
            end = data.find(DELIMITER, at)
            self._take(data[at : end if end >= 0 else len(data)], out)
            if end < 0:
                return out
            self._close(out)
            at = end + 1

    def reset(self) -> list[bytes | FrameError]:
        """Discard an incomplete frame, as after a lost connection; it is counted and returned as an error."""
        out: list[bytes | FrameError] = []
        if self._skipping:
            self._close(out)
        elif self._held:
            out.append(self._fail(FrameFault.SHORT, len(self._held)))
            self._held.clear()
        self._synced = False
        self._empty = 0
        return out

    def _take(self, piece: bytes, out: list[bytes | FrameError]) -> None:
        if not self._skipping:
            self._held += piece
            if len(self._held) <= ENCODED_MAX:
                return
            self._skipping, self._skipped = True, len(self._held)
            self._held.clear()
        else:
            self._skipped += len(piece)
        # Fixed portions, so that the report does not depend on how the bytes were split.
        while self._skipped >= SKIP_REPORT_BYTES:
            out.append(self._fail(FrameFault.TOO_LONG, SKIP_REPORT_BYTES))
            self._skipped -= SKIP_REPORT_BYTES

    def _close(self, out: list[bytes | FrameError]) -> None:
        if not self._skipping and not self._held:
            self._empty += 1
            if self._empty == SKIP_REPORT_BYTES:
                self._empty = 0
                out.append(self._fail(FrameFault.EMPTY, SKIP_REPORT_BYTES))
            return
        self._empty = 0
        if self._skipping:
            if self._skipped:
                out.append(self._fail(FrameFault.TOO_LONG, self._skipped))
            self._skipping, self._skipped = False, 0
        else:
            out.append(self._check(bytes(self._held)))
            self._held.clear()

    def _check(self, coded: bytes) -> bytes | FrameError:
        frame = cobs_decode(coded)
        if frame is None:
            return self._fail(FrameFault.COBS, len(coded))
        if len(frame) <= CRC_BYTES:
            return self._fail(FrameFault.SHORT, len(coded))
        # The remainder over body and CRC together is zero exactly if they agree.
        if crc16(frame) != 0:
            return self._fail(FrameFault.CRC, len(coded))
        self.frames += 1
        self._synced = True
        return frame[:-CRC_BYTES]

    def _fail(self, fault: FrameFault, size: int) -> FrameError:
        self.errors += 1
        self.error_bytes += size
        return FrameError(fault, size, self._synced)
