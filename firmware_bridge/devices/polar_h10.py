"""Polar H10 chest strap: the electrocardiogram of its measurement data service (PMD). Sans-IO.

One ``feed`` is one notification. A truncated frame is discarded, and its samples count as lost with the next frame. The
strap's clock is trusted for loss, never for the time of day: it starts at 2019 after each loss of power.
"""

from __future__ import annotations

from collections import Counter, deque

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.decoding import polar_pmd as pmd
from firmware_bridge.decoding.heart_rate import HeartRate, parse_heart_rate
from firmware_bridge.decoding.one_stream import SECOND_STREAM, SETS_SHOWN, Admitted, OneStream, Stamped, set_clock
from firmware_bridge.decoding.options import usable_rate
from firmware_bridge.decoding.timing import FrameTimes, Verdict
from firmware_bridge.devices import BleProfile, Device, DeviceKind, Write
from firmware_bridge.items import DATA_CHANNEL
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

CONTROL_CHANNEL = "control"
HEART_RATE_CHANNEL = "heart_rate"
BATTERY_CHANNEL = "battery"

LSB_MV = 0.001
"""Millivolts per count: samples are microvolts."""
JITTER_NS = 1_000_000
"""Bound on a timestamp's error; real frames (see ``decoding/polar_pmd.py``) scatter by 0.03 ms."""
RETRY_NS = 45 * 10**9
"""Time without data after which a start is repeated: the ECG may begin 30 s late (polar-ble-sdk#414, #424)."""
STOPS_NS = 10**9
"""A strap that ends its stream sooner than this after a start is not restarted at once."""
SHOW_NS = 60 * 10**9
"""Shortest time between two heart rates shown, unless the contact changes."""
MORE_MAX = 1024
"""Bytes that are kept of a response in parts, at most."""


