"""Movesense sensor: electrocardiogram over its GATT sensor data protocol. Sans-IO.

One ``feed`` is one notification. The time in a notification is taken as that of its first sample, as Movesense
documents for its other sensors; for the ECG it is undocumented. The rate is the requested one until the times show
another, as in a recording made with other software.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import pairwise

from firmware_bridge.decoding import movesense_gsp as gsp
from firmware_bridge.decoding.one_stream import (
    FAR_NS,
    SECOND_STREAM,
    SETS_SHOWN,
    Admitted,
    OneStream,
    Stamped,
    set_clock,
)
from firmware_bridge.decoding.timing import FrameTimes, Verdict
from firmware_bridge.devices import BleProfile, Device, DeviceKind, Write
from firmware_bridge.errors import UsageError
from firmware_bridge.items import DATA_CHANNEL, hole_bytes
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock

HELLO_REF, ECG_REF = 1, 2
"""Reference numbers of the kit's requests; the sensor repeats them in its answers."""
FORMATS = ("auto", "mv", "raw")
NO_SUCH_PATH = frozenset({400, 404, 501})
"""Statuses with which firmware older than 2.3 answers ``/mV``."""
JITTER_NS = 1_500_000
"""Times are whole milliseconds."""
STEP_TOLERANCE_MS = 2
"""Allowed difference between one step and 16 samples at a rate that explains it, milliseconds."""
UNSURE_MAX = 3
"""Frames that wait if the first steps fit another rate than the requested one."""
UNSURE_AGREED_MAX = 12
"""The same if the sensor accepted that rate: a loss of every second notification is then more likely."""
SURE_FRAMES = 64
"""Frames after which the measured rate may correct a neighbouring nominal one (500 and 512 Hz differ by 2.4 %)."""
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class _Held:
    payload: gsp.EcgPayload
    time_ms: int
    arrival_ns: int


