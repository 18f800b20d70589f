"""A patch that keeps its newest samples: lost ones are requested and resent in order, or counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle.reader import load_bundle
from edge.engine import Engine, SessionInfo
from edge.grid.timeline import Timeline
from edge.model import load_model
from firmware_bridge.decoding.backfill import ASKS_MAX, HOLD_FRAMES_MAX
from firmware_bridge.devices.anyecg_patch import PatchDecoder
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.virtual.ecg import RecordingSignal
from firmware_bridge.virtual.faults import FaultSchedule
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from firmware_bridge.wire.framing import FrameDecoder, encode_frame
from firmware_bridge.wire.messages import (
    PROTOCOL,
    Ack,
    AckCode,
    Data,
    Flags,
    Header,
    Hello,
    MessageType,
    Resend,
    Start,
    decode,
    encode,
)

TRACE = np.random.default_rng(6).integers(-2000, 2000, 5000) / 1000.0
BOOT, N, TICKS = 0x1234_5678, 25, 32_768
S = 1_000_000_000


def session(faults="", seconds=60.0, seed=1, upstream_loss=0.0, **config):
    """Run a session of a patch with a ring and a decoder; return both, the items, and what crossed the link."""
    config = {"ring_s": 60.0} | config
    patch = VirtualPatch(RecordingSignal(TRACE, loop=True), PatchConfig(**config), FaultSchedule.parse(faults), seed)
    decoder, items, crossed = PatchDecoder(), [], []
    rng = np.random.default_rng(seed)

    def take(item):
        crossed.append(item)
        items.extend(decoder.link(item) if isinstance(item, LinkEvent) else decoder.feed(*item))
        for write in decoder.writes():
            if rng.random() >= upstream_loss:
                patch.receive(write.data)

    take(LinkEvent(LinkEventKind.CONNECTED, 0))
    while patch.time_s < seconds:
        for emission in patch.advance(patch.time_s + patch.slot_s * 1.5):
            at = round(emission.time_s * 1e9)
            if emission.up is None:
                take((emission.data, at))
            else:
                take(LinkEvent(LinkEventKind.CONNECTED if emission.up else LinkEventKind.DISCONNECTED, at))
    take(LinkEvent(LinkEventKind.END, round(patch.time_s * 1e9)))
    return patch, decoder, items, crossed


def blocks(items):
    return [item for item in items if isinstance(item, SampleBlock)]


def placed(items):
    """Samples by their index since the first HELLO; missing ones are absent."""
    at, out = 0, {}
    for block in blocks(items):
        at += block.lost
        out.update(zip(range(at, at + len(block)), block.samples.tolist(), strict=True))
        at += len(block)
    return out


def assert_true(items):
    """Check that every sample has its place and time."""
    want = np.rint(TRACE * 1000).astype(int)
    for place, value in placed(items).items():
        assert value == want[place % len(want)]
    times = [block.device_time_ns for block in blocks(items)]
    index = np.cumsum([len(block) + block.lost for block in blocks(items)])
    assert np.allclose(np.diff(times), np.diff(index) * 4e6, atol=70_000)


@pytest.mark.parametrize(
    ("faults", "lossy"),
    [
        ("unplug@20:10", False),
        ("unplug@5:3;unplug@20:0.3;unplug@22:1", False),
        ("drop=0.1", False),
        ("corrupt=0.1;noise=0.1", False),
        ("late=0.2;double=0.2", False),
        ("stall@20:5", False),
        ("drop=0.05;corrupt=0.05;late=0.1;double=0.1;unplug@20:4", True),
    ],
)
def test_nothing_is_lost(faults, lossy):
    patch, decoder, items, _crossed = session(faults, seconds=80.0, upstream_loss=0.2 if lossy else 0.0)
    assert_true(items)
    counted = decoder.counters()
    assert counted["lost_samples"] <= 10 * N  # a hole open at the end cannot be closed
    assert counted["resent_samples"] > 0 or "late" in faults
    assert len(placed(items)) >= patch.account()["samples_made"] - 40 * N
    assert not any(b.lost for b in blocks(items)[:-60])


def test_a_disconnection_longer_than_the_ring_loses_only_the_excess():
    _patch, decoder, items, _crossed = session("unplug@20:40", seconds=90.0, ring_s=15.0)
    assert_true(items)
    counted = decoder.counters()
    assert [b.lost for b in blocks(items) if b.lost] == [counted["lost_samples"]]
    # 40 s offline, 15 s kept, and a little more is dropped while the answer is on its way.
    assert 25 * 250 <= counted["lost_samples"] <= 28 * 250


def test_a_restart_releases_waiting_frames_and_loses_only_the_hole():
    _patch, decoder, items, _crossed = session("unplug@20:5;restart@26:1", seconds=40.0)
    kinds = [item.kind for item in items if isinstance(item, LinkEvent)]
    assert kinds.count(LinkEventKind.RESTARTED) == 1
    assert decoder.counters()["resent_samples"] > 0


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0, 0.3),
    st.floats(0, 0.2),
    st.floats(0, 0.5),
    st.lists(st.tuples(st.sampled_from(["unplug", "stall"]), st.integers(1, 40), st.integers(1, 6)), max_size=3),
    st.sampled_from([0.5, 5.0, 60.0]),
    st.integers(0, 30_000),
)
def test_any_faults_every_sample_is_at_its_place_or_counted(seed, drop, late, upstream, spans, ring_s, before):
    text = f"drop={drop};late={late};double=0.05;corrupt=0.02;" + ";".join(f"{k}@{a}:{n}" for k, a, n in spans)
    patch, decoder, items, _crossed = session(
        text, seconds=50.0, seed=seed, upstream_loss=upstream, ring_s=ring_s, index_start=2**32 - before // 8
    )
    want = np.rint(TRACE * 1000).astype(int)
    first = next((i for i in items if getattr(i, "kind", None) is LinkEventKind.HELLO), None)
    if first is None:
        return
    got = placed(items)
    assert all(value == want[place % len(want)] for place, value in got.items())
    counted, truth = decoder.counters(), patch.account()
    assert (
        counted.get("samples", 0) + counted.get("lost_samples", 0) + truth["unknowable_samples"]
        == (truth["samples_made"])
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 400))
def test_any_split_and_a_replay_give_the_same_items(seed, longest):
    rng = np.random.default_rng(seed)
    _patch, _decoder, want, crossed = session("corrupt=0.1;unplug@6:2;late=0.1;drop=0.1", seconds=15.0, seed=seed)
    decoder, got = PatchDecoder(), []
    for item in crossed:
        if isinstance(item, LinkEvent):
            got += decoder.link(item)
            continue
        data, at = item
        while data:  # a frame arrives with its last byte, and the pieces keep that time
            step = int(rng.integers(1, longest + 1))
            got += decoder.feed(data[:step], at)
            data = data[step:]
    assert [simple(item) for item in got] == [simple(item) for item in want]


def simple(item):
    if isinstance(item, SampleBlock):
        fields = (item.device_time_ns, item.arrival_ns, item.seq, item.lost, item.lead_off, item.resent)
        return item.samples.tobytes(), *fields
    return item.kind, item.arrival_ns, item.detail, dict(item.data)


def hello(ring=10_000, boot=BOOT, **changes):
    return encode(Hello(boot, **({"tick_hz": TICKS, "fs_num": 250, "ring_samples": ring} | changes)))


def data(index, *, n=N, flags=Flags.NONE, seq=0):
    samples = np.arange(index, index + n).astype(np.int16).astype(np.int32)
    return encode(Data(index, BOOT & 0xFF, samples), Header(flags=flags, seq=seq, tick=round(index * TICKS / 250)))


def commands(decoder):
    return [decode(body)[1] for write in decoder.writes() for body in FrameDecoder().feed(write.data)]


@pytest.fixture
def decoder():
    made = PatchDecoder()
    made.feed(hello() + data(0), 0)
    assert commands(made) == [Start()]
    return made


def test_frames_wait_for_the_hole_before_them(decoder):
    assert decoder.feed(data(3 * N) + data(5 * N), 1) == []
    assert commands(decoder) == [Resend(N, 2 * N)]
    got = blocks(decoder.feed(data(N, flags=Flags.RESENT) + data(2 * N, flags=Flags.RESENT), 2))
    assert [(b.samples[0], b.lost, b.resent, b.arrival_ns) for b in got] == [
        (N, 0, True, 2),
        (2 * N, 0, True, 2),
        (3 * N, 0, False, 1),
    ]
    assert commands(decoder) == [Resend(4 * N, N)]
    assert [b.samples[0] for b in blocks(decoder.feed(data(4 * N, flags=Flags.RESENT), 3))] == [4 * N, 5 * N]
    assert decoder.counters()["lost_samples"] == 0


def test_a_patch_without_a_ring_is_never_asked_and_nothing_waits():
    decoder = PatchDecoder()
    decoder.feed(hello(ring=0) + data(0), 0)
    commands(decoder)
    assert [b.lost for b in blocks(decoder.feed(data(3 * N), 1))] == [2 * N]
    assert commands(decoder) == []


def test_the_answer_reports_missing_samples(decoder):
    decoder.feed(data(10 * N), 1)
    commands(decoder)
    assert decoder.feed(encode(Ack(MessageType.RESEND, AckCode.OK, index=4 * N)), 2) == []
    got = blocks(decoder.feed(b"".join(data(k * N, flags=Flags.RESENT) for k in range(4, 10)), 3))
    assert [b.lost for b in got] == [3 * N, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("answer", [{"code": AckCode.OK, "index": 10 * N}, {"code": AckCode.UNSUPPORTED}])
def test_an_answer_without_hope_releases_at_once(decoder, answer):
    decoder.feed(data(10 * N), 1)
    got = blocks(decoder.feed(encode(Ack(MessageType.RESEND, **answer)), 2))
    assert [b.lost for b in got] == [9 * N]


def test_silence_is_asked_again_then_given_up(decoder):
    out, asked = [], 0
    for k in range(3, 200):
        out += blocks(decoder.feed(data(k * N), k * S // 10))
        asked += len(commands(decoder))
        if out:
            break
    assert asked == ASKS_MAX
    assert k - 3 == 10 * ASKS_MAX
    assert [b.lost for b in out] == [2 * N] + [0] * (k - 3)


def test_memory_is_bounded_if_the_patch_answers_too_slowly(decoder):
    out = []
    for k in range(HOLD_FRAMES_MAX + 10):
        out += blocks(decoder.feed(data((k + 200) * N), k))
    assert out[0].lost == 199 * N
    assert len(out) == HOLD_FRAMES_MAX + 10


def test_it_requests_only_what_the_ring_can_hold(decoder):
    assert decoder.feed(data(2**30), 1) == []
    assert commands(decoder) == [Resend(2**30 + N - 10_000, 10_000 - N)]
    small = PatchDecoder()
    small.feed(hello(ring=N) + data(0), 0)
    commands(small)
    assert [b.lost for b in blocks(small.feed(data(4 * N), 1))] == [3 * N]
    assert commands(small) == []


def test_frames_cut_differently_are_cut_to_fit(decoder):
    decoder.feed(data(4 * N), 1)
    resent = data(10, n=50, flags=Flags.RESENT) + data(60, n=60, flags=Flags.RESENT)
    got = blocks(decoder.feed(resent, 2))
    assert np.concatenate([b.samples for b in got]).tolist() == list(range(N, 5 * N))
    assert [b.lost for b in got] == [0, 0, 0]
    ends = N + np.cumsum([len(b) for b in got]) - 1
    assert [b.device_time_ns for b in got] == pytest.approx((ends * 4_000_000).tolist(), abs=62_000)


def test_frames_that_wait_and_are_resent_are_returned_once(decoder):
    decoder.feed(data(3 * N), 1)
    got = blocks(decoder.feed(data(N, n=4 * N, flags=Flags.RESENT), 2))
    assert [(b.samples[0], len(b)) for b in got] == [(N, 4 * N)]
    assert decoder.counters()["old_frames"] == 1


def test_it_waits_for_a_busy_patch(decoder):
    decoder.feed(data(3 * N), 1)
    assert blocks(decoder.feed(encode(Ack(MessageType.RESEND, AckCode.BUSY)), 2)) == []


def test_a_restart_releases_waiting_frames_first(decoder):
    """By HELLO, and by an index far behind; what was gone before does not apply to the new count."""
    decoder.feed(data(3 * N), 1)
    items = decoder.feed(hello(boot=BOOT + 1), 2)
    assert [getattr(item, "kind", "block") for item in items] == ["block", "restarted", "hello"]
    again = PatchDecoder()
    again.feed(hello(index=1_000_000) + data(1_000_000) + data(1_000_000 + 3 * N), 1)
    items = again.feed(data(0), 2)
    assert [getattr(item, "kind", "block") for item in items] == ["block", "restarted", "block"]
    assert [b.lost for b in blocks(items)] == [2 * N, 0]
    commands(again)
    assert again.feed(data(2 * N), 3) == []
    assert commands(again) == [Resend(N, N)]


def test_after_a_reconnection_it_is_asked_for_again(decoder):
    decoder.feed(data(3 * N), 1)
    assert commands(decoder) == [Resend(N, 2 * N)]
    decoder.link(LinkEvent(LinkEventKind.DISCONNECTED, 2))
    decoder.link(LinkEvent(LinkEventKind.CONNECTED, 3))
    commands(decoder)
    assert blocks(decoder.feed(hello(index=4 * N) + data(4 * N), 4)) == []
    assert commands(decoder) == [Start(), Resend(N, 2 * N)]
    got = blocks(decoder.feed(data(N, flags=Flags.RESENT) + data(2 * N, flags=Flags.RESENT), 5))
    assert [b.samples[0] for b in got] == [N, 2 * N, 3 * N, 4 * N]


def test_the_end_releases_everything(decoder):
    decoder.feed(data(3 * N) + data(5 * N), 1)
    assert [b.lost for b in blocks(decoder.link(LinkEvent(LinkEventKind.END, 2)))] == [2 * N, N]


def test_a_run_of_resent_frames_is_not_a_restart(decoder):
    items = decoder.feed(b"".join(data(k * N) for k in range(1, 20)), 1)
    items += decoder.feed(b"".join(data(k * N, flags=Flags.RESENT) for k in range(20)), 2)
    assert not [i for i in items if isinstance(i, LinkEvent)]
    assert decoder.counters()["old_frames"] == 20


@pytest.mark.parametrize(("away_s", "stalls"), [(8, False), (25, True)])
def test_estimates_continue_without_a_gap(monkeypatch, away_s, stalls):
    """One answer per hop, in order; only that beyond the stall limit report silence, none a gap or warm-up."""
    monkeypatch.setattr(f"{__name__}.TRACE", np.asarray(EcgSynth(EcgParams(), 1).generate(120 * 250, 250.0)))
    _patch, _decoder, items, _crossed = session(f"unplug@30:{away_s}", seconds=100.0)
    bundle = load_bundle("demo")
    engine = Engine(bundle, load_model(bundle), SessionInfo("s", "d", lambda ns: ns, lambda: False, stalls=True))
    estimates = [estimate for item in items for estimate in engine.push(item).estimates]
    # The first 15 s of silence have one answer, just before 45 s; nobody knew that their samples would still come.
    hops = [*range(1, 30), 45, *range(45, 99)] if stalls else list(range(1, 99))
    assert [round(estimate.window.end_s) for estimate in estimates] == hops
    reasons = [estimate.abstained for estimate in estimates]
    assert set(reasons[:11]) == {"warming_up"}
    assert set(reasons[11:]) == ({None, "stalled"} if stalls else {None})
    assert reasons.count("stalled") <= away_s + 3
    assert (engine.timeline.lost_samples, engine.timeline.segments) == (0, 1)


def test_late_resent_samples_move_no_clock():
    """A resent minute: the host time of a sample stays that of the frames that arrived at once."""
    _patch, _decoder, items, _crossed = session("unplug@30:50", seconds=140.0, ring_s=60.0)
    timeline, mapped = Timeline(250), []
    for item in items:
        timeline.push(item)
        if isinstance(item, SampleBlock):
            mapped.append(timeline.host_clock.offset_ns)
    assert sum(block.resent for block in blocks(items)) > 450
    assert max(mapped) - min(mapped) < 1_000_000
    assert (timeline.host_clock.reanchored, timeline.lost_samples, timeline.segments) == (0, 0, 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, 2, 2, 4]), st.sampled_from([0, 8]), st.integers(0, 400), st.integers(1, 30)),
        max_size=60,
    )
)
def test_valid_frames_in_any_order_never_raise_or_go_back(parts):
    decoder, items = PatchDecoder(), []
    items += decoder.feed(hello(ring=2000), 0)
    for at, (kind, flags, index, n) in enumerate(parts):
        if kind == 1:
            items += decoder.feed(hello(ring=index * 10), at * S // 3)
        elif kind == 2:
            items += decoder.feed(data(index * 10, n=n, flags=Flags(flags)), at * S // 3)
        else:
            answer = encode_frame(
                bytes((PROTOCOL, MessageType.ACK)) + bytes(7) + bytes((0x84, flags & 1)) + bytes(2)
                + (index * 10).to_bytes(4, "little")
            )  # fmt: skip
            items += decoder.feed(answer, at * S // 3)
        decoder.writes()
    items += decoder.link(LinkEvent(LinkEventKind.END, 10**12))
    if not any(getattr(i, "kind", None) is LinkEventKind.RESTARTED for i in items):
        for place, value in placed(items).items():
            assert np.int16(place) == value
