"""Additive models: planted effects are found, useless measurements are not taken, and nothing flatters."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.fusion.additive import Rows, choose, cross_fitted, fit, logits_of
from calibration.fusion.run import compare
from convert.stats.metrics import auroc
from edge.stats import sigmoid
from edge.waves.fuse import MEASUREMENTS, term_logits

T, QT, QRS = (MEASUREMENTS.index(name) for name in ("t_mv", "qtc_fridericia_ms", "qrs_ms"))


def planted(n: int, seed: int, effect: float, *, missing: float = 0.1) -> Rows:
    """Patients, some of them twice, whose labels follow the network and, beyond it, a V of T and a missing QRS."""
    rng = np.random.default_rng(seed)
    patient = np.arange(n) * 3 // 4
    means = np.full((n, len(MEASUREMENTS)), np.nan)
    means[:, T] = rng.normal(0.3, 0.1, n)
    means[:, QT] = rng.normal(410.0, 25.0, n)
    means[:, QRS] = np.where(rng.random(n) < missing, np.nan, rng.normal(95.0, 10.0, n))
    network = rng.normal(-1.0, 1.0, n)
    shape = np.abs(means[:, T] - 0.3) / 0.1 - 0.8 + np.where(np.isnan(means[:, QRS]), 1.5, -0.1)
    return Rows(network, means, rng.random(n) < sigmoid(network + effect * shape), patient)


def test_planted_curve_and_missing_effect_are_found_and_the_useless_measurement_is_not_taken() -> None:
    rows = planted(1600, 1, 1.0)
    features = choose(rows, 1)
    assert set(features) == {"t_mv", "qrs_ms"}
    model = fit(rows, features)
    terms = {term.feature: term for term in model.terms}
    low, middle, high = term_logits(terms["t_mv"], np.array([0.15, 0.3, 0.45]))
    assert min(low, high) - middle > 0.8
    known, missing = term_logits(terms["qrs_ms"], np.array([95.0, np.nan]))
    assert missing - known > 0.7
    assert model.weight == pytest.approx(1.0, abs=0.25)
    held_out = cross_fitted(rows, 1)
    network, fused, gain = compare(held_out, rows, 1)
    assert gain.low > 0.0
    assert gain.value == pytest.approx(fused.value - network.value)
    fresh = planted(4000, 2, 1.0)
    assert auroc(held_out, rows.labels) == pytest.approx(auroc(logits_of(model, fresh), fresh.labels), abs=0.04)


def test_without_a_planted_effect_the_gate_stays_closed() -> None:
    passed = []
    for seed in range(12):
        rows = planted(400, 100 + seed, 0.0)
        _network, _fused, gain = compare(cross_fitted(rows, 1), rows, 1)
        passed.append(bool(choose(rows, 1)) and gain.low > 0.0)
    assert sum(passed) == 0


def test_a_fit_to_the_judged_patients_would_flatter_and_the_cross_fit_does_not() -> None:
    found = []
    for seed in range(6):
        rows = planted(160, 200 + seed, 0.0)
        everything = fit(rows, ["t_mv", "qtc_fridericia_ms", "qrs_ms"])
        found.append(
            [auroc(s, rows.labels) for s in (logits_of(everything, rows), cross_fitted(rows, 1), rows.network)]
        )
    flattered, honest, network = np.mean(found, axis=0)
    assert flattered > network + 0.005
    assert honest <= network + 0.005


def test_a_constant_or_unknown_measurement_has_no_curve() -> None:
    rows = planted(200, 3, 1.0)
    rows.means[:, MEASUREMENTS.index("rr_ms")] = 800.0
    model = fit(rows, ["rr_ms", "st_mv", "t_mv"])
    assert [term.feature for term in model.terms] == ["t_mv"]


def test_every_patient_has_the_same_weight() -> None:
    rows = planted(300, 4, 1.0)
    once = np.unique(rows.patient, return_index=True)[1]
    single = rows.part(once)
    many = single.part(np.repeat(np.arange(len(once)), 1 + 3 * (np.arange(len(once)) % 2)))
    a, b = fit(single, ["t_mv"]), fit(many, ["t_mv"])
    # Only the quantiles at which the knots lie follow the number of rows.
    values = np.linspace(0.1, 0.5, 9)
    assert np.max(np.abs(term_logits(a.terms[0], values) - term_logits(b.terms[0], values))) < 0.25
