"""Small blocks cost as little as large ones: what waits, for how long, and that no bit and no answer depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import numpy as np
import pytest

from edge.beats.chain import ChainFinder
from edge.chain import SignalChain
from edge.engine import GATHER_S, Engine, Output, SessionInfo
from edge.frontend.stream import GROUP_DELAY_S, PIECE, StreamFilter
from edge.grid.resample import Resampler
from edge.grid.timeline import Timeline
from edge.pipeline import GATHER_S as HAND_OVER_S
from edge.pipeline import Pipeline
from edge.session import Loaded, load
from edge.sources import SourceInfo
from firmware_bridge.samples import LinkEvent, LinkEventKind, LinkItem, SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

S = 10**9
SHAPES = pytest.mark.parametrize(
    ("fs_hz", "per_block", "clocked"),
    [(200.0, 2, False), (250.0, 1, False), (128.0, 8, True), (512.0, 8, True), (130.0, 73, True), (1000.0, 7, False)],
)


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load("demo", "litert-reference")


def engine(loaded: Loaded) -> Engine:
    session = SessionInfo("s", "d", lambda ns: ns, lambda: True, stalls=True)
    return Engine(loaded.bundle, loaded.model, session)


def blocks(fs_hz: float, per_block: int, seconds: float, *, clocked: bool) -> list[LinkItem]:
    ecg = (EcgSynth(EcgParams(), 5).generate(round(seconds * fs_hz), fs_hz) * 1000).astype(np.int32)
    out: list[LinkItem] = []
    for at in range(0, len(ecg) - per_block + 1, per_block):
        end_ns = round((at + per_block) / fs_hz * S)
        device_ns = round(end_ns * 1.002) if clocked else None
        out.append(SampleBlock(ecg[at : at + per_block], "counts", 1e-3, fs_hz, device_ns, end_ns))
    return out


def answers(eng: Engine, items: list[LinkItem]) -> tuple[list[tuple[int, object]], np.ndarray, list[float]]:
    """Return every estimate with the number of the item that it came with, the signal and the beats."""
    estimates: list[tuple[int, object]] = []
    shown, beats = [np.zeros(0)], []
    for k, item in enumerate(items):
        out = eng.push(item)
        for e in out.estimates:
            estimates.append((k, (e.window, e.quality, e.heart_rate_bpm, e.labs, e.abstained, e.time, e.lost_samples)))
        shown += [samples for _, samples in out.signal]
        beats += out.beats_s
    return estimates, np.concatenate(shown), beats


@SHAPES
def test_nothing_but_the_time_of_display_depends_on_gathering(
    loaded: Loaded, fs_hz: float, per_block: int, clocked: bool
) -> None:
    items = blocks(fs_hz, per_block, 26.0, clocked=clocked)
    rng = np.random.default_rng(per_block)
    for at in sorted(rng.integers(len(items) // 2, len(items), 6).tolist(), reverse=True):
        kind = (LinkEventKind.RESTARTED, LinkEventKind.DISCONNECTED, LinkEventKind.INFO)[at % 3]
        items.insert(at, LinkEvent(kind, items[at].arrival_ns))
    items.append(LinkEvent(LinkEventKind.END, items[-1].arrival_ns))
    together, one_by_one = engine(loaded), engine(loaded)
    one_by_one.timeline = Timeline(one_by_one.timeline.grid_hz)
    got, want = answers(together, items), answers(one_by_one, items)
    assert got[0] == want[0]
    assert len(got[0]) >= 20
    assert got[1].tobytes() == want[1].tobytes()
    assert got[2] == want[2]


@SHAPES
def test_filter_and_resampler_are_called_a_few_times_a_second(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, fs_hz: float, per_block: int, clocked: bool
) -> None:
    calls = {"filter": 0, "resampler": 0}
    for name, owner in (("filter", StreamFilter), ("resampler", Resampler)):
        original = owner.push

        def counted(self: object, *given: object, name: str = name, original: object = original) -> object:
            calls[name] += 1
            return original(self, *given)  # type: ignore[operator]

        monkeypatch.setattr(owner, "push", counted)
    eng = engine(loaded)
    items = blocks(fs_hz, per_block, 20.0, clocked=clocked)
    start = round(6.0 * fs_hz) // per_block
    for item in items[:start]:
        eng.push(item)
    calls.update(filter=0, resampler=0)
    for item in items[start:]:
        eng.push(item)
    # Five times a second, and the blocks of a tenth of a second where an answer is due.
    most = 14 * (1 / GATHER_S + 2 + np.ceil(0.1 * fs_hz / per_block))
    assert 14 <= calls["filter"] <= most
    assert calls["resampler"] <= most


@SHAPES
def test_no_sample_waits_longer_than_said(loaded: Loaded, fs_hz: float, per_block: int, clocked: bool) -> None:
    eng = engine(loaded)
    front_s = 0.0
    for item in blocks(fs_hz, per_block, 8.0, clocked=clocked):
        for start_s, samples in eng.push(item).signal:
            front_s = start_s + len(samples) / 125.0
        if eng.timeline.end_s > 3.0:
            # The filter's delay before and after each sample, half a kernel, one block, and what is gathered.
            longest_s = 2 * GROUP_DELAY_S + 0.08 + per_block / fs_hz + GATHER_S
            assert eng.timeline.end_s - front_s <= longest_s


def test_silence_releases_what_waits(loaded: Loaded) -> None:
    items = blocks(250.0, 1, 5.0, clocked=False)[: 250 * 4 + 50]
    eng = engine(loaded)
    shown = sum(len(x) for item in items for _, x in eng.push(item).signal)
    late = sum(len(x) for _, x in eng.idle(items[-1].arrival_ns + S).signal)
    assert late > 0
    assert shown + late == len(StreamFilter(250).push(np.zeros(len(items))))


def test_the_chain_knows_which_grid_sample_brings_the_next_answer() -> None:
    chain = SignalChain(250, 1.0)
    ecg = EcgSynth(EcgParams(), 5).generate(250 * 20, 250.0)
    from edge.grid.timeline import Uniform

    answered = 0
    for k in range(len(ecg)):
        due = chain.due
        got = len(list(chain.push(Uniform(k / 250, ecg[k : k + 1], k == 0, True))))
        if due:
            assert (got > 0) == (k + 1 == due)
            answered += got
    assert answered >= 17


@pytest.mark.parametrize("grid_hz", [250, 500])
@pytest.mark.parametrize("n_out", [1, 2, 3, 7, 8, 9, 25, 50, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 1])
def test_the_low_pass_adds_in_the_order_of_its_taps(grid_hz: int, n_out: int) -> None:
    stream = StreamFilter(grid_hz)
    half, step, taps = stream._half, stream._decimation, stream._taps
    last = (n_out - 1) * step + 1
    for spare in (0, 1, 5):
        x = np.random.default_rng(n_out).standard_normal(2 * half + last + spare) * 1e3
        want = x[half : half + last : step] * taps[half]
        for k in range(1, half + 1):
            want += (x[half - k : half - k + last : step] + x[half + k : half + k + last : step]) * taps[half + k]
        assert stream._lowpass(x, n_out).tobytes() == want.tobytes()


def test_the_tables_of_rates_are_built_once() -> None:
    one, two = ChainFinder(125.0), ChainFinder(125.0)
    assert one._price is two._price
    assert one.period is two.period
    with pytest.raises(ValueError, match="read-only"):
        one._price[0] = 0


class Notifications:
    """A source of small blocks in real time."""

    def __init__(self, count: int, every_s: float, *, live: bool) -> None:
        self.info = SourceInfo("n:", "n", live=live, host_clock=live)
        self._count, self._every_s = count, every_s

    async def items(self) -> AsyncIterator[LinkItem]:
        for k in range(self._count):
            if self._every_s:
                await asyncio.sleep(self._every_s)
            yield SampleBlock(np.array([k], np.int32), "counts", None, 250.0, None, k)
        yield LinkEvent(LinkEventKind.END, 0)

    async def close(self) -> None:
        """Do nothing."""


class Keeping:
    """Replaces the engine and keeps all items."""

    def __init__(self) -> None:
        self.items: list[LinkItem] = []
        self.timeline = SimpleNamespace(lost_samples=0, impossible_samples=0, end_s=0.0)

    def push(self, item: LinkItem) -> Output:
        self.items.append(item)
        return Output()

    def finish(self) -> Output:
        return Output()

    def idle(self, now_ns: int) -> Output:
        return Output()


def hand_overs(source: Notifications, monkeypatch: pytest.MonkeyPatch) -> tuple[int, float, Keeping]:
    kept, count = Keeping(), 0
    pipeline = Pipeline(source, kept, [], seconds=None, tier="micro", hop_s=1.0)
    work = pipeline._work

    def counted(batch: list[tuple[LinkItem, int]]) -> bool:
        nonlocal count
        count += 1
        return work(batch)

    monkeypatch.setattr(pipeline, "_work", counted)
    summary = asyncio.run(pipeline.run(asyncio.Event()))
    return count, summary.wall_s, kept


def test_a_live_source_hands_over_thirty_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    count, wall_s, kept = hand_overs(Notifications(200, 0.002, live=True), monkeypatch)
    assert [i.arrival_ns for i in kept.items if isinstance(i, SampleBlock)] == list(range(200))
    assert count <= wall_s / HAND_OVER_S + 3


def test_a_recording_is_never_made_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    original = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await original(seconds)

    monkeypatch.setattr("edge.pipeline.asyncio.sleep", sleep)
    _, _, kept = hand_overs(Notifications(500, 0.0, live=False), monkeypatch)
    assert len(kept.items) == 501
    assert not any(waits)  # a slow machine gives other tasks a turn now and then, with sleep(0)
