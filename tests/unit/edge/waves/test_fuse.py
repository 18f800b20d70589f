"""Fusion on the device: the additive model, missing waves, the network's own answer, and hostile bundles."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from edge.bundle.calibration import parse_calibration
from edge.bundle.fusion import Fusion, FusionTerm
from edge.bundle.reader import Bundle, load_bundle
from edge.cli.bundle.show import describe
from edge.cli.summary import answer_text
from edge.estimate import Estimator
from edge.http.patch import _heads
from edge.http.view import _lab
from edge.onpatch.engine import _of_network
from edge.records import LabEstimate, from_json, to_json
from edge.sinks.answer import AnswerSink
from edge.sinks.live.frame import row_text
from edge.sinks.live.layout import layout, network_text
from edge.sinks.live.state import LiveState
from edge.sinks.mqtt.messages import StateMaker
from edge.sinks.plain import estimate_line
from edge.stats import sigmoid
from edge.waves.fuse import MEASUREMENTS, WaveMeans, fused_logits, term_logits, wave_row
from edge.waves.record import WaveRecord
from firmware_bridge.errors import BundleError, InputError
from helpers.fleet_hops import estimate

TERM = FusionTerm("t_mv", (0.1, 0.3, 0.5), (-1.0, 0.5, 2.0), 0.25)
ENTRY: dict[str, Any] = {
    "method": "additive", "weight": 0.9, "offset": -0.1, "sd": 0.2, "threshold": 0.4,
    "terms": [{"feature": "t_mv", "x": [0.1, 0.3, 0.5], "y": [-1.0, 0.5, 2.0], "missing": 0.25}],
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("demo")


def raw_calibration(bundle: Bundle, fusion: object, key: str = "potassium_high") -> dict[str, Any]:
    raw = json.loads((bundle.path / "calibration.json").read_bytes())
    raw["heads"][key]["fusion"] = fusion
    return raw


def fused(bundle: Bundle, fusion: object = ENTRY) -> Bundle:
    raw = raw_calibration(bundle, fusion)
    return dataclasses.replace(bundle, calibration=parse_calibration(raw, bundle.manifest.outputs))


def labs(bundle: Bundle, *waves: WaveRecord | None) -> dict[str, LabEstimate]:
    estimator = Estimator(bundle)
    for k, one in enumerate(waves):
        estimator.add(10.0 + k, bundle.golden_outputs[0], 1.0, one)
    return {lab.key: lab for lab in estimator.labs()}


def test_a_term_is_a_line_between_knots_constant_beyond_and_has_its_own_missing_value() -> None:
    found = term_logits(TERM, np.array([-5.0, 0.1, 0.2, 0.5, 9.0, np.nan]))
    assert found == pytest.approx([-1.0, -1.0, -0.25, 2.0, 2.0, 0.25])


def test_a_fused_estimate_keeps_the_answer_of_the_network(bundle: Bundle) -> None:
    alone = labs(bundle, WaveRecord(8, 800.0, t_mv=0.2))
    found = labs(fused(bundle), WaveRecord(8, 800.0, t_mv=0.2))
    one, network = found["potassium_high"], alone["potassium_high"]
    assert one.network == (network.value, network.interval, network.threshold, network.flag)
    logit = np.log(network.value / (1.0 - network.value))
    assert one.value == pytest.approx(sigmoid(np.array([0.9 * logit - 0.1 - 0.25]))[0], rel=1e-5)
    assert one.threshold == 0.4
    assert one.interval[0] < one.value < one.interval[1]
    del found["potassium_high"], alone["potassium_high"]
    assert found == alone


def test_the_interval_is_that_of_the_network_and_of_the_fit(bundle: Bundle) -> None:
    def half(lab: LabEstimate) -> float:
        low, high = np.log(np.array(lab.interval) / (1.0 - np.array(lab.interval)))
        return float(high - low) / 2.0

    one = labs(fused(bundle), WaveRecord(8, 800.0, t_mv=0.2))["potassium_high"]
    own = one._replace(interval=one.network.interval)
    assert half(one) == pytest.approx(np.hypot(0.9 * half(own), 1.6448536 * 0.2), rel=1e-5)


def test_missing_waves_have_their_own_effect_and_without_any_the_network_stays_alone(bundle: Bundle) -> None:
    network = labs(bundle, None)["potassium_high"]
    missing = labs(fused(bundle), WaveRecord(missing={"beat": "few_beats"}))["potassium_high"]
    logit = np.log(network.value / (1.0 - network.value))
    assert missing.value == pytest.approx(sigmoid(np.array([0.9 * logit - 0.1 + 0.25]))[0], rel=1e-5)
    assert labs(fused(bundle), None)["potassium_high"] == network


def test_means_are_over_the_held_windows_only_and_leave_no_rounding_error() -> None:
    rng, means = np.random.default_rng(0), WaveMeans()
    assert means.means() is None
    rows = [wave_row(WaveRecord(5, 800.0, t_mv=float(rng.normal()))) for _ in range(500)]
    for k, row in enumerate(rows):
        means.add(float(k), row)
        means.drop_until(k - 30.0)
    fresh = WaveMeans()
    for k in range(470, 500):
        fresh.add(float(k), rows[k])
    assert np.array_equal(means.means(), fresh.means(), equal_nan=True)
    expected = np.mean([row[MEASUREMENTS.index("t_mv")] for row in rows[470:]])
    assert means.means()[MEASUREMENTS.index("t_mv")] == pytest.approx(expected, abs=1e-4)
    means.drop_until(1e9)
    assert means.means() is None


def test_a_measurement_counts_only_if_half_of_the_windows_have_it() -> None:
    means, at = WaveMeans(), MEASUREMENTS.index("pr_ms")
    for k, pr in enumerate((150.0, None, None)):
        means.add(float(k), wave_row(WaveRecord(5, 800.0, pr_ms=pr)))
    assert np.isnan(means.means()[at])
    means.add(3.0, wave_row(WaveRecord(5, 800.0, pr_ms=170.0)))
    assert means.means()[at] == 160.0
    assert np.isnan(wave_row(WaveRecord(5, 800.0, t_mv=float("inf")))[MEASUREMENTS.index("t_mv")])


def test_limited_evidence_and_the_band_of_abstention_raise_no_flag(bundle: Bundle) -> None:
    waves = WaveRecord(8, 800.0, t_mv=0.5)
    assert labs(fused(bundle, {**ENTRY, "threshold": 1e-6}), waves)["potassium_high"].flag is True
    band = {**ENTRY, "threshold": 1e-6, "abstain": {"low": 0.0, "high": 1.0}}
    assert labs(fused(bundle, band), waves)["potassium_high"].flag is None
    raw = raw_calibration(bundle, {**ENTRY, "threshold": 1e-6}, "sodium_low")
    sodium = dataclasses.replace(bundle, calibration=parse_calibration(raw, bundle.manifest.outputs))
    assert labs(sodium, waves)["sodium_low"].tier == "limited"
    assert labs(sodium, waves)["sodium_low"].flag is None


def test_a_patch_is_compared_with_the_answer_of_the_network(bundle: Bundle) -> None:
    waves = WaveRecord(8, 800.0, t_mv=0.5)
    assert _of_network(tuple(labs(fused(bundle), waves).values())) == tuple(labs(bundle, waves).values())


def test_the_answer_of_the_network_survives_the_file_and_a_wrong_one_is_refused(bundle: Bundle) -> None:
    found = labs(fused(bundle), WaveRecord(8, 800.0, t_mv=0.2))
    line = to_json(dataclasses.replace(estimate(1), labs=tuple(found.values())))
    back = from_json(line)
    assert to_json(back) == line
    assert [lab.key for lab in back.labs if lab.network is not None] == ["potassium_high"]
    wrong: tuple[object, ...] = (
        [], 1, {"value": 0.1}, {"value": "0.1", "interval": None, "threshold": None, "flag": None},
        {"value": 0.1, "interval": [0.1], "threshold": None, "flag": None},
        {"value": 0.1, "interval": None, "threshold": None, "flag": 1},
        {"value": float("nan"), "interval": None, "threshold": None, "flag": None},
    )  # fmt: skip
    for network in wrong:
        d = json.loads(line)
        d["labs"][1]["network"] = network
        with pytest.raises(InputError):
            from_json(json.dumps(d))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "neural"}, "'additive'"),
        ({"weight": 0.0}, "above 0"),
        ({"weight": 1e9}, "from 0 to"),
        ({"weight": -1.0}, "above 0"),
        ({"offset": float("inf")}, "finite number"),
        ({"offset": True}, "finite number"),
        ({"terms": []}, "at least one term"),
        ({"terms": ENTRY["terms"] * 2}, "each measurement once"),
        ({"terms": ENTRY["terms"] * 100}, "at most 8"),
        ({"threshold": 1.0}, "between 0 and 1"),
        ({"sd": -0.1}, "from 0 to"),
        ({"abstain": {"low": 0.6, "high": 0.5}}, "two probabilities"),
        ({"term": {"feature": "__class__"}}, "'rr_ms'"),
        ({"term": {"feature": []}}, "'rr_ms'"),
        ({"term": {"x": [0.1]}}, "two increasing"),
        ({"term": {"x": [0.1, 0.1, 0.2]}}, "two increasing"),
        ({"term": {"x": list(range(1000))}}, "at most 16"),
        ({"term": {"x": [0.1, 0.2, 1e30]}}, "from -1e\\+06"),
        ({"term": {"y": [0.1, 0.2]}}, "as many logits"),
        ({"term": {"y": [0.1, 0.2, 1e3]}}, "from -50"),
        ({"term": {"missing": None}}, "finite number"),
    ],
)
def test_a_hostile_fusion_is_refused_and_its_place_named(bundle: Bundle, change: dict[str, Any], said: str) -> None:
    entry = copy.deepcopy(ENTRY)
    entry["terms"][0] |= change.pop("term", {})
    with pytest.raises(BundleError, match=said) as error:
        fused(bundle, {**entry, **change})
    assert "potassium_high.fusion" in str(error.value)


def test_a_value_cannot_be_fused_and_bundles_without_fusion_stay_as_they_were(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="the head is a value"):
        parse_calibration(raw_calibration(bundle, ENTRY, "potassium"), bundle.manifest.outputs)
    assert all(c.fusion is None for c in bundle.calibration.values())
    assert fused(bundle, None).calibration == dict(bundle.calibration)


def test_host_and_device_give_the_same_logit() -> None:
    model = Fusion(0.9, -0.1, (TERM,), None, 0.0)
    means = np.full((1, len(MEASUREMENTS)), np.nan)
    means[0, MEASUREMENTS.index("t_mv")] = 0.4
    assert fused_logits(model, np.array([1.0]), means)[0] == pytest.approx(0.9 - 0.1 + 1.25)


def test_decisions_are_judged_at_the_threshold_of_the_shown_value(bundle: Bundle) -> None:
    one = fused(bundle, {**ENTRY, "abstain": {"low": 0.3, "high": 0.5}}).calibration["potassium_high"]
    assert (one.shown_threshold, one.shown_abstain) == (0.4, (0.3, 0.5))
    alone = bundle.calibration["potassium_high"]
    assert (alone.shown_threshold, alone.shown_abstain) == (alone.threshold, alone.abstain)
    assert alone.threshold not in (None, 0.4)


def test_every_view_shows_the_answer_of_the_network_beside_the_fused_one(bundle: Bundle) -> None:
    changed = fused(bundle)
    shown = labs(changed, WaveRecord(beats=8, t_mv=0.6))
    lab = shown["potassium_high"]
    assert lab.network is not None
    assert lab.network.value is not None
    alone = f"{100 * lab.network.value:.0f} %"
    assert alone != f"{100 * (lab.value or 0.0):.0f} %"
    e = dataclasses.replace(estimate(0), labs=tuple(shown.values()))
    live = LiveState()
    live.estimate(e)
    wide, narrow = (list(map(row_text, layout(live, width, 40))) for width in (100, 80))
    assert any("NETWORK" in text for text in wide)
    row = next(text for text in wide if "potassium high" in text)
    assert row.split("strong")[1].split(maxsplit=1)[1].removeprefix("▲ ").strip() == alone
    assert not any("NETW" in text for text in narrow)
    flagged = dataclasses.replace(e, labs=(lab._replace(flag=True),))
    assert f"network alone {network_text(lab)}" in estimate_line(flagged)
    sink = AnswerSink()
    sink.estimate(flagged)
    assert f", network alone {network_text(lab)}, strong evidence" in answer_text(sink, changed.manifest.outputs)
    about = json.loads(StateMaker(changed).state(e))["labs"]
    assert about["potassium_high"]["about"]["network"] == pytest.approx(100 * lab.network.value, rel=1e-3)
    assert about["potassium_high"]["about"]["network_flag"] is lab.network.flag
    assert "network" not in about["potassium_low"]["about"]
    head = next(head for head in _heads(changed) if head.key == "potassium_high")
    assert head.threshold == ENTRY["threshold"]
    page = _lab(head, lab)
    assert page is not None
    assert page[5] == f"network alone {network_text(lab)}"
    assert "0.400" in next(line for line in describe(changed).splitlines() if line.startswith("potassium_high"))
