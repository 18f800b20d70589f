"""The patch in C and the decoder in Python with faults between them: nothing that the ring still holds is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.devices.anyecg_patch import PatchDecoder
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.wire.framing import FrameDecoder
from firmware_bridge.wire.messages import (
    Ack,
    AckCode,
    Data,
    Flags,
    Hello,
    HelloRequest,
    Resend,
    SampleFormat,
    Start,
    Status,
    Stop,
    decode,
    encode,
)
from helpers.c_side import CSide

TICK_HZ, FS, N, BOOT = 32_768, 256, 25, 0x0102_0304
STEP = TICK_HZ // FS


@pytest.fixture(scope="module")
def c():
    made = CSide()
    yield made
    made.close()


class CPatch:
    """The C patch with a counter as its signal: sample k has the value k in its format."""

    def __init__(self, c, ring_frames: int = 0, sample_format: SampleFormat = SampleFormat.INT16, boot: int = BOOT):
        self._c = c
        self._width = sample_format.width
        assert c.ask(f"P {boot} {TICK_HZ} {FS} {N} {int(sample_format)} {ring_frames}") == "1"
        self.taken = 0
        self.sampling = False

    def value(self, index):
        top = 1 << 8 * self._width - 1
        return (np.asarray(index) * 7 + top) % (2 * top) - top

    def receive(self, data: bytes) -> None:
        self._c.ask(f"R {data.hex()}")

    def sample(self, count: int, flags: int = 0) -> None:
        values = " ".join(map(str, self.value(np.arange(self.taken, self.taken + count)).tolist()))
        self._c.ask(f"S {self.taken * STEP % 2**32} {STEP} {flags} {values}")
        self.taken += count

    def poll(self) -> bytes:
        return bytes.fromhex(self._c.ask(f"T {self.taken * STEP % 2**32}"))

    def link(self, *, up: bool) -> None:
        self._c.ask(f"L{int(up)}")

    def overrun(self, count: int) -> None:
        self._c.ask(f"O{count}")


def said(data: bytes) -> list:
    return [decode(body) for body in FrameDecoder().feed(data) if isinstance(body, bytes)]


def kinds(data: bytes) -> list:
    return [type(message) for _header, message in said(data)]


def test_it_introduces_itself_and_waits_for_start(c):
    patch = CPatch(c, ring_frames=10)
    first = patch.poll()
    assert first[0] == 0
    ((header, hello),) = said(first)
    assert (header.seq, hello.boot_id, hello.tick_hz, hello.fs_hz, hello.index) == (0, BOOT, TICK_HZ, FS, 0)
    assert (hello.ring_samples, dict(hello.texts)[1], hello.sample_bits) == (10 * N, "C patch", 16)
    patch.sample(2 * N)
    assert patch.poll() == b""
    patch.receive(encode(Start()))
    assert kinds(patch.poll()) == [Ack, Status]
    patch.sample(N)
    ((header, data),) = said(patch.poll())
    assert (data.index, data.boot, header.tick, header.flags) == (0, BOOT & 0xFF, 2 * N * STEP, 0)
    assert data.samples.tolist() == patch.value(np.arange(2 * N, 3 * N)).tolist()


def test_hello_comes_every_second_and_then_every_ten(c):
    patch = CPatch(c)
    patch.poll()
    assert sum(Hello in kinds((patch.sample(N), patch.poll())[1]) for _ in range(50)) in {4, 5}
    patch.receive(encode(Start()))
    assert sum(Hello in kinds((patch.sample(N), patch.poll())[1]) for _ in range(300)) in {2, 3}


def test_commands_are_answered(c):
    patch = CPatch(c)
    patch.poll()
    patch.receive(
        b"\x00noise\x00" + encode(Resend(1, 2)) + encode(Start(9)) + encode(Status(1, 1, 1, 1)) + encode(Stop())
    )
    assert [message for _header, message in said(patch.poll())] == [
        Ack(0x84, AckCode.UNSUPPORTED),
        Ack(0x82, AckCode.BAD_VERSION),
        Ack(0x83, AckCode.OK),
    ]
    patch.receive(encode(HelloRequest()))
    assert kinds(patch.poll()) == [Hello]


def test_resend_is_answered_in_every_case(c):
    patch = CPatch(c, ring_frames=4)
    patch.receive(encode(Resend(0, 5)) + encode(Start()))
    assert [m for _h, m in said(patch.poll()) if isinstance(m, Ack)] == [Ack(0x84, AckCode.BUSY), Ack(0x82, AckCode.OK)]
    for _ in range(10):
        patch.sample(N)
        patch.poll()
    cases = {
        (0, 0): Ack(0x84, AckCode.BAD_ARGUMENT),
        (9 * N, N + 1): Ack(0x84, AckCode.BAD_ARGUMENT),
        (10 * N, 1): Ack(0x84, AckCode.BAD_ARGUMENT),
        (2**31 + 1, 1): Ack(0x84, AckCode.BAD_ARGUMENT),
        (0, 3 * N): Ack(0x84, AckCode.OK, index=3 * N),
        (0, 7 * N): Ack(0x84, AckCode.OK, index=6 * N),
        (9 * N, N): Ack(0x84, AckCode.OK, index=9 * N),
        (7 * N + 3, 5): Ack(0x84, AckCode.OK, index=7 * N + 3),
    }
    for (index, count), want in cases.items():
        patch.receive(encode(Resend(index, count)))
        (answer, *again) = said(patch.poll())
        assert answer[1] == want, (index, count)
        assert not again or want.code == AckCode.OK
    again = [(h.flags, m.index) for h, m in said(patch.poll()) + list(again) if isinstance(m, Data)]
    assert again == [(Flags.RESENT, 7 * N)]  # whole frames: the host uses the samples that it lacks


def test_frames_are_resent_between_new_ones_with_their_own_tick_and_flags(c):
    patch = CPatch(c, ring_frames=20)
    patch.receive(encode(Start()))
    patch.sample(N, flags=int(Flags.LEAD_OFF))
    for _ in range(9):
        patch.sample(N)
    patch.poll()
    patch.receive(encode(Resend(0, 9 * N)))
    patch.poll()  # the burst of the frame just sent
    patch.sample(N)
    frames = [(h, m) for h, m in said(patch.poll()) if isinstance(m, Data)]
    assert [m.index // N for _h, m in frames] == [10, 4, 5, 6, 7]
    patch.receive(encode(Resend(0, N)))
    patch.sample(N)
    frames = [(h, m) for h, m in said(patch.poll()) if isinstance(m, Data)]
    assert [m.index // N for _h, m in frames] == [11, 0]
    header, data = frames[1]
    assert (header.flags, header.tick) == (Flags.RESENT | Flags.LEAD_OFF, 0)
    assert data.samples.tolist() == patch.value(np.arange(N)).tolist()


def streaming(c, ring_frames, frames) -> CPatch:
    """A patch that has sent ``frames`` frames."""
    patch = CPatch(c, ring_frames=ring_frames)
    patch.receive(encode(Start()))
    for _ in range(frames):
        patch.sample(N)
        patch.poll()
    return patch


def again(patch) -> list[int]:
    """Numbers of the frames that are resent with the next new one."""
    patch.sample(N)
    return [m.index // N for h, m in said(patch.poll()) if isinstance(m, Data) and h.flags & Flags.RESENT]


def test_a_request_from_within_a_frame_to_within_the_next(c):
    patch = streaming(c, 10, 10)
    patch.receive(encode(Resend(6 * N + 3, N - 1)))  # up to the second sample of the next
    assert again(patch) == [6, 7]


def test_frames_that_the_ring_drops_before_they_are_resent_are_skipped(c):
    patch = streaming(c, 4, 8)
    patch.receive(encode(Resend(4 * N, 2 * N)))
    patch.sample(N)  # drops frame 4
    assert again(patch) == []
    patch = streaming(c, 4, 8)
    patch.poll()
    patch.receive(encode(Resend(4 * N, 2 * N)))
    assert again(patch) == [5]


def test_a_new_link_knows_nothing_of_old_requests(c):
    patch = streaming(c, 10, 8)
    patch.receive(encode(Resend(0, 6 * N)))
    patch.link(up=False)
    assert patch.poll() == b""
    patch.link(up=True)
    assert said(patch.poll())[0][1].index == 8 * N  # HELLO
    patch.sample(N)
    assert patch.poll() == b""
    patch.receive(encode(Start()))
    assert again(patch) == []


def test_every_frame_has_the_next_number(c):
    patch = streaming(c, 10, 0)
    numbers = [h.seq for h, _m in said(patch.poll())]
    for _ in range(50):
        patch.sample(N)
        patch.receive(encode(Resend(0, N)) + encode(HelloRequest()))
        numbers += [h.seq for h, _m in said(patch.poll())]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 150


def test_an_overrun_is_counted_and_flagged(c):
    patch = CPatch(c)
    patch.receive(encode(Start()))
    patch.sample(10)
    patch.overrun(5)
    patch.taken += 5
    patch.poll()
    patch.sample(N)
    ((header, data),) = said(patch.poll())
    assert (header.flags, data.index) == (Flags.OVERRUN, 15)


def test_samples_that_do_not_fit_are_limited_and_flagged(c):
    patch = CPatch(c)
    patch.receive(encode(Start()))
    patch.poll()
    c.ask("S 0 1 0 " + " ".join(["40000"] * 13 + ["-40000"] * 12))
    ((header, data),) = said(patch.poll())
    assert header.flags == Flags.SATURATED
    assert set(data.samples.tolist()) == {32_767, -32_768}


def test_an_impossible_configuration_is_refused(c):
    assert c.ask(f"P 1 {TICK_HZ} {FS} 118 1 0") == "0"
    assert c.ask(f"P 1 {TICK_HZ} {FS} 79 2 0") == "0"
    assert c.ask(f"P 1 {TICK_HZ} 0 25 1 0") == "0"


def session(
    c, seconds, *, ring_frames, sample_format=SampleFormat.INT16, seed=1, loss=0.0, upstream=0.0, away=(), index=0
):
    """A session of the C patch and the decoder over a link that loses frames and disconnects."""
    patch, decoder, items, rng = CPatch(c, ring_frames, sample_format), PatchDecoder(), [], np.random.default_rng(seed)
    c.ask(f"I{index}")
    up = False
    for step in range(int(seconds * FS / N)):
        at_ns = step * N * 10**9 // FS
        here = not any(a <= step * N / FS < b for a, b in away)
        if here != up:
            up = here
            patch.link(up=up)
            kind = LinkEventKind.CONNECTED if up else LinkEventKind.DISCONNECTED
            items += decoder.link(LinkEvent(kind, at_ns))
        patch.sample(N)
        for frame in patch.poll().split(b"\x00"):
            if rng.random() >= loss:
                items += decoder.feed(frame + b"\x00", at_ns)
        for write in decoder.writes():
            if up and rng.random() >= upstream:
                patch.receive(write.data)
    items += decoder.link(LinkEvent(LinkEventKind.END, int(seconds * 1e9)))
    return patch, decoder, [item for item in items if isinstance(item, SampleBlock)]


def assert_placed(patch, blocks):
    at = 0
    for block in blocks:
        at += block.lost
        # Sampling began at START: the patch ignored everything before it.
        assert block.samples.tolist() == patch.value(np.arange(at, at + len(block)) + patch.before).tolist()
        assert block.device_time_ns == pytest.approx((at + patch.before + len(block) - 1) * 10**9 / FS, abs=40_000)
        at += len(block)


def before(blocks, patch) -> int:
    """Samples that the patch ignored before START, from the first value."""
    return next(k for k in range(5000) if patch.value(k) == blocks[0].samples[0])


@pytest.mark.parametrize("sample_format", list(SampleFormat))
@pytest.mark.parametrize(("loss", "upstream"), [(0.0, 0.0), (0.1, 0.1)])
def test_a_short_disconnection_loses_nothing(c, sample_format, loss, upstream):
    patch, decoder, blocks = session(
        c, 90, ring_frames=250, sample_format=sample_format, loss=loss, upstream=upstream, away=[(20, 35), (50, 51)]
    )
    patch.before = before(blocks, patch)
    assert_placed(patch, blocks)
    assert decoder.counters()["resent_samples"] >= 16 * FS - 2 * N
    assert not any(block.lost for block in blocks[:-80])


@pytest.mark.parametrize("ago", [1, 4000, 6000, 9000])
def test_the_index_may_wrap_in_the_ring(c, ago):
    patch, decoder, blocks = session(c, 60, ring_frames=150, loss=0.05, away=[(20, 30)], index=2**32 - ago)
    patch.before = before(blocks, patch)
    assert_placed(patch, blocks)
    assert decoder.counters()["resent_samples"] >= 10 * FS - N
    assert not any(block.lost for block in blocks[:-80])


def test_without_a_ring_the_loss_is_counted(c):
    patch, decoder, blocks = session(c, 40, ring_frames=0, away=[(20, 25)])
    patch.before = before(blocks, patch)
    assert_placed(patch, blocks)
    assert decoder.counters()["lost_samples"] == pytest.approx(5 * FS, abs=3 * N)
    assert "resend_requests" not in decoder.counters()


def test_a_disconnection_longer_than_the_ring_loses_only_the_excess(c):
    patch, decoder, blocks = session(c, 80, ring_frames=100, away=[(20, 50)])
    patch.before = before(blocks, patch)
    assert_placed(patch, blocks)
    gone = 30 * FS - 100 * N
    assert gone <= decoder.counters()["lost_samples"] <= gone + 10 * N


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
    st.sampled_from([0, 1, 3, 30, 200]),
    st.sampled_from(list(SampleFormat)),
    st.lists(st.tuples(st.integers(2, 30), st.integers(1, 8)), max_size=3),
)
def test_any_faults_every_sample_is_at_its_place(c, seed, loss, upstream, ring_frames, sample_format, gaps):
    patch, decoder, blocks = session(
        c, 40, ring_frames=ring_frames, sample_format=sample_format, seed=seed, loss=loss, upstream=upstream,
        away=[(a, a + n) for a, n in gaps],
    )  # fmt: skip
    if not blocks or blocks[0].lost:
        return
    patch.before = before(blocks, patch)
    assert_placed(patch, blocks)
    assert decoder.counters().get("restarts", 0) == 0