class PolarDecoder:
    """One session with one strap, over any number of connections and power cycles."""

    def __init__(self) -> None:
        self._settings = dict(pmd.DEFAULT_SETTINGS)
        self._fs_hz = 130.0
        self._times = FrameTimes(self._fs_hz, JITTER_NS)
        self._stream: OneStream[NDArray[np.int32]] = OneStream(self._fs_hz, settable=True)
        self._second = False
        self._writes: deque[Write] = deque(maxlen=16)
        self._more: pmd.Response | None = None
        self._connected = self._refused = self._streaming = False
        self._asked_ns = 0
        self._contact: bool | None = None
        self._shown_ns: int | None = None
        self._battery: int | None = None
        self._count: Counter[str] = Counter()

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode one notification; return blocks and events in order. Never raises."""
        if channel == DATA_CHANNEL:
            return self._data(data, arrival_ns)
        self._retry(arrival_ns)
        if channel == CONTROL_CHANNEL:
            return self._control(data, arrival_ns)
        if channel == HEART_RATE_CHANNEL:
            return self._heart_rate(data, arrival_ns)
        if channel == BATTERY_CHANNEL:
            return self._battery_level(data, arrival_ns)
        self._count["foreign_channel_bytes"] += len(data)
        return []

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport."""
        if event.kind is LinkEventKind.CONNECTED:
            self._writes.clear()
            self._connected, self._refused = True, False
            self._ask(pmd.QUERY_ECG, event.arrival_ns)
        if event.kind in {LinkEventKind.CONNECTED, LinkEventKind.DISCONNECTED, LinkEventKind.STALLED}:
            self._connected = event.kind is LinkEventKind.CONNECTED
            self._streaming, self._more, self._contact, self._battery = False, None, None, None
            return self._interrupt()
        return self._interrupt() if event.kind is LinkEventKind.END else []

    def writes(self) -> list[Write]:
        """Return the pending writes and clear them."""
        out = list(self._writes)
        self._writes.clear()
        return out

    def counters(self) -> dict[str, int]:
        """Return the counters since the decoder was created; counters that are zero are absent."""
        stream = {
            "repeated_frames": self._stream.repeated,
            "late_frames": self._stream.late,
            "second_stream_frames": self._stream.second,
        }
        return dict(self._count) | {name: count for name, count in stream.items() if count}

    def _interrupt(self) -> list[LinkItem]:
        out = self._blocks(self._stream.interrupt())
        self._times.interrupt()
        self._second = False
        return out

    def _ask(self, command: bytes, arrival_ns: int) -> None:
        self._asked_ns, self._streaming = arrival_ns, False
        self._writes.append(Write(command, CONTROL_CHANNEL))

    def _retry(self, arrival_ns: int) -> None:
        if self._connected and not self._streaming and not self._refused and arrival_ns - self._asked_ns > RETRY_NS:
            self._count["retries"] += 1
            self._ask(pmd.QUERY_ECG, arrival_ns)

    def _data(self, data: bytes, arrival_ns: int) -> list[LinkItem]:
        frame = pmd.parse_frame(data)
        if frame is not None and frame.kind != pmd.ECG:
            self._count["other_frames"] += 1
            return []
        resolution = max(self._settings.get(pmd.RESOLUTION, ()), default=14)
        samples = None if frame is None else pmd.ecg_uv(frame, resolution, pmd.factor_of(self._settings))
        if frame is None or samples is None:
            self._count["corrupt_frames"] += 1
            detail = f"a data frame of {len(data)} bytes that is truncated or of an unknown layout was discarded"
            facts: dict[str, object] = {"bytes": len(data), "fault": "malformed"}
            return [LinkEvent(LinkEventKind.CORRUPT, arrival_ns, detail, facts)]
        stamped = Stamped(samples, hash(frame.content), len(samples), frame.time_ns, arrival_ns)
        out = self._blocks(self._stream.push(stamped))
        if self._stream.refused and not self._second:
            self._second = True
            out.append(LinkEvent(LinkEventKind.REFUSED, arrival_ns, SECOND_STREAM))
        return out

    def _blocks(self, admitted: list[Admitted[NDArray[np.int32]]]) -> list[LinkItem]:
        out: list[LinkItem] = []
        for one in admitted:
            samples, arrival_ns = one.frame.content, one.frame.arrival_ns
            if one.set_ns is not None:
                self._count["clock_sets"] += 1
                facts: dict[str, object] = {"set_s": one.set_ns * 1e-9}
                if self._count["clock_sets"] <= SETS_SHOWN:
                    out.append(LinkEvent(LinkEventKind.INFO, arrival_ns, set_clock(one.set_ns), facts))
            placed = self._times.place(len(samples), one.time_ns, arrival_ns)
            if placed.verdict is Verdict.RESTARTED:
                self._count["restarts"] += 1
                out.append(LinkEvent(LinkEventKind.RESTARTED, arrival_ns, "the clock of the strap restarted"))
            self._streaming = True
            self._count["data_frames"] += 1
            self._count["samples"] += len(samples)
            self._count["lost_samples"] += placed.lost
            out.append(
                SampleBlock(
                    samples=samples,
                    unit="counts",
                    lsb_mv=LSB_MV,
                    fs_hz=self._fs_hz,
                    device_time_ns=one.time_ns,
                    arrival_ns=arrival_ns,
                    lost=placed.lost,
                    lead_off=self._contact is False,
                )
            )
        return out

    def _control(self, data: bytes, arrival_ns: int) -> list[LinkItem]:
        if data[:1] == bytes((pmd.FEATURES,)) and len(data) > 1:
            return self._features(data[1], arrival_ns)
        if data[:1] == bytes((pmd.STOPPED,)):
            return self._stopped(data[1:], arrival_ns)
        response = pmd.parse_response(data)
        if response is None:
            self._count["malformed"] += 1
            return []
        if response.status not in {pmd.OK, pmd.ALREADY}:
            self._more = None
            return self._refusal(response, arrival_ns)
        if response.kind != pmd.ECG:
            self._count["other_answers"] += 1
            return []
        before, self._more = self._more, None
        if before is not None and before.command == response.command:
            params = (before.params + response.params)[:MORE_MAX]
            response = pmd.Response(response.command, response.kind, response.status, response.more, params)
        if response.more:
            self._more = response
            return []
        return self._answer(response, arrival_ns)

    def _answer(self, response: pmd.Response, arrival_ns: int) -> list[LinkItem]:
        if response.command not in {pmd.GET_SETTINGS, pmd.START}:
            return []
        settings = pmd.parse_settings(response.params)
        if settings is None:
            self._count["malformed"] += 1
            settings = {}
        if response.command == pmd.START:
            if pmd.FACTOR in settings:
                self._settings[pmd.FACTOR] = settings[pmd.FACTOR]
            return []
        rates = settings.get(pmd.RATE, pmd.DEFAULT_SETTINGS[pmd.RATE])
        settings[pmd.RATE] = tuple(rate for rate in rates if usable_rate(rate))
        if not settings[pmd.RATE]:
            self._refused = True
            detail = f"the strap offers its ECG at {', '.join(map(str, rates)) or 'no'} Hz only: update its firmware"
            return [LinkEvent(LinkEventKind.REFUSED, arrival_ns, detail, {"rates_hz": list(rates)})]
        self._settings = dict(pmd.DEFAULT_SETTINGS) | settings
        fs_hz = float(max(self._settings[pmd.RATE]))
        if fs_hz != self._fs_hz:
            self._fs_hz, self._times = fs_hz, FrameTimes(fs_hz, JITTER_NS)
            self._stream.period_ns = 1e9 / fs_hz
        self._ask(pmd.start_command(self._settings), arrival_ns)
        resolution = max(self._settings[pmd.RESOLUTION], default=14)
        facts: dict[str, object] = {
            "kind": "Polar H10",
            "fs_hz": fs_hz,
            "lsb_mv": LSB_MV,
            "sample_bits": resolution,
            "band_hz": [0.7, 40.0],
        }
        detail = f"Polar strap, {fs_hz:g} Hz, {resolution} bits, 1 µV per count"
        return [LinkEvent(LinkEventKind.HELLO, arrival_ns, detail, facts)]

    def _refusal(self, response: pmd.Response, arrival_ns: int) -> list[LinkItem]:
        if response.command == pmd.STOP:
            return []
        self._count["refusals"] += 1
        # At a small MTU the strap swaps command and measurement (F0 00 01 0A).
        if pmd.ECG in {response.kind, response.command} and response.status in pmd.FINAL:
            self._refused = True
        command = {pmd.GET_SETTINGS: "the request for its settings", pmd.START: "starting the ECG"}.get(
            response.command, "a command"
        )
        what, fix = pmd.STATUS.get(response.status, (f"error {response.status}", "take it off and put it on again"))
        facts: dict[str, object] = {"command": response.command, "code": response.status, "fix": fix}
        return [LinkEvent(LinkEventKind.REFUSED, arrival_ns, f"the strap refused {command}: {what}; {fix}", facts)]

    def _features(self, bits: int, arrival_ns: int) -> list[LinkItem]:
        if bits & 1 << pmd.ECG:
            return []
        self._refused = True
        detail = f"this device measures no ECG (feature bits {bits:#04x}): use a Polar H10"
        return [LinkEvent(LinkEventKind.REFUSED, arrival_ns, detail, {"features": bits})]

    def _stopped(self, kinds: bytes, arrival_ns: int) -> list[LinkItem]:
        if pmd.ECG not in {kind & pmd.TYPE_MASK for kind in kinds}:
            return []
        self._count["stops"] += 1
        self._streaming = False
        out = self._interrupt()
        if self._connected and arrival_ns - self._asked_ns >= STOPS_NS:
            self._ask(pmd.start_command(self._settings), arrival_ns)
        return [*out, LinkEvent(LinkEventKind.INFO, arrival_ns, "the strap ended its ECG stream; restarting it")]

    def _heart_rate(self, data: bytes, arrival_ns: int) -> list[LinkItem]:
        rate = parse_heart_rate(data)
        if rate is None:
            self._count["malformed"] += 1
            return []
        self._count["heart_rates"] += 1
        changed, self._contact = rate.contact != self._contact, rate.contact
        if self._shown_ns is not None and not changed and arrival_ns - self._shown_ns < SHOW_NS:
            return []
        self._shown_ns = arrival_ns
        return [_shown(rate, arrival_ns)]

    def _battery_level(self, data: bytes, arrival_ns: int) -> list[LinkItem]:
        level = data[0] if len(data) == 1 and data[0] <= 100 else None
        if level is None or level == self._battery:
            self._count["malformed"] += level is None
            return []
        self._battery = level
        return [LinkEvent(LinkEventKind.INFO, arrival_ns, f"battery {level} %", {"battery_percent": level})]


def _shown(rate: HeartRate, arrival_ns: int) -> LinkEvent:
    facts: dict[str, object] = {"heart_rate_bpm": rate.bpm, "rr_ms": list(rate.rr_ms), "contact": rate.contact}
    touch = {True: ", skin contact", False: ", no skin contact: wet the electrodes", None: ""}[rate.contact]
    return LinkEvent(LinkEventKind.INFO, arrival_ns, f"heart rate {rate.bpm} by the strap{touch}", facts)


DEVICE = Device(
    profile=DeviceKind(
        name="polar_h10",
        title="Polar H10 chest strap",
        transports=("ble",),
        fs_hz=(130.0,),
        scale="fixed",
        band_hz=(0.7, 40.0),
        clock="nanoseconds at the last sample of every frame; restarts when the strap has been off",
        loss_detection="device time compared with the number of samples: exact for lost notifications",
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
            "a scan finds it only while it is worn with wet electrodes and not connected to a phone or watch",
            "Polar's SDK licence, section 3.2: not intended to be used for medical purposes",
        ),
    ),
    decoder=PolarDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
