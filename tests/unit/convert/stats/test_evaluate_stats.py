"""`anyecg evaluate` on scores with known results."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.evaluate.aggregate import aggregate, means, newest, order, which_better
from calibration.evaluate.compare import against, tally, with_reference
from calibration.evaluate.heads import LEVELS, Draws, correlation, judge_heads, steps
from calibration.evaluate.rows import Rows, match_heads
from calibration.evaluate.summary import best_directions, side_by_side, tiers
from convert.datasets.heads import TeacherHead
from convert.datasets.prepared import PreparedDataset, PreparedHead
from convert.stats.metrics import auroc
from convert.stats.resampling import Resampler
from edge.stats import sigmoid
from firmware_bridge.errors import InputError
from helpers.slow_intervals import ends_of

NAN = math.nan


def head(key: str, *, lab: str = "", direction: str | None = "high", horizon: int | None = None) -> PreparedHead:
    kind = "value" if direction is None else "probability"
    return PreparedHead(key, lab or key, "1-1", "mmol/L" if direction is None else "1", kind, direction, horizon, 0,
                        4.0 if direction is None else 0.0, 0.5 if direction is None else 1.0)  # fmt: skip


def rows_of(truth, *, heads=None, patient=None, visit=None, start_s=None) -> Rows:
    truth = np.asarray(truth, dtype=np.float32)
    n = len(truth)
    chosen = heads or tuple(head(f"h{j}") for j in range(truth.shape[1]))
    of = np.arange(n) if patient is None else np.asarray(patient)
    visits = of if visit is None else np.asarray(visit)
    begins = 10.0 * np.arange(n) if start_s is None else np.asarray(start_s, dtype=np.float64)
    return Rows(tuple(chosen), truth, of, visits, begins)


def judged(rows: Rows, shown, resamples: int = 200) -> list[dict]:
    return judge_heads(rows, np.asarray(shown, dtype=np.float32), lambda _, x: sigmoid(x), Draws(1, resamples))


def test_a_head_is_judged_by_its_number_of_patients():
    """Twenty patients with five segments each. All numbers are by hand; many segments do not replace patients."""
    patient = np.repeat(np.arange(20), 5)
    y = (patient < 4).astype(np.float32)
    found = judged(rows_of(y[:, None], patient=patient), y[:, None] * 2 - 1)[0]
    assert (found["n"], found["positives"], found["patients"], found["positive_patients"]) == (100, 20, 20, 4)
    assert found["prevalence"] == 0.2
    assert found["auroc"] == 1.0
    assert found["auprc"] == 1.0
    assert found["tier"] is None
    assert found["conclusion"] == "INCONCLUSIVE"
    assert found["note"].startswith("too few patients: 4 with and 16 without")
    assert found["auroc_ci_delong"] is None


def test_one_segment_per_patient_gets_delongs_interval():
    rng = np.random.default_rng(0)
    y = (np.arange(200) % 2).astype(np.float32)
    found = judged(rows_of(y[:, None]), (y + rng.normal(0, 1, 200))[:, None])[0]
    assert found["auroc_ci_delong"][0] < found["auroc"] < found["auroc_ci_delong"][1]
    assert found["auroc_ci_delong"] == pytest.approx(found["auroc_ci"], abs=0.03)
    assert found["conclusion"] == "strong"


@pytest.mark.parametrize(("label", "word"), [(0.0, "positive"), (1.0, "negative")])
def test_a_single_class_is_reported(label, word):
    found = judged(rows_of(np.full((30, 1), label)), np.zeros((30, 1)))[0]
    assert found["auroc"] is None
    assert found["conclusion"] == "NOT JUDGED"
    assert f"no {word} label in these data" in found["note"]


def test_a_head_without_labels_is_reported():
    found = judged(rows_of(np.full((5, 2), NAN), heads=(head("a"), head("b", direction=None))), np.zeros((5, 2)))
    assert [h["n"] for h in found] == [0, 0]
    assert found[0]["note"] == "no label in this part"
    assert found[1]["note"] == "no measured value in this part"


def test_unknown_labels_do_not_count():
    truth = np.array([1, 0, NAN, 1, 0, NAN])[:, None]
    found = judged(rows_of(truth), np.array([2.0, 1.0, 99.0, 4.0, 3.0, -99.0])[:, None])[0]
    assert (found["n"], found["positives"]) == (4, 2)
    assert found["auroc"] == 0.75


def test_values_by_hand():
    """Median 4 and interquartile range 0.5 in the training part; errors of 0.5, 0.5, 1 and 0."""
    truth, said = np.array([3.0, 4.0, 5.0, 6.0])[:, None], np.array([3.5, 4.5, 4.0, 6.0])[:, None]
    v = judged(rows_of(truth, heads=(head("v", direction=None),)), said)[0]["values"]
    assert v["mae"]["value"] == 0.5
    assert v["mae_of_the_median"] == 1.0
    assert v["relative_mae"]["value"] == 0.5
    assert v["mae_in_iqr"] == 1.0
    assert v["r2"] == pytest.approx(1.0 - 1.5 / 5.0, abs=1e-4)
    assert v["correlation"]["value"] == pytest.approx(np.corrcoef(truth[:, 0], said[:, 0])[0, 1], abs=1e-4)
    assert v["bias"]["value"] == 0.0
    sd = np.std([0.5, 0.5, -1.0, 0.0], ddof=1)
    assert v["limits"] == pytest.approx([-1.96 * sd, 1.96 * sd], abs=1e-3)


def test_a_constant_median_has_the_error_of_the_median():
    truth = np.random.default_rng(0).normal(4.2, 1, (300, 1))
    v = judged(rows_of(truth, heads=(head("v", direction=None),)), np.full((300, 1), 4.0))[0]["values"]
    assert v["relative_mae"]["value"] == 1.0
    assert v["relative_mae"]["ci"] == [1.0, 1.0]
    assert v["correlation"]["value"] is None


def test_correlation_of_resampled_patients_equals_that_of_the_resampled_rows():
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(12), 4)
    a = rng.normal(0, 1, 48) + 100.0
    b = 0.5 * a + rng.normal(0, 1, 48)
    resampler = Resampler(patient, 1, 300)
    drawn = [np.corrcoef(*(np.repeat(x, times[patient]) for x in (a, b)))[0, 1] for times in resampler._counts]
    found = correlation(a, b, resampler)
    assert (found.low, found.high) == pytest.approx(ends_of(found.value, drawn, 12, "atanh"), abs=1e-9)


@given(st.integers(0, 1000), st.integers(1, 4000))
@settings(max_examples=20, deadline=None)
def test_coarse_steps_keep_the_order(seed, n):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(0, 1, n), int(rng.integers(1, 6)))
    _, level, count = np.unique(scores, return_inverse=True, return_counts=True)
    step = steps(count)[level]
    assert np.array_equal(np.unique(step), np.arange(step.max() + 1))
    assert step.max() < LEVELS
    i, j = rng.integers(0, n, (2, 500))
    assert not np.any((scores[i] < scores[j]) & (step[i] > step[j]))
    assert not np.any((scores[i] == scores[j]) & (step[i] != step[j]))


def test_coarse_steps_change_no_auroc_and_hardly_an_interval():
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(300), 40)
    y = patient % 5 == 0
    scores = 0.6 * y + rng.normal(0, 0.7, 300)[patient] + rng.normal(0, 0.7, len(patient))
    assert len(np.unique(scores)) > LEVELS
    found = Draws(1, 100).ranked(scores, y, patient)
    from convert.stats.discrimination import ranking

    whole = ranking(scores, y, Resampler(patient, 1, 100))
    assert found.auroc.value == whole.auroc.value == pytest.approx(auroc(scores, y))
    assert found.auprc.value == whole.auprc.value
    for a, b in ((found.auroc, whole.auroc), (found.auprc, whole.auprc)):
        assert (a.low, a.high) == pytest.approx((b.low, b.high), abs=5e-4)


def test_intervals_over_patients_contain_the_truth():
    """80 draws of clustered segments at nominal 95 %. Intervals over segments would contain the truth in about half."""
    held, d, between, within = 0, 0.8, 0.8, 0.6
    truth = 0.5 * (1.0 + math.erf(d / math.sqrt(between**2 + within**2) / 2.0))
    for seed in range(80):
        rng = np.random.default_rng(seed)
        patient = np.repeat(np.arange(60), 6)
        y = patient % 2 == 0
        scores = d * y + rng.normal(0, between, 60)[patient] + rng.normal(0, within, len(patient))
        ci = Draws(seed, 200).ranked(scores, y, patient).auroc
        held += ci.low <= truth <= ci.high
    assert 68 <= held <= 80


# Ten minutes


def test_ten_minutes_by_hand():
    """Two visits; the second block of the first visit ends 20 s after its first block."""
    start = [0, 10, 590, 600, 620, 0, 5000]
    visit = [7, 7, 7, 7, 7, 9, 9]
    o = order(np.array(visit), np.array(start, dtype=np.float64))
    assert o.block.tolist() == [1, 1, 1, 2, 2, 3, 4]
    places = newest(np.ones(7, dtype=bool), o)
    assert [start[i] for i in o.rows[places]] == [590, 620, 0, 5000]
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    # Up to 600 s all three count, up to 630 s those from 30 s on. Then each counts alone.
    assert means(values, o, places).tolist() == [7 / 3, 28 / 3, 32.0, 64.0]
    known = np.array([True, True, False, True, False, True, False])
    assert [start[i] for i in o.rows[newest(known, o)]] == [10, 600, 0]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_ten_minutes_equal_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    visit = rng.integers(0, 4, n)
    start = 10.0 * rng.permutation(400)[:n] + 1.6e9
    known, values = rng.random(n) < 0.7, rng.normal(0, 1, n)
    o = order(visit, start)
    places = newest(known, o)
    want = {}
    for v in set(visit.tolist()):
        mine = [i for i in range(n) if visit[i] == v]
        begin = min(start[mine])
        for i in sorted(mine, key=lambda i: start[i]):
            if known[i]:
                before = [k for k in mine if start[i] + 10 - 600 <= start[k] <= start[i]]
                want[v, (start[i] - begin) // 600] = (i, np.mean(values[before]))
    assert sorted(o.rows[places].tolist()) == sorted(i for i, _ in want.values())
    found = dict(zip(o.rows[places].tolist(), means(values, o, places).tolist(), strict=True))
    assert found == pytest.approx(dict(want.values()))


def test_ten_minutes_remove_the_noise_of_single_segments():
    """The truth belongs to the patient and the noise to the segment, so the mean of sixty removes the noise."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(80), 60)
    y = (patient % 2).astype(np.float32)
    shown = (y + rng.normal(0, 3, len(y)))[:, None].astype(np.float32)
    rows = rows_of(y[:, None], patient=patient, start_s=10.0 * (np.arange(len(y)) % 60))
    found = aggregate(rows, shown, Draws(1, 200))
    h = found["heads"][0]
    assert (h["n"], h["patients"], h["positives"], h["segments_median"]) == (80, 80, 40, 60.0)
    last = np.arange(59, len(y), 60)
    assert h["single"] == pytest.approx(auroc(shown[last, 0], y[last] > 0), abs=1e-4)
    assert h["aggregate"] == pytest.approx(auroc(shown.reshape(80, 60).mean(axis=1), y[last] > 0), abs=1e-4)
    assert h["difference"]["value"] == pytest.approx(h["aggregate"] - h["single"], abs=2e-4)
    assert h["verdict"] == "better"
    assert found["summary"]["probability"] == {
        "compared": 1, "better": 1, "worse": 0, "INCONCLUSIVE": 0,
        "median_difference": h["difference"]["value"],
    }  # fmt: skip


