"""ProtoCentral HealthyPi v4 on USB: one filtered 16-bit sample per frame, 125 per second. Sans-IO.

Layout: Protocentral/protocentral_healthypi_v4@030856e:firmware (type 2, 20 bytes): ECG i16, respiration i16, IR i32,
red i32, temperature u16, breaths u8, SpO2 u8, beats u8, 80, 120, status of the electrodes u8.
"""

from __future__ import annotations

import numpy as np

from firmware_bridge.decoding.cutter import Run
from firmware_bridge.decoding.options import LSB_MV_OPTION, scale
from firmware_bridge.decoding.protocentral import HEAD, Kind, ProtoCentralDecoder, column
from firmware_bridge.decoding.stream import Blocks
from firmware_bridge.devices import Device, DeviceKind
from firmware_bridge.samples import LinkItem

FS_HZ = 125.0
DATA: Kind = (2, 20)
STATUS_AT = HEAD + 19
LEAD_OFF = 0b11101
"""Bits of the status byte: bit 0 is the ECG's lead-off flag; bits 2 to 4 are its electrodes in an older firmware that
passes on the chip's own status (``status_reg & 0x1f``); bit 1 is the finger clip's."""
CONTACT = bytes(status for status in range(256) if not status & LEAD_OFF)
"""Status bytes with all ECG electrodes on."""


class HealthyPi4Decoder(ProtoCentralDecoder):
    """One session with one board."""

    def __init__(self, lsb_mv: str | None = None) -> None:
        super().__init__(Blocks(FS_HZ, scale(lsb_mv)), {DATA: ()})

    def _payloads(self, kind: Kind, run: Run, arrival_ns: int) -> list[LinkItem]:
        del kind
        status = run.data[STATUS_AT :: run.size]
        # Contact is the usual case: one check of all bytes is cheaper than an array of them.
        off = (np.frombuffer(status, np.uint8) & LEAD_OFF) != 0 if status.translate(None, CONTACT) else None
        return self._unnumbered(column(run, HEAD, "<i2"), run, arrival_ns, off)


DEVICE = Device(
    profile=DeviceKind(
        name="healthypi_v4",
        title="ProtoCentral HealthyPi v4 (USB)",
        transports=("serial",),
        fs_hz=(FS_HZ,),
        scale="unknown",
        band_hz=None,
        clock="none: samples are counted",
        loss_detection="none in the protocol: only damaged bytes are noticed; the samples in them are estimated",
        baud=115_200,
        options={"lsb_mv": LSB_MV_OPTION},
        notes=(
            "its scale is not documented: the unit is counts until the board is calibrated (option lsb_mv)",
            "the board filters (about 40 Hz low-pass) before it sends; its pass band is not documented",
            "set the switch to the USB (v3) mode: in Bluetooth and web mode the board does not stream on USB",
        ),
    ),
    decoder=HealthyPi4Decoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
