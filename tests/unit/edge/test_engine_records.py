"""What one estimate carries: identity, times, stages, and the reasons without one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.bundle.reader import Bundle, load_bundle
from edge.engine import Engine, Output, SessionInfo, make_front_end
from edge.frontend.stream import GROUP_DELAY_S, window_input_int8
from edge.records import Applied, BundleRef, Estimate, LabEstimate, QualityRecord, WindowSpan, utc_text
from edge.window import Window
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

S = 1_000_000_000
BUNDLE = load_bundle("demo")
ECG = EcgSynth(EcgParams(), 7).generate(6000, 250.0).astype(np.float32)
STAGES = ["front_end", "quality", "heart_rate", "waves", "rhythm", "prepare", "inference", "estimate", "total"]


class ZeroModel:
    """Keeps its inputs and says zero."""

    def __init__(self) -> None:
        self.inputs: list[np.ndarray] = []

    def run(self, window: np.ndarray) -> np.ndarray:
        self.inputs.append(window)
        return np.zeros(len(BUNDLE.manifest.outputs), dtype=np.int8)


def session(**changes: Any) -> SessionInfo:
    return replace(SessionInfo("walk", "patch 1", lambda ns: ns + 5 * S, lambda: True, stalls=True), **changes)


def engine(info: SessionInfo | None = None, bundle: Bundle = BUNDLE) -> Engine:
    return Engine(bundle, ZeroModel(), info or session())


def block(samples: np.ndarray, arrival_s: float, **changes: Any) -> SampleBlock:
    return replace(SampleBlock(samples, "mV", None, 250.0, None, round(arrival_s * S)), **changes)


def last(eng: Engine, samples: np.ndarray) -> Estimate:
    return eng.push(block(samples, len(samples) / 250.0)).estimates[-1]


def test_an_estimate_says_who_made_it_of_what_and_when() -> None:
    applied = {"person": Applied("p.toml", "0" * 64, "now", "1 result")}
    info = session(clock_synced=lambda: False, applied=applied)
    eng = engine(info)
    eng.push(block(ECG[:50], 0.2, lost=7))
    for samples, arrival_s in ((ECG[50:700], 2.8), (ECG[700:4000], 16.0)):
        one = eng.push(block(samples, arrival_s)).estimates[-1]
        assert (one.session, one.device, one.clock_synced, one.applied) == ("walk", "patch 1", False, applied)
        manifest = BUNDLE.manifest
        assert one.bundle == BundleRef(f"{manifest.name} {manifest.version}", BUNDLE.sha256)
        assert (one.notice, one.lost_samples) == (manifest.notice, 7)
        assert one.time == utc_text(eng.timeline.host_time_ns(one.window.end_s) + 5 * S)
    assert session().applied == {}
    assert session().anchored is None


def test_an_accepted_window_has_labs_a_rate_and_its_quality() -> None:
    found = last(engine(), ECG[:3500])
    assert found.abstained is None
    assert found.window.start_s == pytest.approx(found.window.end_s - 1249 / 125.0)
    assert [lab.key for lab in found.labs] == [head.key for head in BUNDLE.manifest.outputs]
    assert found.heart_rate_bpm == pytest.approx(60.0, abs=20.0)
    assert 0.5 < found.quality.score <= 1.0
    assert found.quality.flags == ()


def test_a_hop_without_a_window_spans_the_ten_seconds_before_it_and_knows_nothing() -> None:
    eng = engine(session(stalls=False))
    out = eng.push(block(ECG[:1000], 4.0)).estimates
    assert [e.window for e in out] == [WindowSpan(0.0, 1.0), WindowSpan(0.0, 2.0)]
    eng.push(block(ECG[1000:2000], 8.0))
    *before, gap, late = eng.push(block(ECG[:600], 40.4, lost=7500)).estimates
    assert [e.window.end_s for e in before] == [7.0, 8.0]
    assert gap.window == WindowSpan(8.0, 38.0)
    assert late.window == WindowSpan(29.0, 39.0)
    assert gap.abstained == "gap"
    assert (late.abstained, late.quality) == ("gap", QualityRecord(0.0, ("gap",)))
    assert (late.heart_rate_bpm, late.labs, late.latency_ms) == (None, (), {})


@pytest.mark.parametrize(
    ("signal", "reason", "flag"),
    [
        (np.zeros(3500, np.float32), "flat", "flat_signal"),
        (np.random.default_rng(0).normal(0.0, 1.0, 3500).astype(np.float32), "poor_signal", "beats_differ"),
    ],
)
def test_a_refused_window_keeps_its_times_and_is_no_input(signal: np.ndarray, reason: str, flag: str) -> None:
    eng = engine()
    found = last(eng, signal)
    assert (found.abstained, found.labs) == (reason, ())
    assert flag in found.quality.flags
    assert list(found.latency_ms) == ["front_end", "quality", "heart_rate", "total"]
    assert found.window.end_s - found.window.start_s == pytest.approx(1249 / 125.0)
    assert eng._model.inputs == []


@pytest.mark.parametrize(
    ("reads_amplitude", "unit", "reason"),
    [(True, "counts", "scale_unknown"), (True, "mV", None), (False, "counts", None)],
)
def test_a_model_that_reads_amplitude_needs_millivolts(reads_amplitude: bool, unit: str, reason: str | None) -> None:
    front_end = replace(BUNDLE.manifest.front_end, reads_amplitude=reads_amplitude)
    eng = engine(bundle=replace(BUNDLE, manifest=replace(BUNDLE.manifest, front_end=front_end)))
    samples = ECG[:3500] if unit == "mV" else (ECG[:3500] * 1000).astype(np.int32)
    found = eng.push(block(samples, 14.0, unit=unit)).estimates[-1]
    assert found.abstained == reason
    assert (found.labs == ()) is (reason is not None)
    assert found.heart_rate_bpm is not None
    assert found.quality.score > 0.5
    assert ("inference" in found.latency_ms, "heart_rate" in found.latency_ms) == (reason is None, True)


def test_every_stage_has_its_time_and_the_total_is_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(ticks) * 1e-3)
    monkeypatch.setattr("edge.engine.time", clock)
    found = last(engine(), ECG[:3500])
    assert list(found.latency_ms) == STAGES
    spent = dict(found.latency_ms)
    assert [spent[name] for name in STAGES[1:8]] == pytest.approx([1.0] * 7)
    assert spent["front_end"] > 0.0
    assert spent["total"] == pytest.approx(spent["front_end"] + 7.0)


def test_every_part_of_a_push_shows_its_signal_and_its_beats() -> None:
    """NaN in the middle of a block makes two segments of it."""
    holed = ECG.copy()
    holed[3000:3010] = np.nan
    whole = engine().push(block(ECG[:3000], 12.0))
    out = engine().push(block(holed, 24.0))
    assert len(out.signal) == 2
    assert [at for at, _ in out.signal] == pytest.approx([GROUP_DELAY_S, 12.04 + GROUP_DELAY_S])
    assert np.array_equal(out.signal[0][1], whole.signal[0][1])
    assert out.beats_s[: len(whole.beats_s)] == whole.beats_s != []
    assert out.beats_s[-1] > 20.0
    assert {e.abstained for e in out.estimates if 12.1 < e.window.end_s < 22.0} == {"gap"}
    assert engine().push(LinkEvent(LinkEventKind.CONNECTED, 0)) == Output()


def test_a_person_moves_the_labs_at_the_time_of_the_window() -> None:
    asked: list[tuple[tuple[LabEstimate, ...], int]] = []

    def anchored(labs: tuple[LabEstimate, ...], unix_ns: int) -> tuple[LabEstimate, ...]:
        asked.append((labs, unix_ns))
        return tuple(lab._replace(value=-1.0) for lab in labs)

    found = last(engine(session(anchored=anchored)), ECG[:3500])
    assert {lab.value for lab in found.labs} == {-1.0}
    labs, unix_ns = asked[-1]
    assert labs == last(engine(), ECG[:3500]).labs
    assert utc_text(unix_ns) == found.time


@pytest.mark.parametrize("stalls", [True, False])
def test_silence_is_counted_from_the_last_block_not_from_an_event(stalls: bool) -> None:
    eng = engine(session(stalls=stalls))
    assert eng.idle(100 * S) == Output()
    eng.push(block(ECG[:500], 102.0))
    eng.push(LinkEvent(LinkEventKind.DISCONNECTED, 110 * S))
    assert eng.idle(round(116.9 * S)) == Output()
    said = eng.idle(round(117.5 * S)).estimates
    expected = [1.0, 2.0, 17.0] if stalls else []
    assert [e.window.end_s for e in said] == expected
    assert {e.abstained for e in said} == ({"stalled"} if stalls else set())
    again = eng.push(LinkEvent(LinkEventKind.CONNECTED, 120 * S)).estimates
    assert again == []


def a_window() -> Window:
    rng = np.random.default_rng(2)
    filtered, raw = rng.standard_normal(1250), rng.standard_normal(5000)
    return Window(0.0, 9.992, filtered, raw, np.empty(0, dtype=np.int64), True)


def test_the_front_end_of_the_manifest_prepares_the_input() -> None:
    window = a_window()
    prepared = make_front_end(BUNDLE)(window)
    assert np.array_equal(prepared, window_input_int8(window.filtered))
    eng = engine()
    last(eng, ECG[:3500])
    assert eng._model.inputs
    assert all(x.dtype == np.int8 and len(np.unique(x)) > 20 for x in eng._model.inputs)


def test_the_founders_front_end_reads_the_raw_window() -> None:
    ecgfounder = pytest.importorskip("edge.frontend.ecgfounder")
    pytest.importorskip("scipy")
    spec = replace(BUNDLE.manifest.front_end, name="ecgfounder/1", clamp=2.0)
    tensor = replace(BUNDLE.manifest.input, scale=0.05, zero_point=3)
    bundle = replace(BUNDLE, manifest=replace(BUNDLE.manifest, front_end=spec, input=tensor))
    prepare: Callable[[Window], np.ndarray] = make_front_end(bundle)
    window = a_window()
    z = ecgfounder.EcgFounderFrontEnd()(window.raw)
    expected = np.rint(np.clip(z, -2.0, 2.0) / 0.05) + 3
    assert prepare(window).dtype == np.int8
    assert np.array_equal(prepare(window), expected)
    assert (expected.min(), expected.max()) == (-37, 43)