def test_a_single_segment_gives_its_own_ten_minutes():
    y = (np.arange(60) % 2).astype(np.float32)
    shown = np.random.default_rng(0).normal(0, 1, (60, 1)).astype(np.float32)
    h = aggregate(rows_of(y[:, None]), shown, Draws(1, 200))["heads"][0]
    assert h["difference"] == {"value": 0.0, "ci": [0.0, 0.0]}
    assert h["verdict"] == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("low", "high", "few", "more", "word"),
    [
        (0.1, 0.2, False, True, "better"),
        (-0.2, -0.1, False, True, "worse"),
        (0.1, 0.2, False, False, "worse"),
        (-0.2, -0.1, False, False, "better"),
        (-0.1, 0.1, False, True, "INCONCLUSIVE"),
        (0.1, 0.2, True, True, "INCONCLUSIVE"),
        (None, None, False, True, "INCONCLUSIVE"),
    ],
)
def test_an_interval_is_described_in_words(low, high, few, more, word):
    assert which_better(low, high, few=few, more_is_better=more) == word


# Other models


def compared(rng: np.random.Generator):
    patient = np.repeat(np.arange(100), 4)
    y = (patient % 3 == 0).astype(np.float32)
    value = 4.0 + rng.normal(0, 1, 100)[patient]
    truth = np.stack((y, y, value), axis=1)
    rows = rows_of(truth, patient=patient, heads=(head("a"), head("b"), head("v", direction=None)))
    noise = rng.normal(0, 1, (400, 3))
    return rows, np.stack((2.5 * y, 0.5 * y, value), axis=1) + noise * [1, 1, 0.1], rng


