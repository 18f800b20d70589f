"""One answer per hop, byte-identical for any size of the pieces, and no window across a gap."""

from __future__ import annotations

import itertools
import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from edge.engine import Engine, SessionInfo
from edge.estimate import Estimator
from edge.records import Estimate, to_dict, utc_text
from edge.session import Loaded, load
from firmware_bridge import devices
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.virtual.ecg import PatientOptions, PatientSignal
from firmware_bridge.virtual.faults import FaultSchedule
from firmware_bridge.virtual.patch import PatchConfig, VirtualPatch
from firmware_bridge.wire.messages import Start, encode

S = 1_000_000_000


@cache
def loaded() -> Loaded:
    return load("demo", "litert-reference")


def engine(hop_s: float = 1.0, *, stalls: bool = True) -> Engine:
    session = SessionInfo("s", "d", lambda ns: ns, lambda: True, stalls=stalls)
    return Engine(loaded().bundle, loaded().model, session, hop_s)


def plain(estimates: list[Estimate]) -> list[str]:
    out = []
    for e in estimates:
        d = to_dict(e)
        del d["time"], d["latency_ms"]
        out.append(json.dumps(d))
    return out


@cache
def ecg(seconds: float, fs_hz: float = 250.0) -> np.ndarray:
    return EcgSynth(EcgParams(), 7).generate(round(seconds * fs_hz), fs_hz).astype(np.float32)


def run(eng: Engine, samples: np.ndarray, sizes: list[int], fs_hz: float = 250.0) -> list[Estimate]:
    out: list[Estimate] = []
    at = k = 0
    while at < len(samples):
        n = sizes[k % len(sizes)]
        part = samples[at : at + n]
        at, k = at + n, k + 1
        out += eng.push(SampleBlock(part, "mV", None, fs_hz, None, round(at / fs_hz * S))).estimates
    return out


def test_one_answer_per_hop_and_the_first_estimate_without_delay() -> None:
    estimates = run(engine(), ecg(40.0), [50])
    ends = [e.window.end_s for e in estimates]
    assert np.all(np.abs(np.diff(ends) - 1.0) < 0.009)
    reasons = [e.abstained for e in estimates]
    assert reasons[:11] == ["warming_up"] * 11
    assert reasons[11:] == [None] * (len(reasons) - 11)
    assert estimates[11].window.end_s == pytest.approx(12.0, abs=0.008)
    assert estimates[-1].labs[0].windows == len(estimates) - 11
    assert estimates[-1].heart_rate_bpm == pytest.approx(60.0, abs=20)


@pytest.mark.parametrize("hop_s", [0.4, 1.0, 2.5, 30.0])
def test_pieces_of_any_size_give_the_same_estimates(hop_s: float) -> None:
    samples = ecg(60.0)
    whole = plain(run(engine(hop_s), samples, [len(samples)]))
    assert whole
    rng = np.random.default_rng(1)
    for sizes in ([7], [250], [1, 999, 3], rng.integers(1, 300, 97).tolist()):
        assert plain(run(engine(hop_s), samples, sizes)) == whole


def test_one_sample_at_a_time_gives_the_same_estimates() -> None:
    samples = ecg(14.0)
    assert plain(run(engine(), samples, [1])) == plain(run(engine(), samples, [len(samples)]))


def patch_bytes(faults: str, seconds: float) -> bytes:
    patch = VirtualPatch(
        PatientSignal(PatientOptions(72.0, 5.9, 2.4, 1.0, ()), 3), PatchConfig(250.0), FaultSchedule.parse(faults), 3
    )
    patch.receive(encode(Start()))
    return b"".join(e.data for e in patch.advance(seconds))


@pytest.mark.parametrize("faults", ["", "drop=0.004;corrupt=0.002", "leadoff@20:3;restart@35"])
def test_any_split_of_the_byte_stream_gives_the_same_estimates(faults: str) -> None:
    data = patch_bytes(faults, 90.0)
    assert len(data) > 20_000

    def through(cuts: np.ndarray) -> list[str]:
        eng, decoder = engine(stalls=False), devices.get("anyecg_patch").decoder()
        out: list[Estimate] = []
        for part in np.split(np.frombuffer(data, np.uint8), cuts):
            for item in decoder.feed(part.tobytes(), 5 * S):
                out += eng.push(item).estimates
        return plain(out)

    whole = through(np.array([], dtype=int))
    assert sum('"abstained": null' in line for line in whole) >= 5
    rng = np.random.default_rng(5)
    for count in (3, 500, 5000):
        assert through(np.sort(rng.integers(0, len(data), count))) == whole


