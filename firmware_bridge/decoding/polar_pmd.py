"""Polar's measurement data service (PMD): control point messages and data frames, as pure functions.

Sources: polarofficial/polar-ble-sdk@8fb5311 ``technical_documentation/online_measurement.pdf`` and
``sources/Android/**/pmd``; captures of a real H10 in fstanis/polar-h10-web@8a4107a ``test/helpers/captured.ts`` and
phdiethelm/h10_ecg@88d1b0c ``exploration/gatttool.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding.polar_delta import MAX_BITS, decode_delta

SERVICE = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
CONTROL_POINT = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
HEART_RATE = "00002a37-0000-1000-8000-00805f9b34fb"
BATTERY = "00002a19-0000-1000-8000-00805f9b34fb"

ECG = 0
"""Measurement type of the electrocardiogram."""
TYPE_MASK = 0x3F
"""Mask of the measurement type; the two bits above distinguish recordings."""
GET_SETTINGS, START, STOP = 1, 2, 3
"""Commands of the control point."""
QUERY_ECG = bytes((GET_SETTINGS, ECG))
"""Requests the settings that the electrocardiogram offers."""
STOP_ECG = bytes((STOP, ECG))
RESPONSE, FEATURES, STOPPED = 0xF0, 0x0F, 0x01
"""First byte of a control point message: a response, the features (when read), or the end of a measurement."""

RATE, RESOLUTION, RANGE, RANGE_MILLI, CHANNELS, FACTOR, SECURITY = range(7)
"""Types of a setting."""
_SIZES = {RATE: 2, RESOLUTION: 2, RANGE: 2, RANGE_MILLI: 4, CHANNELS: 1, FACTOR: 4, SECURITY: 16}
DEFAULT_SETTINGS: Mapping[int, tuple[int, ...]] = {RATE: (130,), RESOLUTION: (14,)}
"""The settings that a real H10 offers."""

OK, ALREADY, INVALID_MTU = 0, 6, 10
_UPDATE = "update the firmware of the strap with the Polar app"
_NEED_MTU = "an MTU of 70 or more is needed: update BlueZ to 5.55 or newer, reconnect, or use another Bluetooth adapter"
STATUS: Mapping[int, tuple[str, str]] = {
    1: ("invalid command", _UPDATE),
    2: ("invalid measurement type", "this device measures no ECG: use a Polar H10"),
    3: ("not supported", "this device streams no ECG: use a Polar H10 with up-to-date firmware"),
    4: ("invalid length", _UPDATE),
    5: ("invalid parameter", _UPDATE),
    ALREADY: ("already in that state", "nothing to do"),
    7: ("invalid resolution", _UPDATE),
    8: ("invalid sampling rate", _UPDATE),
    9: ("invalid range", _UPDATE),
    INVALID_MTU: ("the MTU of the connection is too small", _NEED_MTU),
    11: ("invalid number of channels", _UPDATE),
    12: ("invalid state", "end recordings on the strap, disconnect other apps, then take it off and put it on again"),
    13: ("the device is in its charger", "take it out of the charger"),
    14: ("the disk of the device is full", "delete its recordings with the Polar app"),
    15: ("invalid derived setting", _UPDATE),
    16: ("invalid derived setting", _UPDATE),
    17: ("invalid derived setting", _UPDATE),
    18: ("invalid derived setting", _UPDATE),
}
"""Meaning of each error of the control point and what to do, by error code."""
FINAL = frozenset({2, 3, INVALID_MTU})
"""Errors that a retry on the same connection cannot fix."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the control point."""

    command: int
    kind: int
    status: int
    more: bool
    params: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """A data frame of a measurement.

    Attributes:
        kind: Measurement type.
        time_ns: Device clock at the last sample, nanoseconds since 2000-01-01.
        frame_type: Layout of the samples.
        compressed: Whether the content is a delta frame.
        content: The encoded samples.
    """

    kind: int
    time_ns: int
    frame_type: int
    compressed: bool
    content: bytes


def parse_response(data: bytes) -> Response | None:
    """Parse a response of the control point; return ``None`` for anything else and for a truncated one."""
    if len(data) < 4 or data[0] != RESPONSE:
        return None
    # An error response may end after the status; a real H10 at MTU 23 sends F0 00 01 0A.
    return Response(data[1], data[2] & TYPE_MASK, data[3], len(data) > 4 and data[4] != 0, data[5:])


