"""HeartyPatch (MAX30003 on an ESP32) over TCP: numbered and timed packets of eight samples. Sans-IO.

Sources: patchinc/heartypatch@1fca119:python/heartypatch_downloader_protocol3.py and
patchinc/heartypatch@2eefbf7:firmware/heartypatch-stream-tcp/main/max30003.c (type 3, 48 bytes: number u32, seconds u32,
microseconds u32, R-R ms u32, ECG 8 * i32). The number begins at 0 with each connection, and again when the chip's FIFO
overflowed; then the device's clock shows how much is missing.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding.cutter import Run
from firmware_bridge.decoding.one_stream import SETS_SHOWN, set_clock
from firmware_bridge.decoding.options import LSB_MV_OPTION, choice, scale
from firmware_bridge.decoding.protocentral import HEAD, Kind, ProtoCentralDecoder, column
from firmware_bridge.decoding.stream import Blocks
from firmware_bridge.devices import Device, DeviceKind
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem

RATES = (128, 256, 512)
"""Sampling rates that the firmware can be built for, Hz."""
DATA: Kind = (3, 48)
SAMPLES = 8
NUMBERS = 1 << 32
TIME_MAX_S = 3600.0
"""A gap longer than this, by the device's clock, means another clock (it begins at 1970 when the device starts)."""
LATE_PACKETS = 64
"""Packets by which a late one may be behind."""
SLACK_S = 1.0
"""Allowed difference between number and clock about what is missing before the number is not trusted."""
CHECK_FRAMES = 64
"""Packets after which the measured rate is compared with the given one."""
_HEADER = struct.Struct("<III")
"""Layout of number, seconds and microseconds."""


