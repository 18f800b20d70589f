"""ProtoCentral MAX30003 board behind an Arduino with the OpenView sketch: one sample a frame, about 125. Sans-IO.

Source: Protocentral/protocentral_max30003@343ad18:examples/Example1-ECG-stream-Openview (type 2, 17 bytes: five unused,
ECG i32, R-R u16, 0, beats u16, 0); the sketch reads the chip after every ``delay(8)``, so its rate is its own.
"""

from __future__ import annotations

from firmware_bridge.decoding.cutter import Run
from firmware_bridge.decoding.options import LSB_MV_OPTION, sampling_rate, scale
from firmware_bridge.decoding.protocentral import HEAD, Kind, ProtoCentralDecoder, column
from firmware_bridge.decoding.stream import Blocks, RateCheck
from firmware_bridge.devices import Device, DeviceProfile
from firmware_bridge.samples import LinkItem

FS_HZ = "125"
DATA: Kind = (2, 17)
ECG_AT = HEAD + 5


class Max30003Decoder(ProtoCentralDecoder):
    """One session with one board.

    Args:
        rate: Samples a second as the board really sends them.
        lsb_mv: Millivolts a count, as text.
    """

    def __init__(self, rate: str = FS_HZ, lsb_mv: str | None = None) -> None:
        super().__init__(Blocks(sampling_rate(rate), scale(lsb_mv)), {DATA: ()})
        self._check = RateCheck(self._blocks.fs_hz)

    def _forget(self) -> None:
        self._check.fresh()

    def _payloads(self, kind: Kind, run: Run, arrival_ns: int) -> list[LinkItem]:
        del kind
        samples = column(run, ECG_AT, "<i4")
        return [*self._unnumbered(samples, run, arrival_ns), *self._check.push(len(samples), arrival_ns)]


DEVICE = Device(
    profile=DeviceProfile(
        name="max30003",
        title="ProtoCentral MAX30003 with the OpenView sketch",
        transports=("serial",),
        fs_hz=(float(FS_HZ),),
        scale="unknown",
        band_hz=(0.5, 40.0),
        clock="none: samples are counted",
        loss_detection="none in the protocol: only damage to the bytes is seen, and how much it hit is a guess",
        baud=57_600,
        options={
            "rate": "frames a second that really come (default 125); count them, the sketch does not keep a clock",
            "lsb_mv": LSB_MV_OPTION,
        },
        notes=(
            (
                "the sketch polls the chip (128 samples a second) between delays: samples are doubled or left out, and "
                "nothing tells"
            ),
            "its scale is not confirmed: counts, until it is calibrated (option lsb_mv)",
        ),
    ),
    decoder=Max30003Decoder,
)
"""Registration; see ``firmware_bridge.devices``."""