def test_better_worse_and_untrained_models_are_distinguished():
    rows, shown, rng = compared(np.random.default_rng(0))
    shown = shown.astype(np.float32)
    other = np.stack((rng.normal(0, 1, 400), 4 * rows.truth[:, 0] + rng.normal(0, 1, 400), np.full(400, 4.0)), axis=1)
    untrained = np.full((400, 3), NAN, dtype=np.float32)
    heads = against(rows, shown, {"weak": other.astype(np.float32), "none": untrained}, Draws(1, 300))
    assert [h["against"]["weak"]["verdict"] for h in heads] == ["better", "worse", "better"]
    assert {h["against"]["none"]["verdict"] for h in heads} == {"NOT TRAINED"}
    a = heads[0]["against"]["weak"]
    assert a["difference"]["value"] == pytest.approx(a["network"] - a["other"], abs=2e-4)
    assert heads[2]["against"]["weak"]["network"] == pytest.approx(
        float(np.abs(shown - rows.truth)[:, 2].mean()), abs=1e-4
    )
    summary = tally(heads, ["weak", "none"])
    assert summary["weak"]["probability"]["better"] == summary["weak"]["probability"]["worse"] == 1
    assert summary["weak"]["value"]["better"] == 1
    assert summary["none"]["probability"]["compared"] == 0


