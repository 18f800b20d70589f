"""``sim:?hr=70&potassium=6.5&seed=1``: a simulated patient with a virtual patch, in this process.

The patch speaks its real protocol: bytes, frames, commands, faults. With ``speed=max`` nothing waits and arrival times
come from signal time, so that every run gives the same bits.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import cast

from edge.sources import Source, SourceInfo, SourceUrl
from edge.sources.wire import WireSource
from firmware_bridge import devices
from firmware_bridge.errors import UsageError
from firmware_bridge.items import DATA_CHANNEL, RawChunk, TransportItem
from firmware_bridge.samples import LinkEvent, LinkEventKind
from firmware_bridge.virtual.calibrator import Board, Calibrator, CalibratorSignal, Kind
from firmware_bridge.virtual.ecg import NORMAL_CA, NORMAL_K, PatientOptions, PatientSignal, Signal
from firmware_bridge.virtual.faults import FaultSchedule
from firmware_bridge.virtual.patch import RING_MAX_S, PatchConfig, VirtualPatch

OWN_KEYS = (
    "hr", "potassium", "calcium", "noise", "seed", "fs", "bits", "nv", "frame", "seconds", "speed", "faults",
    "ring",
)  # fmt: skip
BENCH_KEYS = ("signal", "amplitude_mv", "hz", "gain", "offset_mv", "highpass_hz", "lowpass_hz", "noise_mv")
"""Keys for a calibrator in place of the patient; they need ``signal``."""
"""Keys of the query besides the fields of `EcgParams` (such as ``t_mv=0.6``)."""
DEVICE = "anyecg_patch"
"""The device that the virtual patch imitates."""
STEP_S = 0.02
"""Interval at which a paced simulation reads the clock, s."""
START_NS = 1_000_000_000
"""Arrival time at the start of a simulation that is not paced, ns."""


class SimTransport:
    """A transport to a virtual patch in this process.

    Args:
        patch: The virtual patch.
        speed: Factor of real time; infinity for no waiting.
        seconds: Simulated time until END, s; infinity for no end.
    """

    def __init__(self, patch: VirtualPatch, speed: float = 1.0, seconds: float = math.inf) -> None:
        self._patch = patch
        self._speed = speed
        self._seconds = seconds
        self._plugged = True
        self._closed = False

    async def stream(self) -> AsyncIterator[TransportItem]:
        """Yield everything that arrives until the time is over."""
        started_ns = time.monotonic_ns()
        base_ns = START_NS if math.isinf(self._speed) else started_ns
        time_s = 0.0
        yield LinkEvent(LinkEventKind.CONNECTED, base_ns, "virtual patch")
        while not self._closed and not self._patch.finished and time_s < self._seconds:
            if math.isinf(self._speed):
                # One slot at a time: the answers to the host's commands then come at the same place in every run.
                time_s = self._patch.time_s + self._patch.slot_s * 1.5
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(STEP_S)
                time_s = (time.monotonic_ns() - started_ns) * 1e-9 * self._speed
            for emission in self._patch.advance(min(time_s, self._seconds)):
                if math.isinf(self._speed):
                    arrival_ns = base_ns + round(emission.time_s * 1e9)
                else:
                    arrival_ns = time.monotonic_ns()
                if emission.up is None:
                    yield RawChunk(arrival_ns, DATA_CHANNEL, emission.data)
                    continue
                self._plugged = emission.up
                kind = LinkEventKind.CONNECTED if emission.up else LinkEventKind.DISCONNECTED
                yield LinkEvent(kind, arrival_ns, "virtual patch" if emission.up else "virtual patch was unplugged")
        at_ns = base_ns + round(self._patch.time_s * 1e9) if math.isinf(self._speed) else time.monotonic_ns()
        yield LinkEvent(LinkEventKind.END, at_ns, "the simulation is over")

    async def write(self, data: bytes, channel: str = DATA_CHANNEL) -> bool:  # noqa: ARG002 - there is one channel
        """Send bytes to the patch."""
        if self._plugged:
            self._patch.receive(data)
        return self._plugged

    async def close(self) -> None:
        """End ``stream``."""
        self._closed = True


class SimSource(WireSource):
    """A simulated patient as a source.

    Attributes:
        patch: The virtual patch, which counts exactly what happened.
    """

    def __init__(self, patch: VirtualPatch, transport: SimTransport, info: SourceInfo) -> None:
        super().__init__(transport, devices.get(DEVICE), info)
        self.patch = patch


def _calibrator(url: SourceUrl, faults: FaultSchedule, seed: int) -> Signal:
    """Return the signal of a calibrator on a board, from the same options as ``anyecg virtual-patch``."""
    calibrator = Calibrator(
        cast("Kind", url.params["signal"]), url.number("amplitude_mv", 1.0), url.number("hz", 10.0, 0.01, 4000.0)
    )
    board = Board(
        gain=url.number("gain", 1.0, -1e4, 1e4),
        offset_mv=url.number("offset_mv", 0.0, -1e4, 1e4),
        high_pass_hz=url.number("highpass_hz", 0.0, 0.0, 100.0),
        low_pass_hz=url.number("lowpass_hz", 0.0, 0.0, 1e4),
        noise_mv=url.number("noise_mv", 0.0, 0.0, 100.0),
        clock_ppm=faults.rate("rate"),
    )
    return CalibratorSignal(calibrator, board, seed)


def open_sim(url: SourceUrl) -> Source:
    """Return the source for a simulated patient.

    Raises:
        UsageError: The URL is invalid, or a value cannot be simulated.
    """
    if url.path:
        raise UsageError(f"sim: takes no path, but the URL has {url.path!r}", "write sim:?hr=70&seed=1")
    faults = FaultSchedule.parse(url.params.get("faults", ""))
    bench = url.params.get("signal", "ecg") != "ecg"
    own = (*OWN_KEYS, *BENCH_KEYS) if bench else (*OWN_KEYS, "signal")
    changes = tuple((key, url.number(key, 0.0)) for key in url.params if key not in own)
    options = PatientOptions(
        url.number("hr", 70.0, 25.0, 250.0),
        url.number("potassium", NORMAL_K),
        url.number("calcium", NORMAL_CA),
        url.number("noise", 1.0, 0.0, 1000.0),
        changes,
    )
    bits = url.integer("bits", 16, 16, 24)
    if bits not in {16, 24}:
        raise UsageError(f"bits={bits} in {url.text!r} is neither 16 nor 24", "write bits=16 or bits=24")
    seed = url.integer("seed", 1, 0, 2**32 - 1)
    config = PatchConfig(
        fs_hz=url.number("fs", 250.0, 50.0, 8000.0),
        frame_s=url.number("frame", 0.1, 0.001, 10.0),
        sample_bits=bits,
        nv_num=url.integer("nv", 1000, 0, 1_000_000),
        ring_s=url.number("ring", 0.0, 0.0, RING_MAX_S),
    )
    signal = _calibrator(url, faults, seed) if bench else PatientSignal(options, seed)
    patch = VirtualPatch(signal, config, faults, seed)
    speed = url.speed(1.0)
    info = SourceInfo(
        url=url.text,
        device=DEVICE,
        live=False,
        host_clock=not math.isinf(speed),
        arrival_timed=not math.isinf(speed),
        fs_hz=config.fs_hz,
    )
    return SimSource(patch, SimTransport(patch, speed, url.number("seconds", math.inf, 0.1, 1e9)), info)
