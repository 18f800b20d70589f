"""Zephyr BioHarness 3 over its serial Bluetooth link: ECG waveform packets. Sans-IO.

Packets carry an eight-bit number and a time of day. The number shows how many packets are missing, the time how often
the number wrapped meanwhile. Single times are off by up to 7 ms in the public capture, so they are used for that only.
"""

from __future__ import annotations

from collections import Counter, deque

from firmware_bridge.decoding import zephyr
from firmware_bridge.decoding.one_stream import SETS_SHOWN, set_clock
from firmware_bridge.decoding.options import LSB_MV_OPTION, scale
from firmware_bridge.decoding.timing import other_clock
from firmware_bridge.devices import Device, DeviceKind, Write
from firmware_bridge.items import DATA_CHANNEL, hole_bytes
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

FS_HZ = 250.0
PACKET_MS = 252
"""Duration of a packet: 63 samples."""
NUMBERS = 256
FIT_MS = 1_000
"""Allowed difference between time and number: more than the jitter, far less than one wrap of the number (64.5 s)."""
ARRIVAL_MS = 5_000
"""Allowed difference between arrival and number where the clock was set."""
LATE_PACKETS = 32
"""Packets by which a late one may be behind: eight seconds."""
REPEATED, LATE = -1, -2
"""Verdicts on a packet in place of its missing samples."""
DRIFT = 2_000
"""Part of a long gap that is added to that tolerance, as 1/N."""
RETRY_NS = 10 * 10**9
"""Time with frames but without ECG after which the ECG is requested again."""
SHOW_NS = 60 * 10**9
"""Shortest time between two summaries shown."""
NO_FRAME_BYTES = 2_048
"""Bytes without a frame after which another baud rate is suggested."""
_MS = 1_000_000


