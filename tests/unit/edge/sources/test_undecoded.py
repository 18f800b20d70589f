"""Bytes that no decoder understands: one warning, then joined events; decoded items are never hidden."""

from __future__ import annotations

import random

import numpy as np

from edge.sources.undecoded import Undecoded
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock

S = 1_000_000_000
HINT = "wrong baud rate or another device? /dev/ttyX is open at 9600 baud"


def corrupt(at_s: float, size: int = 10) -> LinkEvent:
    return LinkEvent(LinkEventKind.CORRUPT, round(at_s * S), "discarded", {"bytes": size})


def block() -> SampleBlock:
    return SampleBlock(np.zeros(5, np.int32), "counts", None, 250.0, None, 0)


def kinds(items: list) -> list[str]:
    return [str(i.kind) if isinstance(i, LinkEvent) else "block" for i in items]


def test_one_warning_and_then_joined_events() -> None:
    watch, out = Undecoded("AnyECG patch", HINT), []
    for tenth in range(1000):
        at_s = tenth / 10
        out += watch.bytes(100, round(at_s * S), [corrupt(at_s), corrupt(at_s)], lambda: 0)
    out += watch.link(LinkEvent(LinkEventKind.DISCONNECTED, 100 * S))
    warnings = [i for i in out if i.kind is LinkEventKind.INFO]
    assert [i.detail for i in warnings] == [f"bytes arrive but no frame of the AnyECG patch: {HINT}"]
    assert warnings[0].arrival_ns == 3 * S
    joined = [i for i in out if i.kind is LinkEventKind.CORRUPT and "frames" in i.data]
    assert len(joined) == 10
    single = [i for i in out if i.kind is LinkEventKind.CORRUPT and "frames" not in i.data]
    assert len(single) == 62
    # Nothing is hidden: the sum contains every event.
    assert len(single) + sum(i.data["frames"] for i in joined) == 2000
    assert 10 * len(single) + sum(i.data["bytes"] for i in joined) == 20_000


def test_any_valid_frame_resets_the_warning() -> None:
    hello = LinkEvent(LinkEventKind.HELLO, 0)
    for life in ([block()], [hello], None):
        watch, frames, out = Undecoded("patch", HINT), 0, []
        for second in range(60):
            items = [corrupt(second)]
            if second % 2 == 0:
                frames += life is None
                items += life or []
            out += watch.bytes(100, second * S, items, lambda frames=frames: frames)
        assert "info" not in kinds(out)


def test_the_warning_repeats_after_valid_frames() -> None:
    watch, out = Undecoded("patch", HINT), []
    for second in range(30):
        out += watch.bytes(100, second * S, [block()] if second == 15 else [corrupt(second)], lambda: 0)
    assert kinds(out).count("info") == 2
    assert kinds(out).count("block") == 1


def test_boot_text_and_a_little_noise_give_no_warning() -> None:
    watch, out = Undecoded("patch", HINT), []
    for second in range(30):
        out += watch.bytes(2, second * S, [], lambda: 0)
    assert out == []
    watch = Undecoded("patch", HINT)
    for second in range(100):
        out += watch.bytes(1000, second * S, [], lambda: 0)
        if second % 3 == 2:
            out += watch.link(LinkEvent(LinkEventKind.CONNECTED, second * S))
    assert out == []


def test_decoded_items_never_change() -> None:
    rng, watch = random.Random(4), Undecoded("patch", HINT)
    given, out = [], []
    for step in range(5000):
        at_ns = step * S // 7
        info = LinkEvent(LinkEventKind.INFO, at_ns, "battery", {"n": step})
        items = rng.choices([[corrupt(step / 7)], [block()], [info], []], [20, 0.05, 1, 5])[0]
        given += [i for i in items if not (isinstance(i, LinkEvent) and i.kind is LinkEventKind.CORRUPT)]
        out += watch.bytes(20, at_ns, items, lambda: 0)
    kept = [i for i in out if isinstance(i, SampleBlock) or (i.kind is LinkEventKind.INFO and "n" in i.data)]
    assert len(kept) == len(given)
    assert all(a is b for a, b in zip(kept, given, strict=True))
