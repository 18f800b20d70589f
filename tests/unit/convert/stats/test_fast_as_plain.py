"""The statistics of a report are those of their plain form, bit by bit where they are sums of whole numbers."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.evaluate.heads import Draws
from convert.stats import resampling
from convert.stats.reliability import reliability
from convert.stats.resampling import Resampler
from edge.stats import sigmoid
from helpers.plain_statistics import PlainResampler, plain_ranked, plain_reliability


def rows(seed: int, n: int, patients: int, digits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, labels with both classes, and patients with unequal numbers of rows."""
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, patients, n) * int(rng.integers(1, 9)) + int(rng.integers(-9, 9))
    scores = np.round(rng.normal(0, 2, n), digits)
    labels = rng.random(n) < sigmoid(scores - 1.0)
    labels[:2] = True, False
    return scores, labels, patient


@given(st.integers(0, 10_000), st.integers(4, 3000), st.integers(1, 90), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_rankings_are_bit_identical(seed: int, n: int, patients: int, digits: int) -> None:
    scores, labels, patient = rows(seed, n, patients, digits)
    found = Draws(seed, 40).ranked(scores, labels, patient)
    plain = plain_ranked(scores, labels, PlainResampler(patient, seed, 40))
    assert (found.auroc, found.auprc) == (plain.auroc, plain.auprc)
    assert (found.positives, found.negatives) == (plain.positives, plain.negatives)
    assert np.array_equal(found.auroc_replicates, plain.auroc_replicates, equal_nan=True)


@given(st.integers(0, 10_000), st.integers(4, 3000), st.integers(1, 90), st.integers(0, 4))
@settings(max_examples=25, deadline=None)
def test_reliability_is_bit_identical_but_for_the_order_of_sums(seed: int, n: int, patients: int, digits: int) -> None:
    scores, labels, patient = rows(seed, n, patients, digits)
    found = reliability(sigmoid(scores), labels, Resampler(patient, seed, 40), seed)
    plain = plain_reliability(sigmoid(scores), labels, PlainResampler(patient, seed, 40), seed)
    assert (found.ece, found.bins, found.curve) == (plain.ece, plain.bins, plain.curve)
    assert found.ece_chance == pytest.approx(plain.ece_chance, rel=1e-12)
    ends = [np.array(astuple(x.brier), dtype=np.float64) for x in (found, plain)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("weight", [1.0, 0.5, 2.0**24])
def test_sums_that_float32_would_round_are_made_in_float64(weight: float) -> None:
    """A third of 0.1 has no exact float32, and 2 ** 24 + 1 has none either."""
    patient = np.array([0, 0, 1, 2])
    values = np.array([weight, 1.0, weight, 0.1])
    level = np.zeros(4, dtype=np.int64)
    found = next(iter(Resampler(patient, 3, 20).levels(level, 1, values)))[1]
    assert found[0] == pytest.approx(Resampler(patient, 3, 20).totals(values), rel=1e-15)


def test_whole_sums_are_made_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is what decides: without it, the sum of two large whole numbers would be rounded."""
    patient, level = np.array([0, 0]), np.zeros(2, dtype=np.int64)
    values = np.array([2.0**24, 1.0])
    assert next(iter(Resampler(patient, 3, 1).levels(level, 1, values)))[1].tolist() == [[2.0**24 + 1.0]]
    monkeypatch.setattr(resampling, "EXACT", 1 << 40)
    assert next(iter(Resampler(patient, 3, 1).levels(level, 1, values)))[1].tolist() == [[2.0**24]]


@pytest.mark.parametrize("patients", [[5, 1, 5, 900], [10**12, -4, 10**12, 7], [0, 0, 0, 0], [2, 1, 0, 2]])
def test_patients_are_numbered_in_their_order_with_a_table_or_by_sorting(patients: list[int]) -> None:
    """The draws belong to the ranks of the patients, so another order would give other intervals."""
    unique, index = np.unique(patients, return_inverse=True)
    resampler = Resampler(np.array(patients), 0, 5)
    assert (resampler.patients, resampler.index.tolist()) == (len(unique), index.tolist())