def test_no_window_spans_a_gap() -> None:
    eng = engine()
    before, after = ecg(20.0), ecg(30.0)
    out = run(eng, before, [50])
    out += eng.push(SampleBlock(after[:50], "mV", None, 250.0, None, 21 * S, lost=100)).estimates
    for i in range(50, len(after), 50):
        out += eng.push(SampleBlock(after[i : i + 50], "mV", None, 250.0, None, 22 * S)).estimates
    gap = (20.0, 20.4)
    good = [e for e in out if e.abstained is None]
    assert all(e.window.end_s <= gap[0] or e.window.start_s >= gap[1] for e in good)
    assert {e.abstained for e in out if gap[0] < e.window.end_s <= gap[1] + 10.0} == {"gap"}
    assert out[-1].lost_samples == 100
    assert out[-1].abstained is None
    ends = [e.window.end_s for e in out]
    assert np.all(np.abs(np.diff(ends) - 1.0) < 0.009)


def test_lead_off_is_the_reason_while_it_touches_the_window() -> None:
    eng = engine()
    out = run(eng, ecg(15.0), [50])
    out += eng.push(SampleBlock(ecg(3.0), "mV", None, 250.0, None, 18 * S, lead_off=True)).estimates
    out += run(eng, ecg(16.0), [50])
    reasons = [e.abstained for e in out]
    assert reasons[11] is None
    assert set(reasons[15:27]) == {"lead_off"}
    assert reasons[-1] is None


def test_silence_is_stalled_live_and_in_replay_alike() -> None:
    samples = ecg(20.0)

    def go(*, timer: bool) -> list[str]:
        eng = engine()
        out = run(eng, samples, [25])
        if timer:
            for now_s in range(21, 60):
                out += eng.idle(now_s * S).estimates
        out += eng.push(SampleBlock(samples[:25], "mV", None, 250.0, None, 60 * S)).estimates
        return plain(out)

    live, replayed = go(timer=True), go(timer=False)
    assert live == replayed
    silent = [json.loads(line) for line in live if '"stalled"' in line]
    # One record for the first 15 s; the hops just before wait for the delay of the filter.
    assert [e["window"]["end_s"] for e in silent] == [19.0, 20.0, 35.0]
    assert silent[-1]["window"]["start_s"] == 20.0
    assert plain(run(engine(stalls=False), samples, [25])) == [x for x in live if '"stalled"' not in x][: len(live)]


def test_a_restart_and_a_disconnection_keep_the_session() -> None:
    eng = engine()
    out = run(eng, ecg(15.0), [50])
    out += eng.push(LinkEvent(LinkEventKind.DISCONNECTED, 15 * S)).estimates
    for i, part in enumerate(np.split(ecg(20.0), 100)):
        out += eng.push(SampleBlock(part, "mV", None, 250.0, None, round((19.2 + i * 0.2) * S))).estimates
    good = [e for e in out if e.abstained is None]
    assert good[0].window.end_s < 16
    assert good[-1].window.start_s > 18.9
    assert good[-1].labs[0].windows == len(good)


def test_counts_without_scale_feed_a_z_scored_model() -> None:
    counts = (ecg(20.0) * 1234).astype(np.int32)
    eng = engine()
    out = []
    for i in range(0, len(counts), 50):
        out += eng.push(SampleBlock(counts[i : i + 50], "counts", None, 250.0, None, 0)).estimates
    assert out[-1].abstained is None


@pytest.mark.parametrize(("stalls", "gap_s"), [(False, 30 * 86_400.0), (True, 5.0)])
def test_a_gap_is_one_record_and_as_long_as_time_allows(stalls: bool, gap_s: float) -> None:
    """A recording may have a gap of a month; on a link, no more samples can be missing than time has passed."""
    eng = engine(0.1, stalls=stalls)
    run(eng, ecg(2.0), [500])
    out = eng.push(SampleBlock(ecg(1.0), "mV", None, 250.0, None, 3 * S, lost=250 * 86400 * 30)).estimates
    (gap,) = [e for e in out if e.window.end_s - e.window.start_s > 3.0 and e.window.start_s > 1.9]
    assert (gap.abstained, gap.window.start_s) == ("gap", 2.0)
    assert gap.window.end_s == pytest.approx(2.0 + gap_s)
    assert gap.lost_samples == gap_s * 250
    assert len(out) < 40
    assert all(e.time >= utc_text(eng.session.wall_ns(0)) for e in out)


