"""ProtoCentral HealthyPi Move (watch): notifications of little-endian ``int32`` samples only. Sans-IO.

Sources: Protocentral/healthypi-move-fw@d1431f3:app/src/ble_module.c; its name: @04b7ec1:app/prj.conf.
"""

from __future__ import annotations

from collections import Counter

from firmware_bridge.decoding.options import LSB_MV_OPTION, scale
from firmware_bridge.decoding.protocentral import ECG_CHARACTERISTIC, ECG_SERVICE, SAMPLE_BYTES, notification
from firmware_bridge.decoding.stream import Blocks
from firmware_bridge.devices import BleProfile, Device, DeviceKind, Write
from firmware_bridge.items import DATA_CHANNEL, hole_bytes
from firmware_bridge.samples import LinkEvent, LinkItem, SampleBlock

FS_HZ = 128.0


class HealthyPiMoveDecoder:
    """One session with one watch. A notification is one block."""

    def __init__(self, lsb_mv: str | None = None) -> None:
        self._blocks = Blocks(FS_HZ, scale(lsb_mv))
        self._count: Counter[str] = Counter()
        self._missing = 0
        """Samples that a damaged recording lost before the next notification."""

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode one notification. Never raises."""
        if channel != DATA_CHANNEL:
            self._count["foreign_channel_bytes"] += len(data)
            return []
        item = notification(self._blocks, data, arrival_ns, self._missing)
        if isinstance(item, SampleBlock):
            self._count["frames"] += 1
            self._count["samples"] += len(item)
            if self._missing:
                self._count["lost_samples"] += self._missing
                self._missing = 0
        else:
            self._count["corrupt_bytes"] += len(data)
        return [item]

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport; nothing is held between notifications."""
        self._missing += (hole_bytes(event) or 0) // SAMPLE_BYTES
        return []

    def writes(self) -> list[Write]:
        """Return nothing: subscribing starts the stream."""
        return []

    def counters(self) -> dict[str, int]:
        """Return the counters since the decoder was created; counters that are zero are absent."""
        return dict(self._count)


DEVICE = Device(
    profile=DeviceKind(
        name="healthypi_move",
        title="ProtoCentral HealthyPi Move (Bluetooth)",
        transports=("ble",),
        fs_hz=(FS_HZ,),
        scale="unknown",
        band_hz=(0.5, 40.0),
        clock="none: samples are counted",
        loss_detection="none: notifications carry neither number nor time, and the firmware drops them when it is busy",
        ble=BleProfile(
            service=ECG_SERVICE,
            notify={DATA_CHANNEL: ECG_CHARACTERISTIC},
            name_prefixes=("healthypi move", "HealthyPi Move"),
            min_mtu=35,
        ),
        options={"lsb_mv": LSB_MV_OPTION},
        notes=(
            (
                "its scale comes from the driver's source only (7.45e-7 mV per count at gain 40) and is not confirmed: "
                "the unit is counts until the watch is calibrated (option lsb_mv)"
            ),
            (
                "it streams only while the watch takes an ECG: start the ECG on the watch, since its command "
                "service requires authenticated pairing"
            ),
        ),
    ),
    decoder=HealthyPiMoveDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
