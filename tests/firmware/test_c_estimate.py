"""Aggregation, calibration, thresholds and the gate in C against Python, and estimates from the C patch to the host."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle.reader import load_bundle
from edge.estimate import Estimator
from edge.onpatch.fixed import MAX_ERROR, NO_THRESHOLD, fixed_heads
from firmware_bridge.devices.anyecg_patch import PatchDecoder
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.wire.messages import HEADS_MAX, SCORE_STEP, EstimateReason, HelloRequest, Start, Stop, encode
from helpers.c_side import CSide

BUNDLE = load_bundle("demo")
MANIFEST = BUNDLE.manifest
HEADS = fixed_heads(MANIFEST.outputs, BUNDLE.calibration, MANIFEST.output.scale)
SPAN_S, HOP_S = 300, 10
TICK_HZ, FS, N = 32_768, 256, 25


@pytest.fixture(scope="module")
def c():
    made = CSide()
    yield made
    made.close()


def make(c, heads=HEADS, *, span_s=SPAN_S, windows=SPAN_S // HOP_S, zero_point=0):
    numbers = " ".join(str(n) for head in heads for n in head.row())
    assert c.ask(f"a {span_s} {windows} {zero_point} {numbers}") == "1"


def add(c, outputs, end_s):
    words = [int(w) for w in c.ask(f"b {end_s} {' '.join(map(str, outputs))}").split()]
    return words[0], np.array(words[1::2]) * SCORE_STEP, np.array(words[2::2])


def equal_weights(estimator: Estimator):
    """Every window with the same weight, as on a patch."""
    return lambda end_s, outputs: estimator.add(end_s, np.array(outputs, np.int8), 1.0)


def score(lab):
    if lab.unit != "1":
        return lab.value
    return float(np.log(lab.value / (1.0 - lab.value)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(-60, 60), min_size=12, max_size=12), min_size=1, max_size=40))
def test_scores_and_flags_are_those_of_the_host(c, windows):
    make(c)
    estimator = Estimator(BUNDLE)
    for k, outputs in enumerate(windows):
        end_s = (k + 1) * HOP_S
        held, scores, states = add(c, outputs, end_s)
        equal_weights(estimator)(float(end_s), outputs)
        labs = estimator.labs()
        assert held == labs[0].windows == min(k + 1, SPAN_S // HOP_S)
        assert np.abs(scores - [score(lab) for lab in labs]).max() < MAX_ERROR + 1e-9
        for head, lab, state, value in zip(HEADS, labs, states, scores, strict=True):
            assert (lab.flag is None) == (state == 0)
            if lab.flag is not None and abs(value - head.threshold * SCORE_STEP) > 2 * MAX_ERROR:
                assert lab.flag == bool(state & 1)


def test_windows_leave_by_time_and_by_number(c):
    make(c, span_s=100, windows=3)
    assert [add(c, [k] * 12, k * 10)[0] for k in range(1, 6)] == [1, 2, 3, 3, 3]
    assert add(c, [0] * 12, 149)[0] == 2  # those at 40 and before are 100 s old, and that at 50 is not
    assert add(c, [0] * 12, 1000)[0] == 1


def test_a_zero_point_and_extreme_steps(c):
    make(c, zero_point=-100)
    _, scores, _ = add(c, [127] * 12, 10)
    slopes = [BUNDLE.calibration[h.key].slope * MANIFEST.output.scale for h in HEADS]
    offsets = [BUNDLE.calibration[h.key].offset for h in HEADS]
    assert np.abs(scores - (np.array(slopes) * 227 + offsets)).max() < 2 * MAX_ERROR


def test_a_score_is_limited(c):
    (head, *_) = HEADS
    big = type(head)(head.key, NO_THRESHOLD - 1, NO_THRESHOLD - 1, NO_THRESHOLD, 0)
    make(c, (big,))
    assert add(c, [127], 10)[1][0] == pytest.approx(32_768.0, abs=1e-3)


ECG = np.rint(np.asarray(EcgSynth(EcgParams(), 7).generate(15 * 250, 250.0)) * 1000.0).astype(int)


def judged(c, samples, flags=0):
    c.ask("i250 16")
    c.ask("g16")
    c.ask(f"h {flags} {' '.join(map(str, samples))}")
    return EstimateReason(int(c.ask("j")))


def test_the_gate_accepts_an_ecg(c):
    assert judged(c, ECG) is EstimateReason.NONE


T = np.arange(15 * 250) / 250.0


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (ECG[:2000], EstimateReason.WARMING_UP),
        (np.full(len(ECG), 7), EstimateReason.FLAT),
        (np.where(np.arange(len(ECG)) > len(ECG) - 700, 3, ECG), EstimateReason.FLAT),
        (np.where(np.abs(np.arange(len(ECG)) - 3000) < 30, 32_767, ECG), EstimateReason.SATURATED),
        (np.rint(1000 * np.sin(2 * np.pi * 7.3 * T)).astype(int), EstimateReason.POOR_SIGNAL),
    ],
)
def test_the_gate_refuses_what_is_no_ecg(c, samples, reason):
    assert judged(c, samples) is reason


def test_the_gate_forgets_what_left_the_window(c):
    saturated_long_ago = np.concatenate((np.full(60, 32_767), np.tile(ECG, 2)))
    assert judged(c, saturated_long_ago) is EstimateReason.NONE


@pytest.mark.parametrize("reason", [EstimateReason.GAP, EstimateReason.LEAD_OFF])
def test_a_new_segment_says_why_it_has_no_window(c, reason):
    assert judged(c, ECG) is EstimateReason.NONE
    c.ask(f"k{int(reason)}")
    c.ask(f"h 0 {' '.join(map(str, ECG[:1000]))}")
    assert int(c.ask("j")) == reason


class Session:
    """The C patch with a model, and the host's decoder."""

    def __init__(self, c, heads=12, *, silent=False, version=2):
        self.c, self.decoder, self.taken = c, PatchDecoder(), 0
        assert c.ask(f"P 16909060 {TICK_HZ} {FS} {N} 1 0 {heads} {int(silent)}") == "1"
        self.items, self.version = self.decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0)), version
        self.exchange()
        self.exchange()

    def exchange(self):
        writes = [write.data for write in self.decoder.writes()]
        if self.version == 1:  # what a host that knows no other version sends
            writes = [encode(HelloRequest(1, 1)), encode(Start(1))] if writes else []
        for data in writes:
            self.c.ask(f"R {data.hex()}")
        tick = self.taken * TICK_HZ // FS
        data = bytes.fromhex(self.c.ask(f"T {tick}"))
        self.items += self.decoder.feed(data, self.taken * 10**9 // FS)
        return data

    def sample(self, count):
        for _ in range(count // N):
            self.c.ask(f"S {self.taken * TICK_HZ // FS} {TICK_HZ // FS} 0 {' '.join(['5'] * N)}")
            self.taken += N
            self.exchange()

    def estimate(self, words):
        self.c.ask(f"E {words}")
        return self.exchange()

    def events(self):
        return [i for i in self.items if isinstance(i, LinkEvent) and i.kind is LinkEventKind.ESTIMATE]


def test_an_estimate_reaches_the_host(c):
    session = Session(c)
    session.sample(4 * N)
    session.estimate("0 3 " + " ".join(f"{k * 65_536} 2" for k in range(12)))
    (event,) = session.events()
    assert (event.data["index"], event.data["windows"], event.data["hop_s"]) == (4 * N, 3, 10)
    assert event.data["heads"] == [[k * 65_536, 2] for k in range(12)]
    assert event.data["behind_s"] == 0.0
    session.estimate("3 0")
    assert session.events()[-1].data["reason"] == "poor_signal"


def test_more_outputs_than_fit_come_in_parts(c):
    session = Session(c, 108)
    session.sample(N)
    session.estimate("0 1 " + " ".join(f"{k} 0" for k in range(108)))
    parts = session.events()
    assert [part.data["first"] for part in parts] == [0, HEADS_MAX, 2 * HEADS_MAX]
    assert [head[0] for part in parts for head in part.data["heads"]] == list(range(108))


def test_an_old_host_gets_no_estimate(c):
    session = Session(c, version=1)
    session.sample(2 * N)
    assert session.estimate("0 1 5 2") == b""
    assert session.decoder.counters()["data_frames"] == 2


def test_a_silent_patch_sends_samples_to_an_old_host_alone(c):
    silent = Session(c, silent=True)
    silent.sample(3 * N)
    assert not [i for i in silent.items if isinstance(i, SampleBlock)]
    silent.estimate("0 1 5 2")
    assert silent.events()[0].data["behind_s"] is None
    old = Session(c, silent=True, version=1)
    old.sample(3 * N)
    assert len([i for i in old.items if isinstance(i, SampleBlock)]) == 3


def test_nothing_is_sent_after_stop_or_without_a_link(c):
    session = Session(c)
    session.sample(N)
    c.ask(f"R {encode(Stop()).hex()}")
    session.exchange()
    assert session.estimate("0 1 5 2") == b""
    session = Session(c)
    c.ask("L0")
    assert session.estimate("0 1 5 2") == b""


def test_a_patch_without_a_model_refuses_version_2(c):
    session = Session(c, 0)
    c.ask(f"R {encode(Start(2)).hex()}")
    session.exchange()
    assert any(i.kind is LinkEventKind.REFUSED for i in session.items if isinstance(i, LinkEvent))