def parse_settings(params: bytes) -> dict[int, tuple[int, ...]] | None:
    """Parse a list of settings: type, count, values.

    Returns:
        Values by type (a factor as the bits of its float); ``None`` if the list is truncated or has a type of
        unknown width.
    """
    out: dict[int, tuple[int, ...]] = {}
    at = 0
    # The start response of a real H10 has one extra byte that is not part of a list.
    while at < len(params) and len(params) > 1:
        size = _SIZES.get(params[at])
        count = params[at + 1] if at + 1 < len(params) else 0
        end = at + 2 + count * (size or 0)
        if size is None or at + 2 > len(params) or end > len(params):
            return None
        values = (int.from_bytes(params[i : i + size], "little") for i in range(at + 2, end, size))
        out[params[at]] = tuple(values)
        at = end
    return out


def factor_of(settings: Mapping[int, tuple[int, ...]]) -> float:
    """Return the factor by which values are multiplied; 1 if the device reports no sensible one."""
    bits = settings.get(FACTOR, ())
    factor = float(struct.unpack("<f", bits[0].to_bytes(4, "little"))[0]) if bits else 1.0
    return factor if 0.0 < abs(factor) < 1e6 else 1.0


def start_command(settings: Mapping[int, tuple[int, ...]], kind: int = ECG) -> bytes:
    """Encode the command that starts a measurement with the largest value of every setting, as Polar's SDK does."""
    out = bytearray((START, kind))
    for setting in sorted(settings):
        if setting not in {FACTOR, SECURITY} and settings[setting]:
            out += bytes((setting, 1)) + max(settings[setting]).to_bytes(_SIZES[setting], "little")
    return bytes(out)


def parse_frame(data: bytes) -> Frame | None:
    """Parse the head of a data frame; return ``None`` if it is truncated or its time is beyond the year 2292."""
    if len(data) < 10 or data[8] >= 0x80:
        return None
    time_ns = int.from_bytes(data[1:9], "little")
    return Frame(data[0] & TYPE_MASK, time_ns, data[9] & 0x7F, data[9] >= 0x80, data[10:])


def ecg_uv(frame: Frame, resolution_bits: int = 14, factor: float = 1.0) -> NDArray[np.int32] | None:
    """Decode the samples of an ECG frame.

    Args:
        frame: A frame of type ``ECG``. Layouts 0 to 3 are those of the SDK's ``EcgData.kt``; an H10 sends 0.
        resolution_bits: Resolution that the device reported; for compressed frames.
        factor: Factor that the device reported; for compressed frames.

    Returns:
        Microvolts, at least one sample; ``None`` if the frame has another layout or is truncated.
    """
    if frame.compressed:
        values = decode_delta(frame.content, 1, min(resolution_bits, MAX_BITS)) if frame.frame_type == 0 else None
        if values is None or factor == 1.0:
            return None if values is None else values[:, 0].copy()
        scaled: NDArray[np.int32] = np.clip(np.rint(values[:, 0] * factor), -(2.0**31), 2.0**31 - 1).astype(np.int32)
        return scaled
    size = 7 if frame.frame_type == 3 else 3
    if frame.frame_type > 3 or not frame.content or len(frame.content) % size:
        return None
    raw = np.frombuffer(frame.content, dtype=np.uint8).reshape(-1, size)
    wide = np.zeros((len(raw), 4), dtype=np.uint8)
    # Left-aligned in four bytes, so that shifting back extends the sign.
    wide[:, 1:] = raw[:, :3]
    signed: NDArray[np.int32] = wide.view("<i4")[:, 0] >> 8
    if frame.frame_type == 1:
        return signed & 0x3FFF
    if frame.frame_type == 2:
        return signed & 0x3FFFF
    return signed


def ecg_frame(time_ns: int, samples_uv: NDArray[np.int32]) -> bytes:
    """Encode a data frame as an H10 does: type 0, three bytes per sample. For virtual devices and tests."""
    body = np.ascontiguousarray(samples_uv, dtype="<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return bytes((ECG,)) + time_ns.to_bytes(8, "little") + b"\x00" + body
