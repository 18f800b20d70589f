"""ProtoCentral HealthyPi 5: on USB in either of its two layouts, or on Bluetooth. Sans-IO.

Sources: Protocentral/protocentral_healthypi5_zephyr@2c8eb00:app/src/data_module.c (type 3, 50 bytes: eight ECG i32,
four of bio-impedance i32, beats u8, breaths u8; type 4, 19 bytes: PPG), the same repository @009f60e (type 2, 22 bytes:
one ECG i32, one of bio-impedance ...), and @03636bd:app/src/ble_module.c for Bluetooth; USB ids:
@0277359:app/prj.conf.
"""

from __future__ import annotations

from firmware_bridge.decoding.cutter import Run
from firmware_bridge.decoding.options import LSB_MV_OPTION, scale
from firmware_bridge.decoding.protocentral import (
    ECG_CHARACTERISTIC,
    ECG_SERVICE,
    HEAD,
    SAMPLE_BYTES,
    Kind,
    ProtoCentralDecoder,
    column,
    notification,
)
from firmware_bridge.decoding.stream import Blocks
from firmware_bridge.devices import BleProfile, Device, DeviceKind
from firmware_bridge.items import hole_bytes
from firmware_bridge.samples import LinkEvent, LinkItem, SampleBlock

FS_HZ = 128.0
EIGHT: Kind = (3, 50)
SHORT = (34, 38, 42, 46)
"""Payload lengths of type 3 besides the 50 in its head: the eight ECG samples and fewer of bio-impedance."""
ONE: Kind = (2, 22)
PPG: Kind = (4, 19)
ECG_CHANNEL = "ecg"
"""Channel of the ECG characteristic, whose layout differs from that on USB."""


class HealthyPi5Decoder(ProtoCentralDecoder):
    """One session with one board."""

    def __init__(self, lsb_mv: str | None = None) -> None:
        super().__init__(Blocks(FS_HZ, scale(lsb_mv)), {EIGHT: SHORT, ONE: (), PPG: ()})
        self._notified = False
        self._missing = 0
        """Samples that a damaged recording lost before the next notification."""

    def _payloads(self, kind: Kind, run: Run, arrival_ns: int) -> list[LinkItem]:
        if kind == PPG:
            return []
        return self._unnumbered(column(run, HEAD, "<i4", 8 if kind == EIGHT else 1), run, arrival_ns)

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport."""
        missing = hole_bytes(event)
        if missing is None or not self._notified:
            return super().link(event)
        self._missing += missing // SAMPLE_BYTES
        return []

    def _other(self, data: bytes, arrival_ns: int, channel: str) -> list[LinkItem]:
        if channel != ECG_CHANNEL:
            return super()._other(data, arrival_ns, channel)
        self._notified = True
        item = notification(self._blocks, data, arrival_ns, self._missing)
        if isinstance(item, SampleBlock):
            self._count["frames"] += 1
            self._samples(len(item), self._missing)
            self._missing = 0
        else:
            self._count["corrupt_bytes"] += len(data)
        return [item]


DEVICE = Device(
    profile=DeviceKind(
        name="healthypi5",
        title="ProtoCentral HealthyPi 5 (USB or Bluetooth)",
        transports=("serial", "ble"),
        fs_hz=(FS_HZ,),
        scale="unknown",
        band_hz=None,
        clock="none: samples are counted",
        loss_detection=(
            "none in the protocol: on USB only damaged bytes are noticed, the samples in them are estimated; "
            "on Bluetooth the firmware drops notifications when it is busy, and the protocol does not show it"
        ),
        baud=115_200,
        usb=((0x4440, 0x0001),),
        ble=BleProfile(
            service=ECG_SERVICE,
            notify={ECG_CHANNEL: ECG_CHARACTERISTIC},
            name_prefixes=("healthypi 5", "HealthyPi 5", "healthypi5", "HealthyPi5"),
            min_mtu=35,
        ),
        options={"lsb_mv": LSB_MV_OPTION},
        notes=(
            (
                "its scale comes from the driver's source only (3.725e-7 mV per count: code * 256 at gain 80) and is "
                "not confirmed: the unit is counts until the board is calibrated (option lsb_mv)"
            ),
            "prefer USB: over Bluetooth a public firmware omits every ninth sample without any sign of it",
        ),
    ),
    decoder=HealthyPi5Decoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
