"""Calibration methods and their selection, against written-out definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from convert.stats.method_names import METHODS
from convert.stats.methods import FOLDS, MIN_BLOCK, Curve, choose, fit, folds, log_loss
from convert.stats.probability import MIN_SLOPE, fit_platt
from edge.stats import sigmoid


def drawn(n: int, seed: int, slope: float = 0.6, offset: float = -0.4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(0.0, 1.5, n)
    return z, rng.random(n) < sigmoid(slope * z + offset)


def test_each_curve_by_hand_with_its_entry() -> None:
    z = np.array([-1.0, 0.0, 2.0])
    for curve, p, entry in (
        (Curve("none"), sigmoid(z), {"method": "none"}),
        (Curve("temperature", 0.5), sigmoid(0.5 * z), {"method": "temperature", "a": 0.5}),
        (Curve("platt", 0.5, -1.0), sigmoid(0.5 * z - 1.0), {"method": "platt", "a": 0.5, "b": -1.0}),
        (
            Curve("isotonic", x=(-0.5, 1.0), y=(0.2, 0.8)),
            np.array([0.2, 0.4, 0.8]),
            {"method": "isotonic", "x": [-0.5, 1.0], "y": [0.2, 0.8]},
        ),
    ):
        assert curve.probability(z) == pytest.approx(p)
        assert curve.entry() == entry


def test_the_temperature_has_the_lowest_log_loss() -> None:
    for seed, slope in ((1, 0.3), (2, 1.0), (3, 3.0)):
        z, y = drawn(400, seed, slope, 0.0)
        best = minimize_scalar(
            lambda a, z=z, y=y: log_loss(sigmoid(a * z), y).sum(), bounds=(0.01, 20), method="bounded"
        )
        curve = fit("temperature", z, y)
        assert curve.method == "temperature"
        assert curve.a == pytest.approx(best.x, rel=1e-3)
        assert curve.a == round(curve.a, 9)


def test_a_temperature_never_reverses_a_ranking() -> None:
    z, y = drawn(200, 4, -2.0, 0.0)
    assert fit("temperature", z, y).a == pytest.approx(MIN_SLOPE, abs=1e-9)


def test_platt_is_fitted_and_rounded_and_none_is_not() -> None:
    z, y = drawn(300, 5)
    line = fit_platt(z, y)
    assert fit("platt", z, y) == Curve("platt", round(line.a, 9), round(line.b, 9))
    assert fit("none", z, y) == Curve("none")


class TestIsotonic:
    def test_a_step_of_two_levels_has_a_knot_in_the_middle_of_each(self) -> None:
        z = np.arange(40.0)
        y = np.concatenate([np.arange(20) % 10 == 9, np.arange(20) % 10 != 0])  # 2 of 20, then 18 of 20
        curve = fit("isotonic", z, y)
        assert curve.method == "isotonic"
        assert all(a < b for a, b in zip(curve.x, curve.x[1:], strict=False))
        assert all(a <= b for a, b in zip(curve.y, curve.y[1:], strict=False))
        assert 0.0 < curve.y[0] < 0.15
        assert 0.85 < curve.y[-1] < 1.0

    def test_shares_are_shrunk_to_the_prevalence_by_one_patient(self) -> None:
        """Ten negatives, then ten positives: shares (0 + 0.5) / 11 and (10 + 0.5) / 11, at the middle of each group."""
        curve = fit("isotonic", np.arange(20.0), np.arange(20) >= 10)
        assert curve.x == (4.5, 14.5)
        assert curve.y == (pytest.approx(0.5 / 11), pytest.approx(10.5 / 11))

    def test_a_step_of_fewer_patients_than_eight_is_joined_with_its_neighbour(self) -> None:
        assert MIN_BLOCK == 8
        for well, levels in ((7, 1), (8, 2), (22, 2), (23, 1)):  # of 30
            assert len(set(fit("isotonic", np.arange(30.0), np.arange(30) >= well).y)) == levels

    def test_a_reversed_ranking_gives_one_level(self) -> None:
        curve = fit("isotonic", np.arange(20.0), np.arange(20) < 10)
        assert curve.x == (8.5, 10.5)
        assert curve.y == (pytest.approx(10.5 / 21),) * 2

    def test_the_order_of_the_rows_does_not_matter(self) -> None:
        z, y = drawn(300, 6)
        order = np.random.default_rng(0).permutation(300)
        assert fit("isotonic", z[order], y[order]) == fit("isotonic", z, y)


def test_log_loss_is_clipped_at_a_millionth() -> None:
    found = log_loss(np.array([0.25, 0.25, 0.0, 1.0, 1.0]), np.array([True, False, True, False, True]))
    assert found == pytest.approx([np.log(4), -np.log(0.75), np.log(1e6), np.log(1e6), 1e-6], rel=1e-4)


def test_folds_split_patients_and_distribute_the_positives() -> None:
    patients = np.repeat(np.arange(100), 3)
    labels = np.repeat(np.arange(100) < 23, 3) & (np.arange(300) % 3 == 1)  # positive in one of three rows
    fold = folds(patients, labels, 1)
    assert set(fold) == set(range(FOLDS))
    by_patient = fold.reshape(100, 3)
    assert (by_patient == by_patient[:, :1]).all()
    ill = np.bincount(by_patient[:23, 0])
    assert sorted(ill) == [4, 4, 5, 5, 5]
    assert sorted(np.bincount(by_patient[23:, 0])) == [15, 15, 15, 16, 16]
    assert (folds(patients, labels, 1) == fold).all()
    assert (folds(patients, labels, 2) != fold).any()


def test_held_out_probabilities_come_from_a_fit_without_the_patient() -> None:
    z, y = drawn(200, 7)
    patients = np.arange(200) // 2
    found = choose(z, y, patients, methods=("platt",), seed=3)
    fold = folds(patients, y, 3)
    for k in range(FOLDS):
        line = fit("platt", z[fold != k], y[fold != k])
        assert found.held_out[fold == k] == pytest.approx(line.probability(z[fold == k]))
    assert found.curve == fit("platt", z, y)
    assert not found.kept


def test_every_patient_has_the_same_weight() -> None:
    z, y = drawn(60, 8)
    patients = np.concatenate([np.arange(59), [58]])
    found = choose(z, y, patients, methods=("none",))
    losses = log_loss(sigmoid(z), y)
    assert found.losses == {"none": pytest.approx(np.mean([*losses[:58], losses[58:].mean()]))}


def test_the_lowest_loss_wins_and_the_present_calibration_stays_otherwise() -> None:
    z, y = drawn(2000, 9, 1.0, 0.0)
    patients = np.arange(2000)
    right, wrong = Curve("platt", 1.0, 0.0), Curve("platt", 5.0, 3.0)
    kept = choose(z, y, patients, before=right)
    assert kept.kept
    assert kept.curve is right
    assert kept.held_out == pytest.approx(sigmoid(z))
    assert set(kept.losses) == {*METHODS, "before"}
    assert kept.losses["before"] == min(kept.losses.values())
    changed = choose(z, y, patients, before=wrong)
    assert not changed.kept
    assert changed.losses[changed.curve.method] == min(changed.losses.values()) < changed.losses["before"]
    # With equal losses the calibration of the bundle comes first, then the simplest method.
    assert choose(z, y, patients, methods=("none",), before=Curve("none")).kept


def test_without_a_seed_the_folds_are_those_of_seed_0() -> None:
    z, y = drawn(80, 10)
    patients = np.arange(80)
    plain = choose(z, y, patients)
    assert plain.losses == choose(z, y, patients, METHODS, None, 0).losses
    assert plain.losses != choose(z, y, patients, seed=1).losses