@pytest.mark.parametrize("jump", [2**31, 2**31 - 1, 900_000, 2**40])
def test_many_jumps_together_are_no_longer_than_the_time_of_the_host(jump: int) -> None:
    eng = engine()
    out, at_ns, part = [], 0, ecg(0.2)
    for k in range(300):
        at_ns += S // 50
        out += eng.push(SampleBlock(part, "mV", None, 250.0, None, at_ns, lost=jump * (k % 3 == 0))).estimates
    host_s, signal_s = at_ns * 1e-9, 300 * 0.2
    assert signal_s < eng.timeline.end_s <= signal_s + 2 * host_s + 5.0
    assert eng.timeline.lost_samples <= (2 * host_s + 5.0) * 250
    assert eng.timeline.impossible_samples + eng.timeline.lost_samples == pytest.approx(100 * jump, abs=100)
    assert len(out) < signal_s + 2 * host_s + 6.0


def test_a_silence_is_reported_at_once_and_with_its_length_when_data_return() -> None:
    eng = engine()
    run(eng, ecg(20.0), [25])
    first = eng.idle(36 * S).estimates
    assert [(e.window.start_s, e.window.end_s, e.abstained) for e in first][-1] == (20.0, 35.0, "stalled")
    assert [eng.idle(now_s * S).estimates for now_s in range(37, 100)] == [[]] * 63
    eng.push(LinkEvent(LinkEventKind.STALLED, 80 * S))
    back = eng.push(SampleBlock(ecg(0.2), "mV", None, 250.0, None, 3620 * S + S // 5)).estimates
    (gap,) = back
    assert (gap.window.start_s, gap.window.end_s, gap.abstained) == (20.0, pytest.approx(3620.0), "stalled")


def test_silence_is_stalled_after_fifteen_seconds() -> None:
    eng = engine()
    run(eng, ecg(2.0), [500])
    assert eng.idle(round(16.9 * S)).estimates == []
    assert {e.abstained for e in eng.idle(round(17.1 * S)).estimates} == {"stalled"}


class RecordingModel:
    """A model that keeps its outputs."""

    def __init__(self) -> None:
        self.outputs: list[np.ndarray] = []

    def run(self, window: np.ndarray) -> np.ndarray:
        self.outputs.append(loaded().model.run(window).copy())
        return self.outputs[-1]


def test_a_window_weighs_as_much_as_its_quality_in_the_estimate() -> None:
    """Aggregating the outputs and the published scores outside the engine gives the estimates of the engine."""
    model, aggregate = RecordingModel(), Estimator(loaded().bundle)
    session = SessionInfo("s", "d", lambda ns: ns, lambda: True, stalls=True)
    noisy = ecg(18.0) + np.random.default_rng(3).normal(0.0, 0.1, 4500).astype(np.float32)
    estimates = run(Engine(loaded().bundle, model, session), noisy, [4500])
    accepted = [e for e in estimates if e.abstained is None]
    assert len(accepted) >= 3
    assert max(e.quality.score for e in accepted) < 1.0
    for e, outputs in zip(accepted, model.outputs, strict=True):
        aggregate.add(e.window.end_s, outputs, e.quality.score)
        assert e.labs == aggregate.labs()


def test_each_estimate_carries_the_filter_time_of_its_own_hop(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that advances 1 ms per reading every hop takes the same time; a sum over hops would grow."""
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(ticks) * 1e-3)
    monkeypatch.setattr("edge.engine.time", clock)
    monkeypatch.setattr("edge.chain.time", clock)
    estimates = run(engine(), ecg(18.0), [250])
    spent_ms = [e.latency_ms["front_end"] for e in estimates if e.abstained is None]
    assert len(spent_ms) >= 4
    assert spent_ms[1:] == pytest.approx([spent_ms[1]] * (len(spent_ms) - 1))


def test_the_first_four_beats_give_a_rate_before_the_first_window() -> None:
    for size in (25, 250, 2500):
        eng = engine()
        x = ecg(14.0)
        found = []
        for at in range(0, len(x), size):
            piece = x[at : at + size]
            block = SampleBlock(piece, "mV", 1.0, 250.0, None, round((at + len(piece)) / 250 * S))
            found += [(e.window.end_s, e.abstained, e.heart_rate_bpm) for e in eng.push(block).estimates]
        warm = [(end_s, rate) for end_s, why, rate in found if why == "warming_up"]
        assert len(warm) >= 10
        assert all(rate is None for end_s, rate in warm if end_s < 3.0)
        assert all(rate == pytest.approx(EcgParams().hr_bpm, abs=4) for end_s, rate in warm if end_s > 7.0)
