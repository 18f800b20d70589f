"""The kit's own patch: decoder of the protocol in ``docs/wire-protocol.md``. Sans-IO.

Samples that arrive before the patch has described itself (HELLO) are **held back**, up to a limit, while the decoder
requests a HELLO: a wrong rate or scale would spoil the results, a late sample would not. The description releases
them. The index in every DATA frame makes the loss exact; its boot byte tells a late frame from a restarted patch.

A patch that keeps its newest samples (``Hello.ring_samples``) is asked to resend what is missing, and later samples
wait until the hole is closed or given up (``decoding/backfill.py``); for every other patch nothing waits.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace

from firmware_bridge.decoding.backfill import Backfill, Frame, without_first
from firmware_bridge.decoding.options import usable_rate
from firmware_bridge.decoding.patch_clock import NS, WRAP, Line, signed, unwrapped
from firmware_bridge.decoding.patch_events import (
    announcement,
    discarded,
    estimate_event,
    hello_event,
    rate_refusal,
    refusal,
    unplaced,
    version_refusal,
    wanted_version,
)
from firmware_bridge.decoding.patch_profile import PROFILE
from firmware_bridge.devices import Device, Write
from firmware_bridge.items import DATA_CHANNEL, hole_bytes
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock
from firmware_bridge.wire.framing import FrameDecoder, FrameError
from firmware_bridge.wire.messages import (
    SUPPORTED,
    Ack,
    AckCode,
    Data,
    Flags,
    Header,
    Hello,
    HelloRequest,
    Malformed,
    Message,
    MessageType,
    PatchEstimate,
    Start,
    Status,
    UnknownType,
    WrongVersion,
    decode,
    encode,
)

HELD_MAX = 512
"""DATA frames held while HELLO is missing: at most 130 KB."""
ASK_EVERY = 64
"""Held frames between two requests for HELLO (a request may be lost)."""
OLD_WINDOW = 4096
"""A frame at most this many samples behind is late or a duplicate and is dropped; further behind: a restart."""
OLD_RUN_MAX = 8
"""Consecutive frames behind the stream after which they are not late: the patch restarted."""
RATES_MAX = 4
"""Impossible sampling rates that are reported on one connection, at most."""
WRITES_MAX = 16
"""Commands that wait to be sent, at most: a patch could cause any number of them."""


class PatchDecoder:
    """One session with one patch, over any number of connections and restarts."""

    def __init__(self) -> None:
        self._frames = FrameDecoder()
        self._hello: Hello | None = None
        self._announced = self._inferred = self._streaming = False
        self._held: deque[tuple[Header, Data, int]] = deque()
        self._since_ask = 0
        self._expected: int | None = None
        self._ahead = Backfill()
        self._line: Line | None = None
        self._seq: int | None = None
        self._old_run = (0, -1)
        self._versions: set[int] = set()
        self._rates: set[float] = set()
        self._writes: list[Write] = []
        self._count: Counter[str] = Counter()

    def feed(self, data: bytes, arrival_ns: int, channel: str = DATA_CHANNEL) -> list[LinkItem]:
        """Decode received bytes; return blocks and events in order. Never raises."""
        if channel != DATA_CHANNEL:
            self._count["foreign_channel_bytes"] += len(data)
            return []
        out: list[LinkItem] = []
        for item in self._frames.feed(data):
            if isinstance(item, FrameError):
                out.append(discarded(item, arrival_ns))
            else:
                out += self._frame(item, arrival_ns)
        del self._writes[WRITES_MAX:]
        return out

    def link(self, event: LinkEvent) -> list[LinkItem]:
        """Handle an event of the transport."""
        out: list[LinkItem] = []
        hole = hole_bytes(event) is not None
        if event.kind is LinkEventKind.CONNECTED:
            self._announced = self._streaming = False
            self._ahead.forget_requests()
            self._versions.clear()
            self._rates.clear()
            # The leading delimiter closes whatever the patch's own decoder holds.
            self._writes = [Write(b"\x00" + encode(HelloRequest()))]
        elif hole or event.kind in {LinkEventKind.DISCONNECTED, LinkEventKind.STALLED, LinkEventKind.END}:
            # In a hole, two halves must not become one frame; the index of the next one shows what is missing.
            cut, why = self._frames.reset(), "damaged recording" if hole else "connection ended"
            out += [discarded(e, event.arrival_ns, why) for e in cut if isinstance(e, FrameError)]
        if event.kind is LinkEventKind.END:
            out += self._give_up_all(event.arrival_ns)
        if event.kind is LinkEventKind.END and self._held:
            missed = sum(len(data.samples) for _header, data, _arrival in self._held)
            self._held.clear()
            self._count["unplaced_samples"] += missed
            out.append(unplaced(missed, event.arrival_ns))
        return out

    def writes(self) -> list[Write]:
        """Return the pending writes and clear them."""
        out, self._writes = self._writes, []
        return out

    def counters(self) -> dict[str, int]:
        """Return the counters since the decoder was created; counters that are zero are absent."""
        framing = {
            "frames": self._frames.frames,
            "corrupt_frames": self._frames.errors,
            "corrupt_bytes": self._frames.error_bytes,
        }
        return framing | dict(self._count)

    def _frame(self, body: bytes, arrival_ns: int) -> list[LinkItem]:
        result = decode(body)
        if isinstance(result, tuple):
            return self._message(*result, arrival_ns)
        if isinstance(result, UnknownType):
            self._count["unknown_types"] += 1
            return []
        if isinstance(result, Malformed):
            self._count["malformed"] += 1
            data: dict[str, object] = {"bytes": len(body), "fault": "malformed"}
            return [LinkEvent(LinkEventKind.CORRUPT, arrival_ns, f"a message {result.reason}", data)]
        self._count["other_version"] += 1
        return self._refuse_version(result, arrival_ns)

    def _refuse_version(self, wrong: WrongVersion, arrival_ns: int) -> list[LinkItem]:
        if wrong.version in self._versions:
            return []
        self._versions.add(wrong.version)
        return [version_refusal(wrong, arrival_ns)]

    def _refuse_rate(self, hello: Hello, arrival_ns: int) -> list[LinkItem]:
        """Refuse a description; the one before stays valid, and samples wait for a better one."""
        self._count["refused_hellos"] += 1
        if hello.fs_hz in self._rates or len(self._rates) >= RATES_MAX:
            return []
        self._rates.add(hello.fs_hz)
        return [rate_refusal(hello, arrival_ns)]

    def _message(self, header: Header, message: Message, arrival_ns: int) -> list[LinkItem]:
        if isinstance(message, Data):
            return self._data(header, message, arrival_ns)
        if isinstance(message, Hello):
            return self._described(header, message, arrival_ns)
        if isinstance(message, Status):
            self._sequence(header)
            data: dict[str, object] = {
                "battery_percent": message.battery_percent,
                "battery_mv": message.battery_mv,
                "firmware_dropped_frames": message.dropped,
            }
            level = "unknown" if message.battery_percent is None else f"{message.battery_percent} %"
            return [LinkEvent(LinkEventKind.INFO, arrival_ns, f"battery {level}", data)]
        if isinstance(message, PatchEstimate):
            self._sequence(header)
            return self._estimated(message, arrival_ns)
        if isinstance(message, Ack):
            self._sequence(header)
            return [*refusal(message, arrival_ns), *self._answered(message, arrival_ns)]
        self._count["echoed"] += 1  # a host's message received back: the line echoes
        return []

    def _described(self, header: Header, hello: Hello, arrival_ns: int) -> list[LinkItem]:
        out: list[LinkItem] = []
        if hello.proto_min > SUPPORTED[1] or hello.proto_max < SUPPORTED[0]:
            return self._refuse_version(WrongVersion(hello.proto_min), arrival_ns)
        if not usable_rate(hello.fs_hz):
            return self._refuse_rate(hello, arrival_ns)
        known = self._hello
        same_boot = known is not None and (
            # One boot id in 256 shares its low byte: then the index revealed the restart before this HELLO.
            known.boot_id == hello.boot_id or (self._inferred and known.boot_id & 0xFF == hello.boot_id & 0xFF)
        )
        if known is not None and (not same_boot or _settings(known) != _settings(hello)):
            out += self._give_up_all(arrival_ns)
        if known is not None and not same_boot:
            out.append(self._restart(arrival_ns, "the patch restarted", expected=0))
            self._seq = None
        elif known is not None and _settings(known) != _settings(hello):
            out.append(self._restart(arrival_ns, "the patch changed its settings", expected=self._expected))
        self._hello, self._inferred = hello, False
        self._sequence(header)
        if known is None:
            first = next((data.index for _h, data, _a in self._held if _of(data, hello)), hello.index)
            self._expected = first
        if not self._announced or out:
            out += [hello_event(hello, arrival_ns), *announcement(hello, arrival_ns)]
            self._announced = True
        out += self._release()
        if not self._streaming:
            # Also the retry after a lost START: an idle patch sends HELLO once a second.
            self._writes.append(Write(encode(Start(wanted_version(hello, SUPPORTED[1])))))
        return out

    def _estimated(self, message: PatchEstimate, arrival_ns: int) -> list[LinkItem]:
        """Return an estimate of the patch; without its description nobody knows of which model it is."""
        hello = self._hello
        if hello is None or hello.model is None or message.boot != hello.boot_id & 0xFF:
            self._count["unplaced_estimates"] += 1
            return []
        self._streaming = self._streaming or not hello.model.samples
        self._count["estimates"] += 1
        expected = self._expected if hello.model.samples else None
        behind = None if expected is None else max(signed(expected - message.index), 0)
        return [estimate_event(message, hello, behind, arrival_ns)]

    def _release(self) -> list[LinkItem]:
        out: list[LinkItem] = []
        held, self._held, self._since_ask = self._held, deque(), 0
        for header, data, arrival_ns in held:
            if self._hello is not None and _of(data, self._hello):
                out += self._place(header, data, arrival_ns, self._hello)
            else:
                self._count["unplaced_samples"] += len(data.samples)
        return out

    def _data(self, header: Header, data: Data, arrival_ns: int) -> list[LinkItem]:
        if self._hello is not None and _of(data, self._hello):
            return self._place(header, data, arrival_ns, self._hello)
        out: list[LinkItem] = []
        if self._since_ask % ASK_EVERY == 0:
            self._writes.append(Write(encode(HelloRequest())))
        if self._since_ask == 0:
            detail = "the patch has not described itself yet: samples are held back and HELLO was requested"
            out.append(LinkEvent(LinkEventKind.INFO, arrival_ns, detail, {"hello_missing": True}))
        self._since_ask += 1
        self._held.append((header, data, arrival_ns))
        if len(self._held) > HELD_MAX:
            self._count["unplaced_samples"] += len(self._held.popleft()[1].samples)
        return out

    def _place(self, header: Header, data: Data, arrival_ns: int, hello: Hello) -> list[LinkItem]:
        out: list[LinkItem] = []
        expected = data.index if self._expected is None else self._expected
        resent = Flags.RESENT in header.flags and hello.ring_samples > 0
        lost = signed(data.index - expected)
        if lost < 0 and resent and lost + len(data.samples) > 0:
            header, data = without_first(header, data, -lost, hello)
            lost = 0
        elif lost < 0:
            if resent or self._is_old(data, -lost):
                self._count["old_frames"] += 1
                return self._proceed(arrival_ns, hello)
            out += self._give_up_all(arrival_ns)
            out.append(self._restart(arrival_ns, "the patch restarted its sample count", expected=None))
            self._inferred = True
            expected, lost = data.index, 0
        self._old_run = (0, -1)
        self._streaming = True
        self._expected = expected
        frame = Frame(header, data, arrival_ns, self._sequence(header))
        if resent:
            self._ahead.progress(arrival_ns)
        if not hello.ring_samples or (lost == 0 and not self._ahead):
            return [*out, *self._emit(expected + lost, frame, hello)]
        if not self._ahead.put(expected + lost, frame):
            self._count["old_frames"] += 1
        return [*out, *self._proceed(arrival_ns, hello)]

    def _proceed(self, arrival_ns: int, hello: Hello) -> list[LinkItem]:
        """Return the frames that need not wait any longer; request what is missing before the rest."""
        out: list[LinkItem] = []
        while self._ahead and self._expected is not None:
            taken = self._ahead.take(self._expected)
            if taken is None:
                request = self._ahead.wanted(self._expected, hello.ring_samples, arrival_ns)
                if request is not None:
                    self._writes.append(Write(encode(request)))
                    self._count["resend_requests"] += 1
                taken = self._ahead.take(self._expected)
            if taken is None:
                break
            index, frame = taken
            if Flags.RESENT not in frame.header.flags:
                self._ahead.forget_requests()
            behind = self._expected - index
            if behind >= len(frame.data.samples):
                self._count["old_frames"] += 1
                continue
            if behind > 0:
                header, data = without_first(frame.header, frame.data, behind, hello)
                index, frame = self._expected, replace(frame, header=header, data=data)
            out += self._emit(index, frame, hello)
        if not self._ahead:
            self._ahead.forget_requests()
        return out

    def _answered(self, ack: Ack, arrival_ns: int) -> list[LinkItem]:
        if ack.command != MessageType.RESEND or self._hello is None or self._expected is None:
            return []
        if ack.code == AckCode.OK and ack.index is not None:
            self._ahead.gone_before(self._expected + signed(ack.index - self._expected))
        elif ack.code != AckCode.BUSY:
            self._ahead.give_up()
        return self._proceed(arrival_ns, self._hello)

    def _give_up_all(self, arrival_ns: int) -> list[LinkItem]:
        """Return everything that waits, with the gaps in it: nothing more will arrive."""
        out: list[LinkItem] = []
        if self._ahead and self._hello is not None:
            self._ahead.give_up(everything=True)
            out = self._proceed(arrival_ns, self._hello)
        self._ahead.clear()
        return out

    def _emit(self, index: int, frame: Frame, hello: Hello) -> list[LinkItem]:
        out: list[LinkItem] = []
        expected = index if self._expected is None else self._expected
        header, data, lost = frame.header, frame.data, index - expected
        tick = unwrapped(self._line, index, header.tick, frame.arrival_ns, hello)
        if tick is None:
            out.append(self._restart(frame.arrival_ns, "the clock of the patch jumped", expected=expected))
            self._streaming = True
            tick = header.tick
        count = len(data.samples)
        resent = Flags.RESENT in header.flags
        self._line = (index, tick, frame.arrival_ns)
        self._expected = index + count
        self._count["data_frames"] += 1
        self._count["samples"] += count
        self._count["lost_samples"] += lost
        self._count["resent_samples"] += count if resent else 0
        self._count["overruns"] += Flags.OVERRUN in header.flags
        self._count["saturated_frames"] += Flags.SATURATED in header.flags
        out.append(
            SampleBlock(
                samples=data.samples,
                unit="counts",
                lsb_mv=hello.lsb_mv,
                fs_hz=hello.fs_hz,
                device_time_ns=tick * NS // hello.tick_hz + (count - 1) * NS * hello.fs_den // hello.fs_num,
                arrival_ns=frame.arrival_ns,
                seq=frame.seq,
                lost=lost,
                lead_off=Flags.LEAD_OFF in header.flags,
                resent=resent,
            )
        )
        return out

    def _is_old(self, data: Data, behind: int) -> bool:
        run, follows = self._old_run
        run = run + 1 if data.index == follows else 1
        self._old_run = (run, (data.index + len(data.samples)) % WRAP)
        return behind <= OLD_WINDOW and run < OLD_RUN_MAX

    def _sequence(self, header: Header) -> int:
        step = 1 if self._seq is None else (header.seq - self._seq) % (1 << 16)
        if self._seq is None:
            self._seq = header.seq
        elif 0 < step < 1 << 15:
            self._count["lost_frames"] += step - 1
            self._seq += step
        return self._seq

    def _restart(self, arrival_ns: int, detail: str, expected: int | None) -> LinkEvent:
        self._count["restarts"] += 1
        self._expected, self._line, self._old_run, self._streaming = expected, None, (0, -1), False
        return LinkEvent(LinkEventKind.RESTARTED, arrival_ns, detail)


def _of(data: Data, hello: Hello) -> bool:
    return data.boot == hello.boot_id & 0xFF


def _settings(hello: Hello) -> tuple[float, float | None, int]:
    return hello.fs_hz, hello.lsb_mv, hello.tick_hz


DEVICE = Device(profile=PROFILE, decoder=PatchDecoder)
"""Registration of this device; see ``firmware_bridge.devices``."""
