"""A simulated Movesense sensor: answers commands and makes ECG notifications. Sans-IO."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding import movesense_gsp as gsp
from firmware_bridge.devices import BleProfile
from firmware_bridge.devices.movesense import DEVICE
from firmware_bridge.items import DATA_CHANNEL

_PATH = re.compile(r"/?Meas/ECG/(\d+)(/mV)?", re.IGNORECASE)
_OK, _NOT_FOUND, _CONFLICT = 200, 404, 409
_HEADER = 3
"""Bytes of a notification besides its value."""


class VirtualMovesense:
    """One simulated sensor.

    Args:
        mtu: ATT MTU of the connection, bytes; longer payloads are sent in parts.
        rate_error: Relative error of its crystal; positive if it is fast.
        has_millivolts: Whether its firmware supports ``/mV`` (2.3 or newer).
        busy_hz: Rate at which its logger already measures, Hz; other rates are then refused.

    Attributes:
        mtu: ATT MTU, bytes; may be set for a new connection.
        rate_hz: Rate of the running subscription, Hz; ``None`` without one.
        name: Local name in its advertisements.
    """

    name = "Movesense 214530000123"

    def __init__(
        self, mtu: int = 161, rate_error: float = 0.0, *, has_millivolts: bool = True, busy_hz: int | None = None
    ) -> None:
        self.mtu = mtu
        self.rate_hz: int | None = None
        self._true = 1.0 + rate_error
        self._has_millivolts = has_millivolts
        self._busy_hz = busy_hz
        self._ref = 0
        self._millivolts = False
        self._since_boot_s = 5.0
        self._pending: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    @property
    def gatt(self) -> BleProfile:
        """Return its service and characteristics."""
        assert DEVICE.profile.ble is not None
        return DEVICE.profile.ble

    @property
    def lsb_mv(self) -> float:
        """Return the millivolts per count of the running subscription."""
        return gsp.MV_LSB_MV if self._millivolts else gsp.RAW_LSB_MV

    @property
    def clock_ms(self) -> int:
        """Return its clock at the next sample, ms."""
        return int(self._since_boot_s * 1000)

    def write(self, channel: str, data: bytes) -> list[tuple[str, bytes]]:
        """Handle a command.

        Returns:
            Its notifications in answer: channel and bytes.
        """
        if channel != DATA_CHANNEL or len(data) < 2:
            return []
        command, ref = data[0], data[1]
        head = bytes((gsp.RESULT, ref))
        if command == gsp.HELLO:
            texts = (self.name.split()[1], "Movesense MD", "0C8CDC000001", "GattSensorDataApp", "2.3.1")
            return [(DATA_CHANNEL, head + b"\x01" + b"".join(text.encode() + b"\0" for text in texts))]
        if command == gsp.SUBSCRIBE:
            return [(DATA_CHANNEL, head + self._subscribe(ref, data[2:]).to_bytes(2, "little"))]
        if command == gsp.UNSUBSCRIBE and ref == self._ref:
            self.disconnect()
        return [(DATA_CHANNEL, head + _OK.to_bytes(2, "little"))]

    def notifications(self, samples: NDArray[np.int32]) -> Iterator[tuple[str, bytes]]:
        """Take the next samples of the heart, in counts of the running subscription, and yield full notifications.

        Without a subscription the samples are lost; their time passes at 250 Hz.
        """
        values = np.asarray(samples, dtype=np.int32)
        if self.rate_hz is None:
            self._since_boot_s += len(values) / 250.0
            return
        self._pending = np.concatenate((self._pending, values))
        while self.rate_hz is not None and len(self._pending) >= gsp.SAMPLES:
            frame, self._pending = self._pending[: gsp.SAMPLES], self._pending[gsp.SAMPLES :]
            payload = gsp.ecg_payload(self.clock_ms, frame, millivolts=self._millivolts)
            self._since_boot_s += gsp.SAMPLES / (self.rate_hz * self._true)
            yield from self._parts(payload)

    def disconnect(self) -> None:
        """End the connection and every subscription; the clock keeps running."""
        if self.rate_hz is not None:
            self._since_boot_s += len(self._pending) / (self.rate_hz * self._true)
        self._pending = self._pending[:0]
        self.rate_hz = None

    def reboot(self) -> None:
        """Reboot the sensor: its clock restarts."""
        self.disconnect()
        self._since_boot_s = 1.0

    def _subscribe(self, ref: int, path: bytes) -> int:
        match = _PATH.fullmatch(path.decode("ascii", "replace"))
        rate_hz = int(match[1]) if match else 0
        if match is None or rate_hz not in gsp.RATES_HZ or (match[2] and not self._has_millivolts):
            return _NOT_FOUND
        if self._busy_hz not in {None, rate_hz} or self.rate_hz not in {None, rate_hz}:
            return _CONFLICT
        self._ref, self.rate_hz, self._millivolts = ref, rate_hz, match[2] is not None
        return _OK

    def _parts(self, payload: bytes) -> Iterator[tuple[str, bytes]]:
        size = self.mtu - _HEADER - 2
        for kind, at in enumerate(range(0, len(payload), size), start=gsp.DATA):
            yield DATA_CHANNEL, bytes((min(kind, gsp.DATA_PART_3), self._ref)) + payload[at : at + size]
