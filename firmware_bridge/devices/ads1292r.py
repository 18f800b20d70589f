"""ProtoCentral ADS1292R board behind an Arduino with the OpenView sketch: one filtered sample per frame. Sans-IO.

Sources: Protocentral/protocentral-ads1292r-arduino@9a75cf6:examples/02.OpenView/02.OpenView.ino (type 2, 8 bytes: ECG,
respiration, beats, breaths, each i16; all zero where an electrode is off), and the older sketch @a0c0d20:examples/
Example-1-ECG-Respiration-Plot-Openview (type 2, 20 bytes, beginning with ECG i16 and respiration i16).
"""

from __future__ import annotations

from firmware_bridge.decoding.cutter import Run
from firmware_bridge.decoding.options import LSB_MV_OPTION, scale
from firmware_bridge.decoding.protocentral import HEAD, Kind, ProtoCentralDecoder, column
from firmware_bridge.decoding.stream import Blocks
from firmware_bridge.devices import Device, DeviceKind
from firmware_bridge.samples import LinkItem

FS_HZ = 125.0
DATA: Kind = (2, 8)
OLD_DATA: Kind = (2, 20)


class Ads1292rDecoder(ProtoCentralDecoder):
    """One session with one board."""

    def __init__(self, lsb_mv: str | None = None) -> None:
        super().__init__(Blocks(FS_HZ, scale(lsb_mv)), {DATA: (), OLD_DATA: ()})

    def _payloads(self, kind: Kind, run: Run, arrival_ns: int) -> list[LinkItem]:
        samples = column(run, HEAD, "<i2")
        if kind == OLD_DATA or bytes(DATA[1]) not in run.data:
            return self._unnumbered(samples, run, arrival_ns)
        off = (column(run, HEAD, "<i4", 2).reshape(-1, 2) == 0).all(axis=1)
        return self._unnumbered(samples, run, arrival_ns, off)


DEVICE = Device(
    profile=DeviceKind(
        name="ads1292r",
        title="ProtoCentral ADS1292R with the OpenView sketch",
        transports=("serial",),
        fs_hz=(FS_HZ,),
        scale="unknown",
        band_hz=None,
        clock="none: samples are counted",
        loss_detection="none in the protocol: only damaged bytes are noticed; the samples in them are estimated",
        baud=57_600,
        options={"lsb_mv": LSB_MV_OPTION},
        notes=(
            (
                "the sketch filters and rounds to 16 bits before it sends: its scale is not documented; the unit is "
                "counts until the board is calibrated (option lsb_mv)"
            ),
            "the older sketch (20-byte payload) does not report when an electrode is off",
        ),
    ),
    decoder=Ads1292rDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
