"""The whole wire from patch to decoder: exact counts under any faults, the same for any split, and no exception."""

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.devices.anyecg_patch import PatchDecoder
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.virtual.ecg import RecordingSignal
from firmware_bridge.virtual.faults import FaultSchedule
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from firmware_bridge.wire.framing import encode_frame
from firmware_bridge.wire.messages import PROTOCOL

RNG = np.random.default_rng(5)
TRACE = RNG.normal(0, 0.5, 5000)


def session(faults="", seconds=60.0, seed=1, **config):
    """Run a session of a patch and a decoder; return both, the items, and the chunks that crossed the link."""
    patch = VirtualPatch(RecordingSignal(TRACE, loop=True), PatchConfig(**config), FaultSchedule.parse(faults), seed)
    decoder, items, crossed = PatchDecoder(), [], []

    def take(item):
        crossed.append(item)
        if isinstance(item, LinkEvent):
            items.extend(decoder.link(item))
        else:
            items.extend(decoder.feed(*item))
        for write in decoder.writes():
            patch.receive(write.data)

    take(LinkEvent(LinkEventKind.CONNECTED, 0))
    while patch.time_s < seconds:
        for emission in patch.advance(patch.time_s + patch.slot_s * 1.5):
            at = round(emission.time_s * 1e9)
            if emission.up is None:
                take((emission.data, at))
            else:
                take(LinkEvent(LinkEventKind.CONNECTED if emission.up else LinkEventKind.DISCONNECTED, at))
    return patch, decoder, items, crossed


def account(items):
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    crc = 0
    for block in blocks:
        crc = zlib.crc32(block.samples.astype("<i4").tobytes(), crc)
    return {
        "delivered_frames": len(blocks),
        "delivered_samples": sum(len(block) for block in blocks),
        "delivered_crc32": crc,
        "lost_samples": sum(block.lost for block in blocks),
        "leadoff_samples": sum(len(block) for block in blocks if block.lead_off),
        "boots_heard": 1 + sum(getattr(item, "kind", None) is LinkEventKind.RESTARTED for item in items),
    }


def assert_exact(faults, **options):
    patch, decoder, items, _crossed = session(faults, **options)
    truth, got = patch.account(), account(items)
    if "drop" in faults or "corrupt" in faults or "late" in faults:
        truth.pop("leadoff_samples"), got.pop("leadoff_samples")
    assert {key: truth[key] for key in got} == got
    assert truth["samples_made"] == truth["delivered_samples"] + truth["lost_samples"] + truth["unknowable_samples"]
    assert decoder.counters().get("unplaced_samples", 0) == 0
    return truth


@pytest.mark.parametrize(
    "faults",
    [
        "",
        "drop=0.2",
        "corrupt=0.2",
        "late=0.2;double=0.2",
        "noise=0.3",
        "stall@5:3",
        "unplug@5:3;unplug@20:0.3",
        "leadoff@10:7",
        "restart@10;restart@30:4",
        "drop=0.1;corrupt=0.1;late=0.1;double=0.1;noise=0.1;restart@7/13;unplug@9:2/17;stall@4:1/11",
    ],
)
def test_everything_lost_is_counted_exactly(faults):
    truth = assert_exact(faults)
    assert truth["delivered_samples"] > 3000


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0, 0.4),
    st.floats(0, 0.3),
    st.floats(0, 0.3),
    st.lists(
        st.tuples(st.sampled_from(["restart", "unplug", "stall"]), st.integers(1, 50), st.integers(1, 6)), max_size=4
    ),
    st.sampled_from([125.0, 129.9, 250.0, 500.0, 1000.0]),
    st.sampled_from([16, 24]),
)
def test_any_faults_any_rate(seed, drop, corrupt, late, spans, fs_hz, bits):
    text = f"drop={drop};corrupt={corrupt};late={late};double=0.05;" + ";".join(f"{k}@{a}:{n}" for k, a, n in spans)
    assert_exact(text, seed=seed, fs_hz=fs_hz, sample_bits=bits, frame_s=0.2, seconds=60.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 40_000), st.integers(0, 2**31), st.integers(-300, 300))
def test_counters_near_their_wrap(before, seed, drift):
    assert_exact(
        f"drop=0.2;drift={drift};rate={drift}",
        seed=seed,
        index_start=2**32 - before // 8,
        tick_start=2**32 - before * 100,
        seconds=30.0,
    )


def test_device_time_follows_the_true_rate():
    _patch, _decoder, items, _crossed = session("rate=2500;drop=0.1", seconds=120.0)
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    index = np.cumsum([len(block) + block.lost for block in blocks])
    slope = np.polyfit(index, [block.device_time_ns for block in blocks], 1)[0]
    assert 1e9 / slope == pytest.approx(250 * 1.0025, rel=2e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 700))
def test_any_split_gives_the_same_items(seed, longest):
    rng = np.random.default_rng(seed)
    _patch, _decoder, want, crossed = session("corrupt=0.1;noise=0.1;restart@4;unplug@6:1;late=0.1", seconds=10.0)
    decoder, got = PatchDecoder(), []
    held = b""

    def flush():
        nonlocal held
        while held:
            step = int(rng.integers(1, longest + 1))
            got.extend(decoder.feed(held[:step], 0))
            held = held[step:]

    for item in crossed:
        if isinstance(item, LinkEvent):
            flush()
            got.extend(decoder.link(item))
        else:
            held += item[0]
    flush()
    assert [simple(item) for item in got] == [simple(item) for item in want]


def simple(item):
    if isinstance(item, SampleBlock):
        return (item.samples.tobytes(), item.device_time_ns, item.seq, item.lost, item.lead_off, item.lsb_mv)
    return (item.kind, item.detail, dict(item.data))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 9, 0x81]), st.binary(min_size=7, max_size=60)), max_size=30))
def test_valid_frames_with_any_content_never_raise(parts):
    decoder = PatchDecoder()
    for kind, rest in parts:
        decoder.feed(encode_frame(bytes((PROTOCOL, kind)) + rest), 0)
        decoder.writes()
    decoder.link(LinkEvent(LinkEventKind.END, 0))


def test_200k_random_bytes_in_bounded_memory():
    noise = RNG.integers(0, 256, 200_000, np.uint8).tobytes()
    decoder = PatchDecoder()
    decoder.feed(noise[:50_000], 0)
    tracemalloc.start()
    for at in range(0, len(noise), 997):
        decoder.feed(noise[at : at + 997], at)
    grown, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 100_000
    assert decoder.counters()["corrupt_frames"] > 500


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=1, max_size=400), st.integers(0, 400))
def test_garbage_between_frames_costs_at_most_the_frame_it_touches(noise, where):
    _patch, _decoder, want, crossed = session(seconds=3.0)
    stream = b"".join(item[0] for item in crossed if not isinstance(item, LinkEvent))
    at = min(where, len(stream))
    decoder = PatchDecoder()
    got = [
        item
        for piece in (stream[:at], noise, stream[at:])
        for item in decoder.feed(piece, 0)
        if isinstance(item, SampleBlock)
    ]
    blocks = [item for item in want if isinstance(item, SampleBlock)]
    assert len(got) >= len(blocks) - 1 - noise.count(0)
