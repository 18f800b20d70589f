"""Movesense's GATT sensor data protocol: commands, answers and ECG payloads, as pure functions.

Sources: movesense.com/docs/esw/gatt_sensordata_protocol (GD-77); sensein/movesense-py@800da2a ``src/movesense``; the
sample firmware ``gatt_sensordata_app`` of movesense-device-lib. Older versions of that firmware answer HELLO with a
word and send the two bytes of a status swapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SERVICE = "34802252-7185-4d5d-b431-630e7050e8f0"
WRITE_CHARACTERISTIC = "34800001-7185-4d5d-b431-630e7050e8f0"
NOTIFY_CHARACTERISTIC = "34800002-7185-4d5d-b431-630e7050e8f0"
ADVERTISED = "0000fdf3-0000-1000-8000-00805f9b34fb"

HELLO, SUBSCRIBE, UNSUBSCRIBE = 0, 1, 2
"""Commands."""
RESULT, DATA, DATA_PART_2, DATA_PART_3 = 1, 2, 3, 4
"""First byte of a notification."""

RATES_HZ = (125, 128, 200, 250, 256, 500, 512)
"""Sampling rates that ``/Meas/ECG/{rate}`` accepts, Hz."""
SAMPLES = 16
"""Samples per notification, at every rate."""
RAW_BYTES, MV_BYTES = 4 + 4 * SAMPLES, 4 + 2 * SAMPLES
"""Sizes of an ECG payload: time, then 32-bit counts (or floats), or 16-bit microvolts."""
RAW_LSB_MV = 0.000381469726563
MV_LSB_MV = 0.001
_RAW_LIMIT = 1 << 24
"""Counts are 18 bits wide; a larger integer is in fact a float of millivolts."""

STATUS: Mapping[int, tuple[str, str]] = {
    400: ("bad request", "this firmware does not accept that path: update it with the Movesense app"),
    403: ("forbidden", "pair the sensor, or reset it with the Movesense app"),
    404: ("not found", "this firmware has no such ECG resource: update it with the Movesense app, or use another rate"),
    409: ("conflict", "its ECG runs at another rate for the logger or another client: stop that, or request its rate"),
    413: ("too large", "update the firmware with the Movesense app"),
    415: ("not supported", "update the firmware with the Movesense app"),
    423: ("locked", "stop the logger of the sensor with the Movesense app"),
    500: ("error in the sensor", "take the battery out and put it back"),
    501: ("not implemented", "this firmware has no ECG: install one with GATT sensor data"),
    503: ("not available now", "wait until the sensor has started, or take it off and put it on again"),
    507: ("no free subscription", "disconnect other clients, or take the battery out and put it back"),
}
"""Meaning of each status above 399, and what to do."""


@dataclass(frozen=True, slots=True)
class Result:
    """An answer to a command. ``status`` is ``None`` for HELLO."""

    ref: int
    status: int | None
    payload: bytes


@dataclass(frozen=True, slots=True, eq=False)
class EcgPayload:
    """The ECG payload of one notification.

    Attributes:
        time_ms: Device clock at the first sample, milliseconds since boot, 32 bits.
        samples: Counts or millivolts, shape ``(16,)``.
        lsb_mv: Millivolts per count; ``None`` if the samples are millivolts.
    """

    time_ms: int
    samples: NDArray[np.int32] | NDArray[np.float32]
    lsb_mv: float | None


def subscribe(ref: int, path: str) -> bytes:
    """Encode the command that subscribes to a resource."""
    return bytes((SUBSCRIBE, ref)) + path.encode("ascii")


def ecg_path(rate_hz: int, *, millivolts: bool) -> str:
    """Return the path of the ECG resource."""
    return f"/Meas/ECG/{rate_hz}/mV" if millivolts else f"/Meas/ECG/{rate_hz}"


def parse_status(data: bytes) -> int | None:
    """Parse a status of one or two bytes; return ``None`` if there is none."""
    if not data:
        return None
    status = int.from_bytes(data[:2], "little")
    swapped = int.from_bytes(data[:2], "big")
    return swapped if not 100 <= status < 600 and 100 <= swapped < 600 else status


def parse_hello(payload: bytes) -> dict[str, object]:
    """Parse the sensor's self-description: protocol version, then NUL-terminated texts, the serial number first."""
    version = payload[0] if payload and payload[0] < 0x20 else None
    body = payload if version is None else payload[1:]
    texts = [part.decode("utf-8", "replace") for part in body.split(b"\0")[:16] if part]
    keys = ("device_id", "product", "dfu_address", "app", "firmware")
    return {"protocol": version} | dict(zip(keys, texts, strict=False))


def parse_ecg(payload: bytes) -> EcgPayload | None:
    """Parse an ECG payload, recognised by its size; return ``None`` for anything else."""
    if len(payload) not in {RAW_BYTES, MV_BYTES}:
        return None
    time_ms = int.from_bytes(payload[:4], "little")
    if len(payload) == MV_BYTES:
        return EcgPayload(time_ms, np.frombuffer(payload, "<i2", offset=4).astype(np.int32), MV_LSB_MV)
    counts = np.frombuffer(payload, "<i4", offset=4)
    if int(counts.max()) < _RAW_LIMIT and int(counts.min()) > -_RAW_LIMIT:
        return EcgPayload(time_ms, counts.astype(np.int32), RAW_LSB_MV)
    # Some firmware sends /mV as floats, as its documentation says.
    return EcgPayload(time_ms, np.frombuffer(payload, "<f4", offset=4).astype(np.float32), None)


def ecg_payload(time_ms: int, samples: NDArray[np.int32], *, millivolts: bool) -> bytes:
    """Encode an ECG payload as the sensor does. For virtual devices and tests."""
    return (time_ms % (1 << 32)).to_bytes(4, "little") + samples.astype("<i2" if millivolts else "<i4").tobytes()
