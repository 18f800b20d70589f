"""ProtoCentral MAX30003 board behind an Arduino with the OpenView sketch: one sample per frame, about 125 Hz. Sans-IO.

Source: Protocentral/protocentral_max30003@343ad18:examples/Example1-ECG-stream-Openview (type 2, 17 bytes: five unused,
ECG i32, R-R u16, 0, beats u16, 0). The sketch reads the chip after every ``delay(8)``, so its rate is not the chip's.
"""

from __future__ import annotations

from firmware_bridge.decoding.cutter import Run
from firmware_bridge.decoding.options import LSB_MV_OPTION, sampling_rate, scale
from firmware_bridge.decoding.protocentral import HEAD, Kind, ProtoCentralDecoder, column
from firmware_bridge.decoding.stream import Blocks, RateCheck
from firmware_bridge.devices import Device, DeviceKind
from firmware_bridge.samples import LinkItem

FS_HZ = "125"
DATA: Kind = (2, 17)
ECG_AT = HEAD + 5


class Max30003Decoder(ProtoCentralDecoder):
    """One session with one board.

    Args:
        rate: Frames per second that the board really sends, as text.
        lsb_mv: Millivolts per count, as text.
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
    profile=DeviceKind(
        name="max30003",
        title="ProtoCentral MAX30003 with the OpenView sketch",
        transports=("serial",),
        fs_hz=(float(FS_HZ),),
        scale="unknown",
        band_hz=(0.5, 40.0),
        clock="none: samples are counted",
        loss_detection="none in the protocol: only damaged bytes are noticed; the samples in them are estimated",
        baud=57_600,
        options={
            "rate": "frames per second that really arrive (default 125); measure it, the sketch has no timer",
            "lsb_mv": LSB_MV_OPTION,
        },
        notes=(
            (
                "the sketch polls the chip (128 samples per second) between delays: samples are repeated or omitted, "
                "and the protocol does not show it"
            ),
            "its scale is not confirmed: the unit is counts until the board is calibrated (option lsb_mv)",
        ),
    ),
    decoder=Max30003Decoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