def test_a_teacher_is_not_inferior_to_itself_and_inferior_to_a_better_one():
    rows, shown, _ = compared(np.random.default_rng(0))
    shown = shown.astype(np.float32)
    same = with_reference(rows, shown, shown, 0.01, Draws(1, 300))
    assert [h["verdict"] for h in same] == ["PASS", "PASS", "INCONCLUSIVE"]
    assert [h["difference"]["value"] for h in same] == [0.0, 0.0, 0.0]
    assert [h["correlation"] for h in same] == [1.0, 1.0, 1.0]
    better = shown.copy()
    better[:, 1] += 4 * rows.truth[:, 1]
    better[:, 0] = NAN
    found = with_reference(rows, shown, better, 0.01, Draws(1, 300))
    assert [h["verdict"] for h in found] == ["NOT TRAINED", "FAIL", "INCONCLUSIVE"]
    few = rows_of(rows.truth[:32], patient=rows.patient[:32], heads=rows.heads)
    assert with_reference(few, shown[:32], shown[:32], 0.01, Draws(1, 300))[0]["verdict"] == "INCONCLUSIVE"


# The paper's summary, and the present next to the horizons


def found(key: str, lab: str, direction: str, area: float | None, horizon: int | None = None) -> dict:
    tier = None if area is None else "strong" if area > 0.65 else "limited" if area < 0.55 else "moderate"
    return {
        "key": key, "lab": lab, "direction": direction, "kind": "probability", "horizon_min": horizon, "auroc": area,
        "auroc_ci": None if area is None else [area - 0.1, area + 0.1], "n": 10, "positives": 2, "tier": tier,
        "conclusion": "NOT JUDGED" if area is None else tier,
    }  # fmt: skip