class MovesenseDecoder:
    """One session with one sensor, over any number of connections and boots.

    Args:
        rate: Sampling rate to request, Hz, as text.
        format: ``"mv"`` for ``/mV`` (firmware 2.3 or newer), ``"raw"``, or ``"auto"`` for the first that works.

    Raises:
        UsageError: The rate or format does not exist.
    """

    def __init__(self, rate: str = "250", format: str = "auto") -> None:  # noqa: A002 - the name is the URL's key
        if rate not in {str(known) for known in gsp.RATES_HZ}:
            raise UsageError(f"rate={rate}", f"a Movesense samples at {', '.join(map(str, gsp.RATES_HZ))} Hz")
        if format.lower() not in FORMATS:
            raise UsageError(f"format={format}", f"known formats: {', '.join(FORMATS)}")
        self._asked_hz = self._rate_hz = int(rate)
        self._auto = format.lower() == "auto"
        self._millivolts = format.lower() != "raw"
        self._times = FrameTimes(self._rate_hz, JITTER_NS)
        self._stream: OneStream[gsp.EcgPayload] = OneStream(self._rate_hz, settable=False)
        self._second = False
        self._writes: deque[Write] = deque(maxlen=16)
        self._sure = self._agreed = False
        self._held: list[_Held] = []
        self._time_ms: int | None = None
        self._frames = 0
        self._part: tuple[int, bytes] | None = None
        self._streaming = False
        self._count: Counter[str] = Counter()

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode one notification; return blocks and events in order. Never raises."""
        if channel != DATA_CHANNEL:
            self._count["foreign_channel_bytes"] += len(data)
            return []
        if len(data) < 2:
            return self._corrupt(len(data), "a notification is truncated", arrival_ns)
        kind, ref, body = data[0], data[1], data[2:]
        if kind == gsp.RESULT or (ref == HELLO_REF and kind == gsp.DATA):
            return self._result(ref, body, arrival_ns)
        if kind == gsp.DATA:
            return self._first(ref, body, arrival_ns)
        if kind in {gsp.DATA_PART_2, gsp.DATA_PART_3}:
            return self._rest(ref, body, arrival_ns)
        return self._corrupt(len(data), f"a notification of unknown kind {kind}", arrival_ns)

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport."""
        if hole_bytes(event) is not None:
            self._part = None
        if event.kind is LinkEventKind.CONNECTED:
            self._writes.clear()
            self._agreed = False
            self._writes.append(Write(bytes((gsp.HELLO, HELLO_REF))))
            self._subscribe()
        if event.kind is LinkEventKind.STALLED and self._auto and not self._streaming:
            # Silence instead of an answer: the next connection tries the other path.
            self._millivolts = not self._millivolts
        if event.kind not in {
            LinkEventKind.CONNECTED,
            LinkEventKind.DISCONNECTED,
            LinkEventKind.STALLED,
            LinkEventKind.END,
        }:
            return []
        out = self._settle(self._asked_hz) if self._held else []
        out += self._blocks(self._stream.interrupt())
        self._part, self._streaming, self._second = None, False, False
        self._times.interrupt()
        return out

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

    def _subscribe(self) -> None:
        path = gsp.ecg_path(self._asked_hz, millivolts=self._millivolts)
        self._writes.append(Write(gsp.subscribe(ECG_REF, path)))

    def _corrupt(self, size: int, detail: str, arrival_ns: int) -> list[LinkItem]:
        self._count["corrupt_frames"] += 1
        facts: dict[str, object] = {"bytes": size, "fault": "malformed"}
        return [LinkEvent(LinkEventKind.CORRUPT, arrival_ns, f"{detail}; it was discarded", facts)]

    def _result(self, ref: int, body: bytes, arrival_ns: int) -> list[LinkItem]:
        if ref == HELLO_REF:
            facts = gsp.parse_hello(body) | {"kind": "Movesense", "fs_hz": float(self._asked_hz)}
            name = " ".join(str(facts[key]) for key in ("product", "device_id", "firmware") if key in facts)
            detail = f"Movesense {name}, {self._asked_hz} Hz".replace(" ,", ",")
            return [LinkEvent(LinkEventKind.HELLO, arrival_ns, detail, facts)]
        status = gsp.parse_status(body)
        if status is None or status < 400:
            self._count["malformed"] += status is None
            self._agreed = self._agreed or (status is not None and ref == ECG_REF)
            return []
        if ref != ECG_REF:
            self._count["other_answers"] += 1
            return []
        path = gsp.ecg_path(self._asked_hz, millivolts=self._millivolts)
        if self._auto and self._millivolts and status in NO_SUCH_PATH:
            self._millivolts = False
            self._subscribe()
            detail = f"this firmware (older than 2.3) does not know {path}; raw counts are used"
            return [LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"code": status})]
        self._count["refusals"] += 1
        what, fix = gsp.STATUS.get(status, (f"status {status}", "update the firmware with the Movesense app"))
        detail = f"the sensor refused {path}: {status} {what}; {fix}"
        return [LinkEvent(LinkEventKind.REFUSED, arrival_ns, detail, {"code": status, "fix": fix})]

    def _first(self, ref: int, body: bytes, arrival_ns: int) -> list[LinkItem]:
        out: list[LinkItem] = []
        if self._part is not None and self._part[0] == ECG_REF:
            out = self._corrupt(len(self._part[1]), "the second half of a notification never arrived", arrival_ns)
        elif self._part is not None:
            self._count["other_frames"] += 1
        self._part = None
        payload = gsp.parse_ecg(body)
        if payload is not None:
            return out + self._ecg(payload, arrival_ns)
        if len(body) < gsp.RAW_BYTES:
            self._part = (ref, body)
        elif ref == ECG_REF:
            out += self._corrupt(len(body), f"an ECG payload of {len(body)} bytes", arrival_ns)
        else:
            self._count["other_frames"] += 1
        return out

    def _rest(self, ref: int, body: bytes, arrival_ns: int) -> list[LinkItem]:
        before, self._part = self._part, None
        if before is None or before[0] != ref:
            if ref != ECG_REF:
                self._count["other_frames"] += 1
                return []
            return self._corrupt(len(body), "the first half of a notification is missing", arrival_ns)
        whole = before[1] + body
        # Counts in parts of 18 bytes (MTU 23) reach the size of a whole payload of microvolts on the way.
        short = len(whole) == gsp.MV_BYTES and ref == ECG_REF and not self._millivolts
        payload = None if short else gsp.parse_ecg(whole)
        if payload is not None:
            return self._ecg(payload, arrival_ns)
        if len(whole) < gsp.RAW_BYTES:
            self._part = (ref, whole)
            return []
        if ref != ECG_REF:
            self._count["other_frames"] += 1
            return []
        return self._corrupt(len(whole), f"an ECG payload of {len(whole)} bytes in parts", arrival_ns)

    def _ecg(self, payload: gsp.EcgPayload, arrival_ns: int) -> list[LinkItem]:
        self._streaming = True
        before_ms = self._held[-1].time_ms if self._held else self._time_ms
        time_ms = payload.time_ms
        if before_ms is not None:
            step = (payload.time_ms - before_ms) % _WRAP
            step -= _WRAP if step >= _WRAP // 2 else 0
            # Further back is not late: the sensor booted.
            time_ms = before_ms + step if step >= -FAR_NS // 1_000_000 else payload.time_ms
        frame = _Held(payload, time_ms, arrival_ns)
        if self._sure or before_ms is None:
            return self._place(frame)
        step = time_ms - before_ms
        if not self._held and (_fits(step, self._rate_hz) or _guess([step]) is None):
            self._sure = _fits(step, self._rate_hz)
            return self._place(frame)
        # The step fits another rate: this recording may not hold the requested one.
        self._held.append(frame)
        if len(self._held) < (UNSURE_AGREED_MAX if self._agreed else UNSURE_MAX):
            return []
        times = [self._time_ms or 0, *(held.time_ms for held in self._held)]
        steps = [b - a for a, b in pairwise(times)]
        own = sum(_fits(step, self._rate_hz) for step in steps)
        other = _guess(steps)
        return self._settle(self._rate_hz if own or other is None else other)

    def _settle(self, rate_hz: int) -> list[LinkItem]:
        """Return the frames that waited, at the rate that explains them."""
        held, self._held, self._sure = self._held, [], True
        out: list[LinkItem] = []
        if rate_hz != self._rate_hz and held:
            out.append(self._correct(rate_hz, held[0].arrival_ns))
        for frame in held:
            out += self._place(frame)
        return out

    def _correct(self, rate_hz: int, arrival_ns: int) -> LinkEvent:
        detail = f"the sensor samples at {rate_hz} Hz, not at {self._rate_hz} Hz, according to its clock"
        self._rate_hz = rate_hz
        self._stream.period_ns = 1e9 / rate_hz
        old, self._times = self._times, FrameTimes(rate_hz, JITTER_NS)
        self._times.resume(old)
        return LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"fs_hz": float(rate_hz)})

    def _place(self, frame: _Held) -> list[LinkItem]:
        payload, time_ns = frame.payload, frame.time_ms * 1_000_000
        key = hash(payload.samples.tobytes())
        out = self._blocks(self._stream.push(Stamped(payload, key, len(payload.samples), time_ns, frame.arrival_ns)))
        if self._stream.refused and not self._second:
            self._second = True
            out.append(LinkEvent(LinkEventKind.REFUSED, frame.arrival_ns, SECOND_STREAM))
        return out

    def _blocks(self, admitted: list[Admitted[gsp.EcgPayload]]) -> list[LinkItem]:
        out: list[LinkItem] = []
        for one in admitted:
            self._time_ms = one.frame.time_ns // 1_000_000
            if one.set_ns is not None:
                self._count["clock_sets"] += 1
                facts: dict[str, object] = {"set_s": one.set_ns * 1e-9}
                if self._count["clock_sets"] <= SETS_SHOWN:
                    out.append(LinkEvent(LinkEventKind.INFO, one.frame.arrival_ns, set_clock(one.set_ns), facts))
            out += self._block(one.frame.content, one.time_ns, one.frame.arrival_ns)
        return out

    def _block(self, payload: gsp.EcgPayload, time_ns: int, arrival_ns: int) -> list[LinkItem]:
        out: list[LinkItem] = []
        count = len(payload.samples)
        last_ns = time_ns + (count - 1) * 1_000_000_000 // self._rate_hz
        placed = self._times.place(count, time_ns, arrival_ns)
        if placed.verdict is Verdict.RESTARTED:
            self._count["restarts"] += 1
            self._frames = 0
            out.append(LinkEvent(LinkEventKind.RESTARTED, arrival_ns, "the sensor booted: its clock restarted"))
        self._frames += 1
        if self._frames == SURE_FRAMES:
            nearest = min(gsp.RATES_HZ, key=lambda rate: abs(rate - self._times.fs_hz))
            if nearest != self._rate_hz:
                out.append(self._correct(nearest, arrival_ns))
        self._count["data_frames"] += 1
        self._count["samples"] += count
        self._count["lost_samples"] += placed.lost
        out.append(
            SampleBlock(
                samples=payload.samples,
                unit="mV" if payload.lsb_mv is None else "counts",
                lsb_mv=payload.lsb_mv,
                fs_hz=float(self._rate_hz),
                device_time_ns=last_ns,
                arrival_ns=arrival_ns,
                lost=placed.lost,
            )
        )
        return out


