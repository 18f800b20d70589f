"""Which estimate is shown, and what is said, when a patch estimates itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.bundle.reader import load_bundle
from edge.engine import Engine, SessionInfo
from edge.frontend.stream import GROUP_DELAY_S
from edge.model import load_model
from edge.onpatch.engine import TrustingEngine
from edge.onpatch.fixed import fixed_heads, identity
from edge.records import from_json, to_json
from firmware_bridge.devices.anyecg_patch import PatchDecoder
from firmware_bridge.samples import LinkEvent, LinkEventKind, SampleBlock
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth
from firmware_bridge.wire.messages import (
    SCORE_STEP,
    Data,
    EstimateReason,
    Header,
    HeadState,
    Hello,
    PatchEstimate,
    PatchModel,
    encode,
)

BUNDLE = load_bundle("demo")
FS, N, NS = 250, 25, 1_000_000_000
IDENTITY = identity(
    BUNDLE.model, fixed_heads(BUNDLE.manifest.outputs, BUNDLE.calibration, BUNDLE.manifest.output.scale)
)
HEADS = len(BUNDLE.manifest.outputs)
MV = np.asarray(EcgSynth(EcgParams(), 7).generate(60 * FS, float(FS)), dtype=np.float64)
COUNTS = np.rint(MV * 1000.0).astype(np.int32)


@pytest.fixture(scope="module")
def model():
    return load_model(BUNDLE, "litert-reference")


def engine(model, kind=TrustingEngine, **session):
    info = SessionInfo("s", "patch", lambda ns: ns, lambda: True, stalls=True, **session)
    return kind(BUNDLE, model, info)


def hello(identity_=IDENTITY, *, samples=True):
    patch = PatchModel(identity_, HEADS, 10, samples=samples)
    return encode(Hello(1, FS, FS, nv_num=1000, proto_max=2, model=patch))


def frame(k):
    return encode(Data(k * N, 1, COUNTS[k * N : (k + 1) * N]), Header(seq=k + 1, tick=k * N))


class Link:
    """A decoder in front of an engine."""

    def __init__(self, engine_, **hello_options):
        self.engine, self.decoder = engine_, PatchDecoder()
        self.lines, self.events, self.at_ns = [], [], 0
        self.take(self.decoder.link(LinkEvent(LinkEventKind.CONNECTED, 0)))
        self.feed(hello(**hello_options))

    def take(self, items):
        for item in items:
            if isinstance(item, SampleBlock) or item.kind is not LinkEventKind.INFO:
                self.out(self.engine.push(item))

    def out(self, out):
        self.lines += out.estimates
        self.events += out.events

    def feed(self, data):
        self.take(self.decoder.feed(data, self.at_ns))

    def stream(self, start_s, end_s):
        for k in range(round(start_s * 10), round(end_s * 10)):
            self.at_ns = (k + 1) * NS // 10
            self.feed(frame(k))

    def estimate(self, scores, end_s, reason=EstimateReason.NONE, windows=1):
        heads = () if scores is None else tuple((round(s / SCORE_STEP), state) for s, state in scores)
        self.feed(encode(PatchEstimate(round(end_s * FS), 1, reason, windows, 0, heads)))


def score_of(lab):
    return float(np.log(lab.value / (1.0 - lab.value))) if lab.unit == "1" else lab.value


def scores_of(estimate):
    """The scores and states of a line, as a patch would send them."""
    out = []
    for lab in estimate.labs:
        logit = score_of(lab)
        state = HeadState.NONE if lab.flag is None else HeadState.DECIDED | (HeadState.FLAG if lab.flag else 0)
        out.append((logit, state))
    return out


def test_the_host_shows_its_own_and_checks(model):
    link = Link(engine(model))
    link.stream(0.0, 14.0)
    own = link.lines[-1]
    assert own.abstained is None
    link.estimate(scores_of(own), 14.0)
    link.stream(14.0, 16.0)
    assert {line.estimated_by for line in link.lines} == {"host"}
    check = link.engine.check
    assert (check.compared, check.disagreed, check.flags) == (1, 0, 0)
    assert check.largest < 1e-4
    assert link.events == []
    wrong = [(score + 3.0, state ^ HeadState.FLAG) for score, state in scores_of(own)]
    link.estimate(wrong, 16.0)
    assert (check.compared, check.disagreed) == (2, 1)
    assert check.flags > 0
    (event,) = link.events
    assert event.detail.startswith("patch and host disagree: ")
    assert "the host's is shown" in event.detail
    link.at_ns += NS
    link.estimate(wrong, 16.0)
    assert len(link.events) == 1  # not every time
    link.out(link.engine.finish())
    assert link.events[-1].detail.startswith("3 estimates of the patch compared with the host's own: 2 disagreed")


def test_an_average_over_signal_before_the_host_listened_is_not_compared(model):
    link = Link(engine(model))
    link.stream(0.0, 14.0)
    scores = scores_of(link.lines[-1])
    link.estimate(scores, 14.0, windows=8)  # a minute and a half, of which the host has heard fourteen seconds
    assert link.engine.check.compared == 0
    link.at_ns += NS
    link.estimate(scores, 14.0, windows=2)
    assert link.engine.check.compared == 1


def test_without_trust_nothing_changes(model):
    plain, trusting = Link(engine(model, Engine)), Link(engine(model))
    for link in (plain, trusting):
        link.stream(0.0, 13.0)
        link.estimate([(0.0, HeadState.NONE)] * HEADS, 13.0)
        link.stream(13.0, 15.0)
    stripped = [replace(line, estimated_by=None, latency_ms={}) for line in trusting.lines]
    assert stripped == [replace(line, latency_ms={}) for line in plain.lines]
    assert all(line.estimated_by is None for line in plain.lines)


def test_the_patch_is_shown_where_the_host_has_no_samples_yet(model):
    link = Link(engine(model))
    link.stream(0.0, 3.0)
    flags = [(2.0, HeadState.DECIDED | HeadState.FLAG)] + [(-2.0, HeadState.DECIDED)] * (HEADS - 1)
    link.estimate(flags, 3.0, windows=7)
    before = len(link.lines)
    link.stream(3.0, 6.0)
    shown = link.lines[before:]
    assert {line.estimated_by for line in shown} == {"patch"}
    first = shown[0].labs[0]
    assert first.value == pytest.approx(1.0 / (1.0 + np.exp(-2.0)))
    assert (first.flag, first.windows, first.interval, shown[0].abstained) == (True, 7, None, None)
    assert shown[0].labs[1].flag is False
    # Later the host has its own.
    link.stream(6.0, 15.0)
    assert link.lines[-1].estimated_by == "host"
    assert link.lines[-1].abstained is None


def test_an_abstention_of_the_patch_replaces_nothing(model):
    link = Link(engine(model))
    link.stream(0.0, 3.0)
    link.estimate(None, 3.0, EstimateReason.POOR_SIGNAL)
    link.stream(3.0, 5.0)
    assert all(line.estimated_by == "host" and line.abstained == "warming_up" for line in link.lines)


def test_where_the_host_refuses_the_signal_the_patch_is_not_shown(model):
    link = Link(engine(model))
    for k in range(140):
        link.at_ns = (k + 1) * NS // 10
        link.feed(encode(Data(k * N, 1, np.full(N, 5, np.int32)), Header(seq=k + 1, tick=k * N)))
    link.estimate([(0.0, HeadState.NONE)] * HEADS, 14.0)
    for k in range(140, 160):
        link.at_ns = (k + 1) * NS // 10
        link.feed(encode(Data(k * N, 1, np.full(N, 5, np.int32)), Header(seq=k + 1, tick=k * N)))
    assert (link.lines[-1].abstained, link.lines[-1].estimated_by) == ("flat", "host")


def test_an_old_estimate_is_not_shown(model):
    link = Link(engine(model))
    link.stream(0.0, 2.0)
    link.estimate([(0.0, HeadState.NONE)] * HEADS, 2.0)
    link.feed(encode(Data(58 * 10 * N, 1, COUNTS[:N]), Header(seq=999, tick=58 * 10 * N)))  # 56 s are missing
    link.stream(59.0, 60.0)
    assert link.lines[-1].abstained is not None


def test_a_patch_without_samples(model):
    link = Link(engine(model), samples=False)
    link.at_ns = 13 * NS
    link.estimate(None, 10.0, EstimateReason.WARMING_UP)
    link.at_ns = 23 * NS
    link.estimate([(1.0, HeadState.DECIDED)] * HEADS, 20.0)
    waiting, line = link.lines
    assert (waiting.abstained, waiting.labs, waiting.estimated_by) == ("warming_up", (), "patch")
    assert line.window.end_s == pytest.approx(20.0 - GROUP_DELAY_S)
    assert line.window.end_s - line.window.start_s == pytest.approx(10.0)
    assert (line.abstained, len(line.labs), line.heart_rate_bpm) == (None, HEADS, None)
    assert line.time == "1970-01-01T00:00:23.000Z"
    assert from_json(to_json(line)).estimated_by == "patch"
    assert "estimated_by" not in to_json(replace(line, estimated_by=None))


def test_another_model_is_refused_once(model):
    link = Link(engine(model), identity_=b"\x01" * 8)
    link.stream(0.0, 1.0)
    for end_s in (1.0, 2.0):
        link.at_ns += NS
        link.estimate([(9.0, HeadState.DECIDED | HeadState.FLAG)] * HEADS, end_s)
    link.stream(1.0, 3.0)
    assert {line.estimated_by for line in link.lines} == {"host"}
    (event,) = link.events
    assert event.kind is LinkEventKind.REFUSED
    assert "0101010101010101" in event.detail
    assert IDENTITY.hex() in event.detail
    assert "2 messages were not used" in link.engine.closing()


def test_a_flood_of_estimates_is_bounded(model):
    link = Link(engine(model), samples=False)
    for k in range(1000):
        link.at_ns = k * NS // 1000
        link.estimate([(0.0, HeadState.NONE)] * HEADS, float(k))
    assert len(link.lines) <= 6


def test_values_of_a_person_are_anchored_on_both(model):
    moved = []

    def anchored(labs, now_ns):
        moved.append(now_ns)
        return tuple(lab._replace(value=0.25) for lab in labs)

    link = Link(engine(model, anchored=anchored), samples=False)
    link.at_ns = 5 * NS
    link.estimate([(1.0, HeadState.NONE)] * HEADS, 5.0)
    assert {lab.value for lab in link.lines[0].labs} == {0.25}
    assert moved == [5 * NS]


def test_an_estimate_in_parts_waits_for_the_last(model):
    link = Link(engine(model), samples=False)
    link.at_ns = NS
    heads = tuple((k << 16, HeadState.NONE) for k in range(HEADS))
    for first, last in ((0, 5), (5, HEADS)):
        assert link.lines == []
        link.feed(encode(PatchEstimate(FS, 1, EstimateReason.NONE, 1, first, heads[first:last])))
    assert [score_of(lab) for lab in link.lines[0].labs] == pytest.approx(list(range(HEADS)), abs=1e-4)


def limited_to_sinus(model, keys):
    outputs = tuple(replace(head, rhythms=("sinus",)) if head.key in keys else head for head in BUNDLE.manifest.outputs)
    bundle = replace(BUNDLE, manifest=replace(BUNDLE.manifest, outputs=outputs))
    info = SessionInfo("s", "patch", lambda ns: ns, lambda: True, stalls=True)
    return TrustingEngine(bundle, model, info)


@pytest.mark.parametrize("samples", [True, False])
def test_a_patch_knows_no_rhythm_so_outputs_that_need_one_abstain(model, samples):
    first, *others = (head.key for head in BUNDLE.manifest.outputs)
    link = Link(limited_to_sinus(model, {first}), samples=samples)
    link.stream(0.0, 3.0 if samples else 0.0)
    link.estimate([(2.0, HeadState.DECIDED | HeadState.FLAG)] * HEADS, 3.0)
    link.stream(3.0, 4.0 if samples else 3.0)
    labs = {lab.key: lab for lab in link.lines[-1].labs}
    assert link.lines[-1].estimated_by == "patch"
    assert (labs[first].value, labs[first].flag, labs[first].abstained) == (None, None, "rhythm")
    assert all(labs[key].value is not None and labs[key].abstained is None for key in others)


def test_a_patch_answers_nothing_if_every_output_needs_a_rhythm(model):
    every = {head.key for head in BUNDLE.manifest.outputs}
    link = Link(limited_to_sinus(model, every))
    link.stream(0.0, 3.0)
    link.estimate([(2.0, HeadState.DECIDED | HeadState.FLAG)] * HEADS, 3.0)
    link.stream(3.0, 4.0)
    assert {(line.abstained, line.estimated_by) for line in link.lines} == {("warming_up", "host")}
    alone = Link(limited_to_sinus(model, every), samples=False)
    alone.estimate([(2.0, HeadState.DECIDED | HeadState.FLAG)] * HEADS, 3.0)
    assert [(line.abstained, line.labs, line.estimated_by) for line in alone.lines] == [("rhythm", (), "patch")]
