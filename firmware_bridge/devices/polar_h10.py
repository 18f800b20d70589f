"""Polar H10 chest strap: the electrocardiogram of its measurement data service (PMD). Sans-IO."""

from __future__ import annotations

from firmware_bridge.devices import BleProfile, Device, DeviceProfile, Write
from firmware_bridge.devices import _polar_pmd as pmd
from firmware_bridge.samples import LinkEvent, LinkItem
from firmware_bridge.transports import DATA_CHANNEL

CONTROL_CHANNEL = "control"
HEART_RATE_CHANNEL = "heart_rate"
BATTERY_CHANNEL = "battery"


class PolarDecoder:
    """One session with one strap."""

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Takes one notification."""
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
        name="polar_h10",
        title="Polar H10 chest strap",
        transports=("ble",),
        fs_hz=(130.0,),
        scale="fixed",
        band_hz=(0.7, 40.0),
        clock="nanoseconds at the last sample of every frame; restarts when the strap has been off",
        loss_detection="device time against the number of samples: exact for lost notifications",
        start=(Write(pmd.QUERY_ECG, CONTROL_CHANNEL),),
        stop=(Write(pmd.STOP_ECG, CONTROL_CHANNEL),),
        ble=BleProfile(
            service=pmd.SERVICE,
            notify={
                CONTROL_CHANNEL: pmd.CONTROL_POINT,
                DATA_CHANNEL: pmd.DATA,
                HEART_RATE_CHANNEL: pmd.HEART_RATE,
                BATTERY_CHANNEL: pmd.BATTERY,
            },
            write={CONTROL_CHANNEL: pmd.CONTROL_POINT},
            name_prefixes=("Polar H10",),
            min_mtu=70,
        ),
        notes=(
            "its front end passes 0.7 to 40 Hz: ST segments and T waves differ from those of a diagnostic recorder",
            "it is found only while worn with wet electrodes and not connected to a phone or watch",
            "Polar's SDK licence, section 3.2: not intended to be used for medical purposes",
        ),
    ),
    decoder=PolarDecoder,
)
"""Registration; see ``firmware_bridge.devices``."""
