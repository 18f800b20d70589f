"""A simulated Polar H10: answers its control point as a real one does, and makes its frames. Sans-IO.

Its messages are byte for byte those of captures (sources in ``firmware_bridge/decoding/polar_pmd.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding import polar_pmd as pmd
from firmware_bridge.devices import BleProfile
from firmware_bridge.devices.polar_h10 import BATTERY_CHANNEL, CONTROL_CHANNEL, DEVICE, HEART_RATE_CHANNEL
from firmware_bridge.items import DATA_CHANNEL

UNSET_CLOCK_NS = 599_616_000_000_000_000
"""Start of a strap's clock after a loss of power: 2019-01-01, nanoseconds since 2000."""
MAX_MTU = 232
"""Largest MTU that an H10 grants, bytes."""
MIN_MTU = 70
"""Smallest MTU at which it accepts commands, bytes."""
FEATURES = bytes((pmd.FEATURES, 0x05)) + bytes(15)
"""Features read from the control point: ECG and acceleration."""
_SETTINGS = {
    pmd.ECG: bytes.fromhex("000182000101 0E00"),
    2: bytes.fromhex("0004 1900 3200 6400 C800 0101 1000 0203 0200 0400 0800"),
}
_STARTED = {pmd.ECG: b"\x00", 2: b"\x01"}
_BAD_COMMAND, _BAD_TYPE, _BAD_PARAMETER = 1, 2, 5


class VirtualPolar:
    """One simulated strap.

    Args:
        mtu: ATT MTU of the connection, bytes.
        rate_hz: True sampling rate, set by its crystal, Hz.
        battery_percent: Battery level that it reports, percent.

    Attributes:
        mtu: ATT MTU, bytes; may be set for a new connection.
        streaming: Whether the ECG runs.
        name: Local name in its advertisements.
    """

    name = "Polar H10 8AA87D20"

    def __init__(self, mtu: int = MAX_MTU, rate_hz: float = 130.34, battery_percent: int = 87) -> None:
        self.mtu = mtu
        self.rate_hz = rate_hz
        self.battery_percent = battery_percent
        self.streaming = False
        self._clock_ns = UNSET_CLOCK_NS
        self._taken = 0
        self._pending: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    @property
    def gatt(self) -> BleProfile:
        """Return its service and characteristics."""
        assert DEVICE.profile.ble is not None
        return DEVICE.profile.ble

    @property
    def frame_samples(self) -> int:
        """Return the samples per frame at this MTU: 73 at 232, 19 at 70."""
        return max(0, (min(self.mtu, MAX_MTU) - 3 - 10) // 3)

    def read(self, channel: str) -> bytes:
        """Return the value of a characteristic."""
        return {CONTROL_CHANNEL: FEATURES, BATTERY_CHANNEL: bytes((self.battery_percent,))}.get(channel, b"")

    def write(self, channel: str, data: bytes) -> list[tuple[str, bytes]]:
        """Handle a command.

        Returns:
            Its indications or notifications in answer: channel and bytes.
        """
        if channel != CONTROL_CHANNEL or len(data) == 0:
            return []
        return [(CONTROL_CHANNEL, self._answer(data))]

    def notifications(self, samples_uv: NDArray[np.int32]) -> Iterator[tuple[str, bytes]]:
        """Take the next samples of the heart, in microvolts, and yield the full frames.

        The clock runs in any case; samples taken while the stream is off are not sent.
        """
        values = np.asarray(samples_uv, dtype=np.int32)
        if not self.streaming:
            self._taken += len(self._pending) + len(values)
            self._pending = self._pending[:0]
            return
        self._pending = np.concatenate((self._pending, values))
        while self.streaming and len(self._pending) >= self.frame_samples:
            size = self.frame_samples
            frame, self._pending = self._pending[:size], self._pending[size:]
            self._taken += size
            yield DATA_CHANNEL, pmd.ecg_frame(self.clock_ns, frame)

    @property
    def clock_ns(self) -> int:
        """Return its clock at the last sample taken, ns."""
        return self._clock_ns + round((self._taken - 1) * 1e9 / self.rate_hz)

    def heart_rate(self, bpm: int, rr_ms: tuple[int, ...] = ()) -> tuple[str, bytes]:
        """Return a notification of the heart rate service; like a real strap, it does not report contact."""
        intervals = b"".join(round(rr * 1024 / 1000).to_bytes(2, "little") for rr in rr_ms)
        return HEART_RATE_CHANNEL, bytes((0x10, bpm)) + intervals

    def end_stream(self) -> tuple[str, bytes]:
        """End the ECG from the strap's side; return its message."""
        self._stop()
        return CONTROL_CHANNEL, bytes((pmd.STOPPED, pmd.ECG))

    def disconnect(self) -> None:
        """End the connection; the clock keeps running."""
        self._stop()

    def power_cycle(self) -> None:
        """Cut its power: the clock restarts."""
        self._stop()
        self._taken = 0

    def _stop(self) -> None:
        self.streaming = False
        self._taken += len(self._pending)
        self._pending = self._pending[:0]

    def _answer(self, data: bytes) -> bytes:
        command, kind = data[0], data[1] & pmd.TYPE_MASK if len(data) > 1 else 0
        if self.mtu < MIN_MTU:
            return bytes((pmd.RESPONSE, kind, command, pmd.INVALID_MTU))
        if command not in {pmd.GET_SETTINGS, pmd.START, pmd.STOP}:
            return bytes((pmd.RESPONSE, command, kind, _BAD_COMMAND))
        if kind not in _SETTINGS:
            return bytes((pmd.RESPONSE, command, kind, _BAD_TYPE))
        head = bytes((pmd.RESPONSE, command, kind))
        if command == pmd.GET_SETTINGS:
            return head + b"\x00\x00" + _SETTINGS[kind]
        if command == pmd.STOP:
            if kind == pmd.ECG:
                self._stop()
            return head + b"\x00\x00"
        return head + self._start(kind, data[2:])

    def _start(self, kind: int, params: bytes) -> bytes:
        chosen = pmd.parse_settings(params) or {}
        offered = pmd.parse_settings(_SETTINGS[kind]) or {}
        if set(chosen) != set(offered) or any(len(v) != 1 or v[0] not in offered[k] for k, v in chosen.items()):
            return bytes((_BAD_PARAMETER, 0))
        if kind == pmd.ECG:
            if self.streaming:
                return bytes((pmd.ALREADY, 0))
            self.streaming = True
        return b"\x00\x00" + _STARTED[kind]