class BioHarnessDecoder:
    """One session with one strap, over any number of connections.

    Args:
        lsb_mv: Millivolts per count, as text.

    Raises:
        UsageError: ``lsb_mv`` is not a number.
    """

    def __init__(self, lsb_mv: str | None = None) -> None:
        self._lsb_mv = scale(lsb_mv)
        self._frames = zephyr.FrameFinder()
        self._writes: deque[Write] = deque(maxlen=16)
        self._last: tuple[int, int, int] | None = None
        self._number = -1
        self._day_ms = 0
        self._broken = self._announced = False
        self._connected = False
        self._asked_ns = 0
        self._shown_ns: int | None = None
        self._stray = 0
        self._count: Counter[str] = Counter()

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode received bytes; return blocks and events in order. Never raises."""
        if channel != DATA_CHANNEL:
            self._count["foreign_channel_bytes"] += len(data)
            return []
        return self._items(self._frames.feed(data), arrival_ns)

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport."""
        if hole_bytes(event) is not None:
            return self._items(self._frames.reset(), event.arrival_ns)
        if event.kind is LinkEventKind.CONNECTED:
            self._writes.clear()
            self._connected = True
            self._ask(event.arrival_ns)
        if event.kind not in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.END}:
            return []
        out = self._items(self._frames.reset(), event.arrival_ns)
        self._broken, self._announced, self._connected, self._stray = True, False, False, 0
        return out

    def writes(self) -> list[Write]:
        """Return the pending writes and clear them."""
        out = list(self._writes)
        self._writes.clear()
        return out

    def counters(self) -> dict[str, int]:
        """Return the counters since the decoder was created; counters that are zero are absent."""
        return dict(self._count)

    def _ask(self, arrival_ns: int) -> None:
        self._asked_ns = arrival_ns
        self._writes.extend((Write(zephyr.ENABLE_ECG), Write(zephyr.SUMMARY_EACH_SECOND)))

    def _items(self, found: list[zephyr.Frame | zephyr.Junk], arrival_ns: int) -> list[LinkItem]:
        out: list[LinkItem] = []
        for item in found:
            if isinstance(item, zephyr.Junk):
                out.append(self._junk(item, arrival_ns))
            else:
                self._count["frames"] += 1
                self._stray = 0
                out += self._frame(item, arrival_ns)
        return out

    def _junk(self, junk: zephyr.Junk, arrival_ns: int) -> LinkEvent:
        self._count["corrupt_bytes"] += junk.size
        self._stray += junk.size
        facts: dict[str, object] = {"bytes": junk.size, "fault": "no frame"}
        if junk.synced:
            return LinkEvent(LinkEventKind.CORRUPT, arrival_ns, f"{junk.size} bytes discarded: not a frame", facts)
        if self._stray < NO_FRAME_BYTES:
            return LinkEvent(LinkEventKind.INFO, arrival_ns, f"{junk.size} bytes before the first frame", facts)
        detail = f"{self._stray} bytes without a frame: another kind of device, or another baud rate?"
        return LinkEvent(LinkEventKind.CORRUPT, arrival_ns, detail, facts)

    def _frame(self, frame: zephyr.Frame, arrival_ns: int) -> list[LinkItem]:
        if self._connected and not self._announced and arrival_ns - self._asked_ns > RETRY_NS:
            self._count["retries"] += 1
            self._ask(arrival_ns)
        if frame.kind == zephyr.ECG and frame.payload:
            return self._ecg(frame.payload, arrival_ns)
        if frame.kind == zephyr.SUMMARY and frame.payload:
            return self._summary(frame.payload, arrival_ns)
        if frame.kind == zephyr.LIFESIGN:
            # The device checks for a host, and disconnects if nothing answers.
            self._writes.append(Write(zephyr.SIGN_OF_LIFE))
        elif frame.end == zephyr.NAK:
            self._count["refusals"] += 1
            facts: dict[str, object] = {"command": frame.kind}
            what = "to send its ECG" if frame.kind == zephyr.SET_ECG else f"command {frame.kind:#04x}"
            detail = (
                f"the BioHarness refused {what}: take it off its charger, or update its firmware with Zephyr's tools"
            )
            return [LinkEvent(LinkEventKind.REFUSED, arrival_ns, detail, facts)]
        else:
            self._count["other_frames"] += 1
        return []

    def _summary(self, payload: bytes, arrival_ns: int) -> list[LinkItem]:
        facts = zephyr.parse_summary(payload)
        if facts is None or (self._shown_ns is not None and arrival_ns - self._shown_ns < SHOW_NS):
            self._count["other_frames"] += 1
            return []
        self._shown_ns = arrival_ns
        level = "unknown" if facts["battery_percent"] is None else f"{facts['battery_percent']} %"
        detail = f"heart rate {facts['heart_rate_bpm'] or 'unknown'} by the strap, battery {level}"
        return [LinkEvent(LinkEventKind.INFO, arrival_ns, detail, facts)]

    def _ecg(self, payload: bytes, arrival_ns: int) -> list[LinkItem]:
        packet = zephyr.parse_ecg(payload)
        if packet is None:
            self._count["malformed"] += 1
            data: dict[str, object] = {"bytes": len(payload), "fault": "malformed"}
            return [LinkEvent(LinkEventKind.CORRUPT, arrival_ns, "an ECG packet of impossible size or time", data)]
        out: list[LinkItem] = []
        time_ms = self._on_one_calendar(packet, arrival_ns)
        lost = self._lost(packet.seq, time_ms, arrival_ns)
        if lost in {REPEATED, LATE}:
            self._count["repeated_frames" if lost == REPEATED else "late_frames"] += 1
            return []
        if lost is None and (set_ms := self._set(packet.seq, time_ms, arrival_ns)) is not None:
            lost = (set_ms[1] - 1) * zephyr.ECG_SAMPLES
            time_ms -= set_ms[0]
            if self._count["clock_sets"] <= SETS_SHOWN:
                facts: dict[str, object] = {"set_s": set_ms[0] * 1e-3}
                out.append(LinkEvent(LinkEventKind.INFO, arrival_ns, set_clock(set_ms[0] * _MS), facts))
        if lost is None:
            self._count["restarts"] += 1
            out.append(LinkEvent(LinkEventKind.RESTARTED, arrival_ns, "the clock of the BioHarness restarted"))
        elif not self._announced:
            out.append(self._hello(arrival_ns))
        self._announced, self._broken = True, False
        self._last = (packet.seq, time_ms, arrival_ns)
        count = len(packet.samples)
        self._number += 1 + (lost or 0) // count
        self._count["samples"] += count
        self._count["lost_samples"] += lost or 0
        out.append(
            SampleBlock(
                samples=packet.samples,
                unit="counts",
                lsb_mv=self._lsb_mv,
                fs_hz=FS_HZ,
                device_time_ns=time_ms * _MS + (count - 1) * 4 * _MS,
                arrival_ns=arrival_ns,
                seq=self._number,
                lost=lost or 0,
            )
        )
        return out

    def _hello(self, arrival_ns: int) -> LinkEvent:
        known = "scale unknown" if self._lsb_mv is None else f"{self._lsb_mv * 1000:g} µV per count"
        facts: dict[str, object] = {"kind": "BioHarness", "fs_hz": FS_HZ, "lsb_mv": self._lsb_mv, "sample_bits": 10}
        return LinkEvent(LinkEventKind.HELLO, arrival_ns, f"BioHarness, {FS_HZ:g} Hz, {known}", facts)

    def _on_one_calendar(self, packet: zephyr.EcgPacket, arrival_ns: int) -> int:
        """Return the packet's time, corrected for a date that changes a packet too early or late, or is lost."""
        time_ms = packet.time_ms + self._day_ms
        if self._last is None:
            return time_ms
        gone_ms = time_ms - self._last[1]
        days = round(gone_ms / zephyr.DAY_MS)
        away_ms = (arrival_ns - self._last[2]) / _MS
        if days and abs(gone_ms - days * zephyr.DAY_MS) < 60 * FIT_MS and away_ms < zephyr.DAY_MS / 2:
            self._day_ms -= days * zephyr.DAY_MS
            time_ms -= days * zephyr.DAY_MS
        return time_ms

    def _set(self, seq: int, time_ms: int, arrival_ns: int) -> tuple[int, int] | None:
        """Return how far the clock was set, ms, and the packets since the last one, if numbers and arrival agree."""
        if self._last is None or self._broken:
            return None
        arrived_ms = (arrival_ns - self._last[2]) / _MS
        step = (seq - self._last[0]) % NUMBERS
        rounds = max(0 if step else 1, round((arrived_ms / PACKET_MS - step) / NUMBERS))
        packets = step + rounds * NUMBERS
        if arrived_ms <= 0 or abs(arrived_ms - packets * PACKET_MS) > ARRIVAL_MS:
            return None
        set_ms = time_ms - self._last[1] - packets * PACKET_MS
        self._day_ms -= set_ms
        self._count["clock_sets"] += 1
        return set_ms, packets

    def _lost(self, seq: int, time_ms: int, arrival_ns: int) -> int | None:
        """Return the samples missing before a packet, `REPEATED` or `LATE`, or ``None`` for another clock."""
        if self._last is None:
            return 0
        step = (seq - self._last[0]) % NUMBERS
        gone_ms = time_ms - self._last[1]
        if step == 0 and abs(gone_ms) < PACKET_MS // 2:
            return REPEATED
        arrived_ns = arrival_ns - self._last[2]
        behind = (self._last[0] - seq) % NUMBERS
        if behind <= LATE_PACKETS and abs(gone_ms + behind * PACKET_MS) <= FIT_MS and gone_ms < 0 and not self._broken:
            return LATE
        if gone_ms < -FIT_MS or other_clock(gone_ms * _MS, arrived_ns, broken=self._broken):
            return None
        rounds = max(0 if step else 1, round((gone_ms / PACKET_MS - step) / NUMBERS))
        packets = step + rounds * NUMBERS
        arrives = arrived_ns >= PACKET_MS * _MS // 2
        if rounds and arrives and not self._broken and gone_ms - arrived_ns / _MS > ARRIVAL_MS:
            return None
        if abs(gone_ms - packets * PACKET_MS) <= FIT_MS + gone_ms // DRIFT:
            return (packets - 1) * zephyr.ECG_SAMPLES
        if not self._broken:
            return None
        # The numbers restarted with the connection: then only the time counts.
        return max(0, round(gone_ms / 4) - zephyr.ECG_SAMPLES)


DEVICE = Device(
    profile=DeviceKind(
        name="bioharness",
        title="Zephyr BioHarness 3 (Bluetooth serial port)",
        transports=("serial", "tcp"),
        fs_hz=(FS_HZ,),
        scale="unknown",
        band_hz=None,
        clock="date and milliseconds of the day at the first sample of every packet",
        loss_detection="number and time on every packet: exact",
        start=(Write(zephyr.ENABLE_ECG), Write(zephyr.SUMMARY_EACH_SECOND)),
        stop=(Write(zephyr.DISABLE_ECG),),
        baud=115_200,
        options={"lsb_mv": LSB_MV_OPTION},
        notes=(
            "its scale is not confirmed: one public driver uses 0.025 mV per count, the device's summary another",
            "the unit is counts until the strap is calibrated (option lsb_mv)",
            "pair it with bluetoothctl and bind its serial port first (rfcomm bind)",
        ),
    ),
    decoder=BioHarnessDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
