"""Outputs that answer in some rhythms only: the rule, the bundle, the engine, a patch, and what a user sees."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from edge.bench.ecg import blocks, plain_session
from edge.bundle.reader import Bundle, load_bundle
from edge.bundle.schema import parse_manifest
from edge.cli.bundle.show import describe, facts
from edge.cli.summary import answer_text
from edge.engine import Engine
from edge.estimate import Estimator
from edge.http.view import _lab
from edge.model import Model, load_model
from edge.onpatch.check import Check
from edge.records import Estimate, from_json, to_dict, to_json
from edge.rhythm.gate import STATED, RhythmGate, fits
from edge.sinks.answer import AnswerSink
from edge.sinks.live.frame import row_text
from edge.sinks.live.layout import layout
from edge.sinks.live.state import LiveState
from edge.sinks.mqtt.messages import StateMaker
from edge.sinks.plain import estimate_line
from edge.store.well_typed import well_typed
from edge.trial import try_chain
from firmware_bridge.errors import BundleError, InputError
from firmware_bridge.synth.ecgsyn import EcgParams, EcgSynth

FS_HZ = 250.0
SINUS = EcgParams(rr_sd_ms=25.0)
AF = EcgParams(af=True, f_wave_mv=0.04)
KEY = "potassium_high"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> Model:
    return load_model(bundle)


def limited(bundle: Bundle, rhythms: tuple[str, ...] = ("sinus",), *, keys: tuple[str, ...] | None = None) -> Bundle:
    """Return the bundle with outputs that answer in some rhythms only; by default all outputs."""
    raw = json.loads((bundle.path / "manifest.json").read_bytes())
    for output in raw["outputs"]:
        if keys is None or output["key"] in keys:
            output["rhythms"] = list(rhythms)
    return dataclasses.replace(bundle, manifest=parse_manifest(raw))


def run(bundle: Bundle, model: Model, *params: EcgParams, seconds: float = 40.0) -> list[Estimate]:
    """Return the estimates of one ECG after the other, without a gap."""
    ecg_mv = np.concatenate([EcgSynth(p, 3).generate(round(seconds * FS_HZ), FS_HZ) for p in params])
    engine, found = Engine(bundle, model, plain_session()), []
    for block in blocks((ecg_mv * 1e3).astype(np.int32), seconds * len(params), FS_HZ):
        found += engine.push(block).estimates
    return [e for e in found if e.abstained != "warming_up"]


@pytest.mark.parametrize(
    ("counts", "rhythms", "silent"),
    [
        ({"sinus": 10}, ("sinus",), False),
        ({"sinus": 9, "af_or_flutter": 1}, ("sinus",), False),
        ({"sinus": 8, "af_or_flutter": 1}, ("sinus",), True),
        ({"sinus": 8, "paced": 1}, ("sinus",), True),
        ({"sinus": 8, "paced": 2}, ("sinus", "paced"), False),
        ({"sinus": 5, "undetermined": 5}, ("sinus",), False),
        ({"sinus": 4, "undetermined": 5}, ("sinus",), True),
        ({"undetermined": 9}, ("sinus",), True),
        ({"undetermined": 9}, ("sinus", "undetermined"), False),
        ({"af_or_flutter": 3, "undetermined": 17}, ("sinus", "undetermined"), True),
        ({"af_or_flutter": 9}, None, False),
        ({}, ("sinus",), False),
    ],
)
def test_half_of_the_windows_must_fit_and_hardly_any_may_contradict(counts, rhythms, silent):
    gate = RhythmGate([rhythms])
    for i, name in enumerate(name for name, n in counts.items() for _ in range(n)):
        gate.add(float(i), name)
    assert gate.abstaining() == [silent]


def test_windows_that_left_no_longer_count():
    gate = RhythmGate([("sinus",), None])
    for i in range(10):
        gate.add(float(i), "af_or_flutter" if i < 5 else "sinus")
    assert gate.abstaining() == [True, False]
    gate.drop_until(4.0)
    assert gate.abstaining() == [False, False]


@pytest.mark.parametrize(
    ("left", "held", "silent"),
    [
        (["sinus"] * 3, ["undetermined"], True),
        (["sinus"] * 3, ["sinus"] * 3, False),
        (["sinus"] * 3, ["af_or_flutter"] * 3, True),
        (["undetermined"] * 3, ["sinus", "undetermined"], False),
    ],
)
def test_the_count_of_a_rhythm_falls_with_its_windows(left, held, silent):
    gate = RhythmGate([("sinus",)])
    for i, name in enumerate([*left, *held]):
        gate.add(float(i), name)
    gate.drop_until(len(left) - 1.0)
    assert gate.abstaining() == [silent]


@pytest.mark.parametrize(
    ("rhythm", "rhythms", "fitting"),
    [
        ("sinus", ("sinus", "paced"), True),
        ("paced", ("sinus", "paced"), True),
        ("af_or_flutter", ("sinus", "paced"), False),
        ("undetermined", ("sinus",), False),
        ("af_or_flutter", None, True),
    ],
)
def test_a_single_window_fits_any_rhythm_or_one_that_is_named(rhythm, rhythms, fitting):
    assert fits(rhythm, rhythms) is fitting


def test_the_estimator_abstains_over_its_own_windows(bundle: Bundle) -> None:
    estimator = Estimator(limited(bundle, keys=(KEY,)))
    span_s = bundle.manifest.aggregation_minutes * 60.0
    steps = bundle.golden_outputs[0]
    for i in range(20):
        estimator.add(10.0 + i, steps, 1.0, None, "af_or_flutter")
    silent = {lab.key: lab for lab in estimator.labs()}
    assert {key for key, lab in silent.items() if lab.abstained} == {KEY}
    assert (silent[KEY].value, silent[KEY].interval, silent[KEY].flag, silent[KEY].windows) == (None, None, None, 20)
    assert silent[KEY].threshold is not None
    estimator.add(30.0 + span_s, steps, 1.0, None, "sinus")
    assert all(lab.abstained is None and lab.value is not None for lab in estimator.labs())


def test_nobody_who_looked_at_the_rhythm_limits_nothing(bundle: Bundle) -> None:
    estimator = Estimator(limited(bundle))
    estimator.add(10.0, bundle.golden_outputs[0], 1.0)
    assert all(lab.abstained is None for lab in estimator.labs())


def test_sinus_rhythm_is_answered_and_atrial_fibrillation_is_not(bundle: Bundle, model: Model) -> None:
    sinus_only = limited(bundle)
    assert {e.abstained for e in run(sinus_only, model, SINUS)} == {None}
    af = run(sinus_only, model, AF)
    assert {e.abstained for e in af} == {"rhythm"}
    assert all(not e.labs and e.rhythm is not None and e.waves is not None for e in af)
    assert all(e.heart_rate_bpm is not None for e in af)
    assert {e.abstained for e in run(bundle, model, AF)} == {None}


def test_one_output_abstains_beside_others_that_answer(bundle: Bundle, model: Model) -> None:
    found = run(limited(bundle, keys=(KEY,)), model, SINUS, AF)
    assert {e.abstained for e in found} == {None}
    silent = [{lab.key for lab in e.labs if lab.abstained == "rhythm"} for e in found]
    assert silent[0] == set()
    assert silent[-1] == {KEY}
    plain = {lab.key: lab for lab in run(bundle, model, SINUS, AF)[-1].labs}
    shown = {lab.key: lab for lab in found[-1].labs}
    assert {key: lab for key, lab in shown.items() if key != KEY} == {k: v for k, v in plain.items() if k != KEY}
    # The change comes within seconds: a tenth of the windows is enough.
    first = next(i for i, keys in enumerate(silent) if keys)
    assert found[first].window.end_s < 60.0


def test_what_is_written_is_read(bundle: Bundle, model: Model) -> None:
    e = run(limited(bundle, keys=(KEY,)), model, AF, seconds=16.0)[-1]
    read = well_typed(from_json(to_json(e)))
    assert to_dict(read) == to_dict(e)
    written = json.loads(to_json(e))
    one = next(lab for lab in written["labs"] if lab["key"] == KEY)
    assert (one["value"], one["abstained"]) == (None, {"reason": "rhythm"})
    assert sum("abstained" in lab for lab in written["labs"]) == 1
    for wrong in ({"reason": "mood"}, {}, "rhythm", 3):
        one["abstained"] = wrong
        with pytest.raises(InputError):
            from_json(json.dumps(written))


@pytest.mark.parametrize("rhythms", [[], ["vt"], ["unreadable"], ["sinus", "sinus"], "sinus", [3], {}, [None], 0])
def test_a_bundle_with_other_rhythms_is_refused(bundle: Bundle, rhythms: Any) -> None:
    raw = json.loads((bundle.path / "manifest.json").read_bytes())
    raw["outputs"][1]["rhythms"] = rhythms
    with pytest.raises(BundleError, match=r"manifest\.outputs\[1\]\.rhythms"):
        parse_manifest(raw)


def test_an_absent_or_empty_limit_is_none(bundle: Bundle) -> None:
    raw = json.loads((bundle.path / "manifest.json").read_bytes())
    assert all(head.rhythms is None for head in parse_manifest(raw).outputs)
    raw["outputs"][0]["rhythms"] = None
    raw["outputs"][1]["rhythms"] = list(STATED)
    heads = parse_manifest(raw).outputs
    assert (heads[0].rhythms, heads[1].rhythms) == (None, STATED)


def test_the_description_of_a_bundle_names_the_rhythms(bundle: Bundle) -> None:
    changed = limited(bundle, ("sinus", "paced"), keys=(KEY,))
    assert f"only in sinus, paced: {KEY}" in describe(changed)
    assert "only in" not in describe(bundle)
    outputs = {one["key"]: one for one in facts(changed)["outputs"]}
    assert outputs[KEY]["rhythms"] == ["sinus", "paced"]
    assert sum("rhythms" in one for one in outputs.values()) == 1


def test_a_bundle_for_other_rhythms_passes_the_trial(bundle: Bundle, model: Model) -> None:
    assert try_chain(limited(bundle, ("paced",)), model).estimates == 3


def test_every_view_says_why_an_output_has_no_value(bundle: Bundle, model: Model) -> None:
    changed = limited(bundle, keys=(KEY,))
    e = run(changed, model, AF, seconds=16.0)[-1]
    live = LiveState()
    live.estimate(e)
    row = next(text for text in map(row_text, layout(live, 100, 40)) if "potassium high" in text)
    assert "(rhythm)" in row
    assert "1 output not validated for this rhythm" in estimate_line(e)
    sink = AnswerSink()
    sink.estimate(e)
    assert "not validated for this rhythm: potassium high" in answer_text(sink, changed.manifest.outputs)
    state = json.loads(StateMaker(changed).state(e))
    assert state["status"] == "ok"
    silent = state["labs"][KEY]
    assert (silent["value"], silent["flag"], silent["about"]["abstained"]) == (None, None, "rhythm")
    assert sum("abstained" in one["about"] for one in state["labs"].values()) == 1
    lab = next(lab for lab in e.labs if lab.key == KEY)
    shown = _lab(lab, lab)
    assert shown is not None
    assert (shown[0], shown[5]) == ("-", "not validated for this rhythm")


def test_a_silent_output_is_not_compared_with_that_of_a_patch(bundle: Bundle) -> None:
    estimator = Estimator(bundle)
    estimator.add(10.0, bundle.golden_outputs[0], 1.0)
    patch = estimator.labs()
    host = tuple(lab._replace(value=None, interval=None, flag=None, abstained="rhythm") for lab in patch)
    check = Check()
    assert check.compare(patch, host) is None
    assert (check.disagreed, check.flags) == (0, 0)
