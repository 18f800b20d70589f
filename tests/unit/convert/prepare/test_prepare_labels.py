"""Labels of segments: units, limits, censored values and pairing, compared with the rules written out directly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.datasets.labcatalogue import catalogue
from convert.datasets.units import factor_to_catalogue
from convert.labels.labs import ROW
from convert.labels.pairing import UNKNOWN, abnormal, label_visit, paired
from convert.labels.plan import Pairing, candidate_heads, parse_plan


def rows(*given_rows: tuple) -> np.ndarray:
    """Return rows of (lab, sign, order minute, result minute, value, low, high)."""
    return np.array([(1, lab, s, 60.0 * o, 60.0 * r, v, lo, hi) for lab, s, o, r, v, lo, hi in given_rows], dtype=ROW)


NAN = math.nan


@pytest.mark.parametrize(
    ("sign", "value", "low", "high", "expected"),
    [
        (0, 4.0, 3.5, 5.0, (0, 0, 0)),
        (0, 3.4, 3.5, 5.0, (1, 0, 1)),
        (0, 5.1, 3.5, 5.0, (0, 1, 1)),
        (0, 3.5, 3.5, 5.0, (0, 0, 0)),
        (0, 5.0, 3.5, 5.0, (0, 0, 0)),
        (1, 10.0, 3.5, 5.0, (0, 1, 1)),
        (1, 5.0, 3.5, 5.0, (0, 1, 1)),
        (1, 4.0, 3.5, 5.0, (0, UNKNOWN, UNKNOWN)),
        (1, 3.0, 3.5, 5.0, (UNKNOWN, UNKNOWN, UNKNOWN)),
        (-1, 3.0, 3.5, 5.0, (1, 0, 1)),
        (-1, 3.5, 3.5, 5.0, (1, 0, 1)),
        (-1, 4.0, 3.5, 5.0, (UNKNOWN, 0, UNKNOWN)),
        (0, 12.0, NAN, 10.0, (UNKNOWN, 1, 1)),
        (0, 9.0, NAN, 10.0, (UNKNOWN, 0, 0)),
        (-1, 3.0, NAN, 10.0, (UNKNOWN, 0, 0)),
        (-1, 12.0, NAN, 10.0, (UNKNOWN, UNKNOWN, UNKNOWN)),
        (0, 9.0, NAN, NAN, (UNKNOWN, UNKNOWN, UNKNOWN)),
    ],
)
def test_labels_follow_the_reference_range_of_the_row(sign, value, low, high, expected):
    one = rows((0, sign, 0, 1, value, low, high))
    assert tuple(int(abnormal(one, d)[0]) for d in ("low", "high", "abnormal")) == expected


minutes = st.integers(0, 400)


@given(
    starts=st.lists(minutes, min_size=1, max_size=4),
    times=st.lists(st.tuples(minutes, st.integers(0, 200)), max_size=5),
    before=st.integers(0, 90),
)
def test_pairing_follows_the_rule(starts, times, before):
    start_s = 60.0 * np.array(starts, dtype=float)
    results = rows(*((0, 0, o, o + wait, 1.0, NAN, NAN) for o, wait in times))
    for i, row in enumerate(paired(start_s, results, Pairing(before_min=before))):
        middle = starts[i] + 5 / 60
        fits = [k for k, (o, wait) in enumerate(times) if o - before <= middle <= o + wait]
        if not fits:
            assert row == -1
            continue
        key = [(max(times[k][0] - middle, 0.0), abs(times[k][0] - middle), k) for k in fits]
        assert row == min(key)[2]
    for i, row in enumerate(paired(start_s, results, Pairing(mode="nearest", minutes=before, time="result"))):
        away = [(abs(o + wait - starts[i] - 5 / 60), k) for k, (o, wait) in enumerate(times)]
        assert row == (min(away)[1] if away and min(away)[0] <= before else -1)


PLAN = parse_plan(
    "[heads]\nhorizons_min = [30]\ndirections = ['high']\nhorizon_directions = ['high']\n[labs.potassium]", "l.toml"
)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], UNKNOWN),
        ([(20.0, 4.0)], 0),
        ([(20.0, 4.0), (25.0, 6.0)], 1),
        ([(30.0 + 10 / 60, 6.0)], 1),
        ([(30.0 + 11 / 60, 6.0)], UNKNOWN),
        ([(10 / 60, 6.0)], UNKNOWN),
        ([(11 / 60, 6.0)], 1),
        ([(20.0, 4.0), (40.0, 6.0)], 0),
    ],
)
def test_a_horizon_starts_after_the_segment_and_includes_its_end(results, expected):
    """The horizon is (0, 30] minutes after the last sample of a segment that starts at 0."""
    heads = candidate_heads(PLAN)
    assert [h.key for h in heads] == ["potassium_high", "potassium_high_30min", "potassium_value"]
    found = label_visit(np.array([0.0]), rows(*((0, 0, t, t, v, 3.5, 5.0) for t, v in results)), PLAN, heads)
    assert int(found.binary[0, 1]) == expected


def test_a_censored_value_is_not_a_regression_target():
    heads = candidate_heads(PLAN)
    found = label_visit(np.array([0.0]), rows((0, 1, 10, 20, 8.0, 3.5, 5.0)), PLAN, heads)
    assert found.binary[0, 0] == 1
    assert np.isnan(found.values[0, 0])
    assert found.draws[0].tolist() == [0, 0, -1]


@pytest.mark.parametrize(
    ("lab", "unit", "factor"),
    [
        ("potassium", "mmol/L", 1.0), ("potassium", "meq/l", 1.0), ("potassium", "mg/dL", None),
        ("glucose", "mmol/L", 18.016), ("creatinine", "\u03bcmol/L", 0.011312), ("creatinine", "umol/L", 0.011312),
        ("wbc", "K/uL", 1.0), ("hemoglobin", "g/L", 0.1), ("inr", "", 1.0), ("potassium", "", None),
        ("troponin_i", "ng/L", 0.001), ("hs_troponin_i", "pg/mL", 1.0), ("calcium", "furlong", None),
    ],
)  # fmt: skip
def test_units(lab, unit, factor):
    assert factor_to_catalogue(catalogue()[lab], unit, {}) == factor


def test_every_lab_knows_its_own_unit_and_conversions_agree():
    for lab in catalogue().values():
        assert factor_to_catalogue(lab, lab.unit, {}) == 1.0
    # mmol/L to mg/dL and back with the molar masses, in g/mol.
    for lab, mass in (("calcium", 40.078), ("magnesium", 24.305), ("phosphate", 30.974), ("glucose", 180.16),
                      ("bun", 28.014)):  # fmt: skip
        assert factor_to_catalogue(catalogue()[lab], "mmol/L", {}) == pytest.approx(mass / 10, rel=1e-4)
    for lab, unit, mass in (("creatinine", "umol/L", 113.12), ("bilirubin_total", "umol/L", 584.67),
                            ("uric_acid", "umol/L", 168.11)):  # fmt: skip
        assert factor_to_catalogue(catalogue()[lab], unit, {}) == pytest.approx(mass / 10000, rel=1e-4)
    assert factor_to_catalogue(catalogue()["free_t4"], "pmol/L", {}) == pytest.approx(776.87 / 10000, rel=1e-4)
    assert factor_to_catalogue(catalogue()["lactate"], "mg/dL", {}) == pytest.approx(10 / 90.08, rel=1e-4)