def _fits(step_ms: int, rate_hz: int) -> bool:
    return abs(step_ms - gsp.SAMPLES * 1000 / rate_hz) <= STEP_TOLERANCE_MS


def _guess(steps_ms: list[int]) -> int | None:
    """Return the rate at which most of the steps are one frame each; ``None`` if no rate explains any."""
    fitting = {rate: [step for step in steps_ms if _fits(step, rate)] for rate in gsp.RATES_HZ}
    most = max(len(found) for found in fitting.values())
    if most == 0:
        return None
    best = [rate for rate, found in fitting.items() if len(found) == most]
    return min(best, key=lambda rate: abs(sum(fitting[rate]) - most * gsp.SAMPLES * 1000 / rate))


DEVICE = Device(
    profile=DeviceKind(
        name="movesense",
        title="Movesense sensor (firmware with GATT sensor data)",
        transports=("ble",),
        fs_hz=tuple(float(rate) for rate in gsp.RATES_HZ),
        scale="fixed",
        band_hz=None,
        clock="milliseconds since boot on every frame",
        loss_detection="device time compared with the number of samples: exact for lost notifications",
        stop=(Write(bytes((gsp.UNSUBSCRIBE, ECG_REF))),),
        ble=BleProfile(
            service=gsp.SERVICE,
            notify={DATA_CHANNEL: gsp.NOTIFY_CHARACTERISTIC},
            write={DATA_CHANNEL: gsp.WRITE_CHARACTERISTIC},
            advertised=(gsp.ADVERTISED, gsp.SERVICE),
            name_prefixes=("Movesense",),
            min_mtu=73,
        ),
        options={
            "rate": f"sampling rate in Hz: {', '.join(map(str, gsp.RATES_HZ))} (default 250)",
            "format": "auto (default), mv (firmware 2.3 or newer) or raw",
        },
        notes=(
            "its pass band depends on its configuration (/Meas/ECG/Config), which is not read",
            "a frame's time is taken as that of its first sample, which is undocumented: up to 15 samples off",
        ),
    ),
    decoder=MovesenseDecoder,
)
"""Registration of this device; see ``firmware_bridge.devices``."""