def test_evidence_levels_are_counted_as_in_the_paper():
    heads = [
        found("k_low", "k", "low", 0.60), found("k_high", "k", "high", 0.70), found("na_low", "na", "low", 0.50),
        found("na_high", "na", "high", None), found("k_high_30min", "k", "high", 0.66, 30),
        {**found("k_value", "k", "low", None), "kind": "value", "direction": None},
    ]  # fmt: skip
    groups = {g["group"]: g for g in tiers(heads)["groups"]}
    assert {k: groups["all heads"][k] for k in ("heads", "judged", "strong", "moderate", "limited")} == {
        "heads": 5, "judged": 4, "strong": 2, "moderate": 1, "limited": 1,
    }  # fmt: skip
    assert groups["estimation (now)"]["heads"] == 4
    assert groups["monitoring, 30 min"]["strong"] == 1
    assert groups["now, high"]["judged"] == 1
    assert groups["labs, best direction, now"]["strong"] == groups["labs, best direction, now"]["limited"] == 1
    assert groups["all heads"]["auroc_mean"] == pytest.approx((0.6 + 0.7 + 0.5 + 0.66) / 4)
    assert [h["key"] for h in best_directions(heads[:4])] == ["k_high", "na_low"]
    as_paper = groups["all heads, by the estimate, as the paper counts"]
    assert (as_paper["strong"], as_paper["moderate"], as_paper["limited"]) == (2, 1, 1)
    paper = tiers(heads)["paper"]
    assert paper["strong"] + paper["moderate"] + paper["limited"] == paper["heads"] == 108


def test_present_and_horizons_are_in_one_table():
    heads = [found("k_high", "k", "high", 0.7), found("k_high_30min", "k", "high", 0.6, 30),
             found("k_low_120min", "k", "low", 0.8, 120)]  # fmt: skip
    table = side_by_side(heads)
    assert table["columns"] == ["now", "30", "120"]
    assert [(r["lab"], r["direction"]) for r in table["rows"]] == [("k", "high"), ("k", "low")]
    assert table["rows"][0]["now"]["auroc"] == 0.7
    assert table["rows"][0]["30"]["auroc"] == 0.6
    assert table["rows"][0]["120"] is table["rows"][1]["now"] is None


# Matching


def data_with(folder: Path, *heads: PreparedHead, dropped: str = "") -> PreparedDataset:
    rows = [{name: getattr(h, name) for name in PreparedHead.__slots__} | {"kept": True, "dropped": ""} for h in heads]
    if dropped:
        rows.append({**rows[0], "key": dropped, "kept": False, "dropped": "3 results"})
    manifest = {"schema": "anyecg.prepared/1", "key": "k", "heads": rows, "shards": [], "segments": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return PreparedDataset(folder)


def output(key: str, **other) -> TeacherHead:
    given = {"lab": "x", "loinc": None, "unit": "1", "kind": "probability", "direction": "high", **other}
    return TeacherHead(key, **given)


def test_heads_are_matched_by_key_and_the_rest_is_reported(tmp_path):
    data = data_with(tmp_path, head("a"), head("b"), head("c"), dropped="e")
    matched = match_heads([output("d"), output("c"), output("e"), output("a")], data, "it")
    assert matched.pairs == ((3, 0), (1, 2))
    assert matched.teacher_only == ("d", "e (the data have 3 results)")
    assert matched.data_only == ("b",)


def test_no_common_head_is_refused_with_both_lists(tmp_path):
    with pytest.raises(InputError, match=r"the teacher has x0, .* and 2 more; the data have a, b"):
        match_heads([output(f"x{i}") for i in range(10)], data_with(tmp_path, head("a"), head("b")), "it")


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"direction": "low"}, "direction low and high"),
        ({"horizon_min": 30}, "horizon_min 30 and None"),
        ({"kind": "value", "unit": "mmol/L"}, "kind value and probability"),
    ],
)
def test_different_heads_with_the_same_key_are_refused(tmp_path, other, what):
    with pytest.raises(InputError, match=what):
        match_heads([output("a", **other)], data_with(tmp_path, head("a")), "it")


def test_a_value_in_another_unit_is_refused(tmp_path):
    data = data_with(tmp_path, head("v", direction=None))
    theirs = output("v", kind="value", direction=None, unit="mg/dL")
    with pytest.raises(InputError, match="unit mg/dL and mmol/L"):
        match_heads([theirs], data, "it")