class HeartyPatchDecoder(ProtoCentralDecoder):
    """One session with one patch.

    Args:
        rate: Sampling rate that its firmware was built for, Hz, as text.
        lsb_mv: Millivolts per count, as text.
    """

    def __init__(self, rate: str = "128", lsb_mv: str | None = None) -> None:
        super().__init__(Blocks(float(choice("rate", rate, RATES)), scale(lsb_mv)), {DATA: ()})
        self._number: int | None = None
        self._time_ns = self._arrival_ns = 0
        self._offset_ns = 0
        """Correction for every time that the clock was set while it streamed."""
        self._checked = False
        self._begin: tuple[int, int] | None = None

    def _forget(self) -> None:
        self._number = self._begin = None

    def _payloads(self, kind: Kind, run: Run, arrival_ns: int) -> list[LinkItem]:
        del kind
        samples = column(run, HEAD + 16, "<i4", SAMPLES).reshape(-1, SAMPLES)
        out: list[LinkItem] = []
        for at, eight in zip(range(HEAD, len(run.data), run.size), samples, strict=True):
            number, seconds, micros = _HEADER.unpack_from(run.data, at)
            self._packet(number, seconds * 1_000_000_000 + micros * 1000, eight, arrival_ns, out)
        return out

    def _packet(
        self, number: int, time_ns: int, eight: NDArray[np.int32], arrival_ns: int, out: list[LinkItem]
    ) -> None:
        lost: int | None = 0
        if self._number is not None:
            if number == self._number:
                self._count["doubled_frames"] += 1
                return
            lost = self._missing(number, time_ns, arrival_ns, out)
        if lost is None:
            self._count["late_frames"] += 1
            return
        self._junk_bytes = 0
        self._number, self._time_ns, self._arrival_ns = number, time_ns, arrival_ns
        self._samples(SAMPLES, lost)
        device_time_ns = time_ns + self._offset_ns
        out.append(self._blocks.one(eight, arrival_ns, lost, seq=number, device_time_ns=device_time_ns))
        self._check(number, time_ns, lost, arrival_ns, out)

    def _missing(self, number: int, time_ns: int, arrival_ns: int, out: list[LinkItem]) -> int | None:
        """Return the samples missing before a packet that does not repeat the last one; ``None`` if it is late."""
        step = (number - (self._number or 0) + NUMBERS // 2) % NUMBERS - NUMBERS // 2
        gone_s = (time_ns - self._time_ns) * 1e-9
        per_packet_s = SAMPLES / self._blocks.fs_hz
        arrived_s = (arrival_ns - self._arrival_ns) * 1e-9
        off_s = abs(gone_s - step * per_packet_s)
        if -LATE_PACKETS <= step < 0 and gone_s < 0 and off_s <= SLACK_S:
            return None
        # One missing packet more or less does not fit the arrival; equal host times are no evidence.
        on_arrival = arrived_s > 0 and abs(arrived_s - step * per_packet_s) <= SLACK_S
        if off_s > SLACK_S + 0.02 * abs(gone_s) and (step == 1 or (step > 1 and on_arrival)):
            self._set(round((gone_s - step * per_packet_s) * 1e9), arrival_ns, out)
            return (step - 1) * SAMPLES
        if not 0.0 < gone_s <= TIME_MAX_S:
            self._begin = None
            self._count["restarts"] += 1
            out.append(LinkEvent(LinkEventKind.RESTARTED, arrival_ns, "the patch restarted: its clock was reset"))
            return 0
        if step == 1 or (step > 0 and off_s <= SLACK_S + 0.02 * gone_s):
            return (step - 1) * SAMPLES
        # Its number restarted or is damaged: the clock continues and shows the loss.
        lost = max(0, round((gone_s / per_packet_s - 1) * SAMPLES))
        self._begin = None
        self._count["overruns"] += 1
        detail = f"the patch lost samples (its FIFO overflowed): {lost} by its clock"
        out.append(LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"samples": lost}))
        return lost

    def _set(self, set_ns: int, arrival_ns: int, out: list[LinkItem]) -> None:
        """Note that the clock was set while the packets went on."""
        self._offset_ns -= set_ns
        self._begin = None
        self._count["clock_sets"] += 1
        if self._count["clock_sets"] <= SETS_SHOWN:
            out.append(LinkEvent(LinkEventKind.INFO, arrival_ns, set_clock(set_ns), {"set_s": set_ns * 1e-9}))

    def _check(self, number: int, time_ns: int, lost: int, arrival_ns: int, out: list[LinkItem]) -> None:
        if self._checked:
            return
        if self._begin is None or lost:
            self._begin = (number, time_ns)
            return
        frames = number - self._begin[0]
        if frames >= CHECK_FRAMES:
            self._checked = True
            measured = frames * SAMPLES / max((time_ns - self._begin[1]) * 1e-9, 1e-3)
            nearest = min(RATES, key=lambda r: abs(math.log(r / measured)))
            if nearest != self._blocks.fs_hz:
                rates = f"{measured:.0f} Hz, not {self._blocks.fs_hz:g}"
                detail = f"samples arrive at {rates}: add rate={nearest} to the URL"
                out.append(LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"measured_hz": round(measured, 3)}))


DEVICE = Device(
    profile=DeviceKind(
        name="heartypatch",
        title="HeartyPatch (TCP stream firmware)",
        transports=("tcp", "serial"),
        fs_hz=tuple(float(r) for r in RATES),
        scale="unknown",
        band_hz=None,
        clock="microseconds when a packet was built, just after its last sample; restarts with the patch",
        loss_detection=(
            "packet number: exact; if the number restarts because the chip's FIFO overflowed, the device's clock shows "
            "the loss to within a few samples"
        ),
        baud=115_200,
        options={
            "rate": "sampling rate that its firmware was built for: 128 (default), 256 or 512",
            "lsb_mv": LSB_MV_OPTION,
        },
        notes=(
            "it listens on TCP port 4567",
            (
                "its scale comes from the driver's source only (2.33e-8 mV per count: code << 14 at gain 20) and is "
                "not confirmed: the unit is counts until the patch is calibrated (option lsb_mv)"
            ),
            "its rate is a build option of the firmware and not in the packets: state it (option rate)",
        ),
    ),
    decoder=HeartyPatchDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
