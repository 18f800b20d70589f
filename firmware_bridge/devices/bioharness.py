"""Zephyr BioHarness 3 over its serial Bluetooth link. Sans-IO."""

from __future__ import annotations

from firmware_bridge.devices import Device, DeviceProfile, Write
from firmware_bridge.samples import LinkEvent, LinkItem
from firmware_bridge.transports import DATA_CHANNEL


class BioHarnessDecoder:
    """One session with one strap."""

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Takes bytes as they came."""
        del data, arrival_ns, channel
        return []

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Takes an event of the transport."""
        del event
        return []

    def writes(self) -> list[Write]:
        """What is to be sent now; handed out once."""
        return []

    def counters(self) -> dict[str, int]:
        """Counts since the decoder was made."""
        return {}


DEVICE = Device(
    profile=DeviceProfile(
        name="bioharness",
        title="Zephyr BioHarness 3 (Bluetooth serial port)",
        transports=("serial", "tcp"),
        fs_hz=(250.0,),
        scale="unknown",
        band_hz=None,
        clock="date and milliseconds of the day at the first sample of every packet",
        loss_detection="sequence number and device time on every packet: exact",
        baud=115_200,
        notes=("its scale is not confirmed: calibrate before millivolts are claimed",),
    ),
    decoder=BioHarnessDecoder,
)
"""Registration; see ``firmware_bridge.devices``."""
