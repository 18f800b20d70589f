"""Replicates of patients: what is drawn, what is summed, and when an interval is given."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

from convert.stats import resampling
from convert.stats.metrics import Score
from convert.stats.resampling import Resampler, interval, quotient

PATIENT = np.array([7, 7, 3, 9, 9, 9, 3, 20])
"""Four patients, numbered in the order 3, 7, 9, 20."""


def counts(patients: int, seed: int, resamples: int) -> np.ndarray:
    return np.random.default_rng([seed, 11]).multinomial(patients, np.full(patients, 1 / patients), size=resamples)


def test_patients_are_counted() -> None:
    r = Resampler(PATIENT, 0, 10)
    assert (r.patients, r.distinct, r.resamples) == (4, False, 10)
    assert r.patients_of(PATIENT > 7) == 2
    assert r.patients_of(PATIENT == 7) == 1
    assert Resampler(np.array([5, 1, 3]), 0, 10).distinct
    assert Resampler(PATIENT, 0).resamples == 1000


@pytest.mark.parametrize("cells", [1, 9, 4_000_000])
def test_totals_and_levels_are_those_of_the_patients_drawn(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(resampling, "CHUNK_CELLS", cells)
    r = Resampler(PATIENT, 2, 25)
    value = np.array([1.0, 2.0, -4.0, 0.5, 0.25, 8.0, 16.0, 3.0])
    times = counts(4, 2, 25)[:, [1, 1, 0, 2, 2, 2, 0, 3]]
    assert r.totals(value) == pytest.approx(times @ value)
    level = np.array([0, 1, 2, 0, 1, 2, 0, 1])
    slow = np.stack([(times * value)[:, level == k].sum(axis=1) for k in range(4)])
    chunks = list(r.levels(level, 4, value))
    assert np.concatenate([table for _, table in chunks], axis=1) == pytest.approx(slow)
    assert [i for chunk, _ in chunks for i in range(25)[chunk]] == list(range(25))
    assert len(chunks) == {1: 25, 9: 13, 4_000_000: 1}[cells]
    assert all(table.shape == (4, chunk.stop - chunk.start) for chunk, table in chunks)


def test_a_ratio_without_a_denominator_is_not_a_number() -> None:
    r = Resampler(PATIENT, 3, 60)
    only = (PATIENT == 20).astype(float)
    times = counts(4, 3, 60)[:, 3]
    found = r.ratio(5.0 * only, 2.0 * only)
    assert 0 < np.count_nonzero(times == 0) < 60
    assert np.array_equal(found, np.where(times > 0, 2.5, np.nan), equal_nan=True)


def test_nobody_gives_replicates_of_nothing() -> None:
    r = Resampler(np.empty(0, dtype=int), 0, 5)
    assert (r.patients, r.distinct) == (0, True)
    assert r.totals(np.empty(0)).tolist() == [0.0] * 5
    assert np.isnan(r.ratio(np.empty(0), np.empty(0))).all()
    assert [table.shape for _, table in r.levels(np.empty(0, dtype=int), 0, np.empty(0))] == [(0, 5)]


def test_quotients_by_hand() -> None:
    found = quotient(np.array([1.0, 3.0, 0.0, -1.0, 1.0]), np.array([2.0, 0.0, 0.0, 0.5, -1.0]))
    assert np.array_equal(found, [0.5, np.nan, np.nan, -2.0, np.nan], equal_nan=True)


def test_an_interval_by_hand() -> None:
    replicates = np.concatenate([np.arange(101) / 100, [np.nan] * 20, [np.inf]])
    assert interval(0.4, replicates) == Score(0.4, pytest.approx(0.025), pytest.approx(0.975))
    assert interval(0.4, replicates, 0.8) == Score(0.4, pytest.approx(0.1), pytest.approx(0.9))
    for undefined in (None, np.nan, np.inf):
        assert interval(undefined, replicates) == Score(None, None, None)
    assert interval(0.4, np.empty(0)) == Score(0.4, None, None)


def test_kept_draws_are_those_that_are_drawn_anew_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of other patients with the same number share them; another number, seed or length never does."""
    monkeypatch.setattr(resampling, "_kept", OrderedDict())
    asked = [(40, 1, 30, 11), (41, 1, 30, 11), (40, 2, 30, 11), (40, 1, 31, 11), (40, 1, 30, 12)]
    for patients, seed, resamples, stream in [*asked, *reversed(asked)]:
        rows = 100 + np.repeat(np.random.default_rng(patients).permutation(3 * patients)[:patients], 2)
        even = np.full(patients, 1 / patients)
        anew = np.random.default_rng([seed, stream]).multinomial(patients, even, size=resamples)
        r = Resampler(rows, seed, resamples, stream)
        assert r._counts.dtype == np.uint16
        assert np.array_equal(r._counts, anew)
        assert np.array_equal(r.totals(np.ones(len(rows))), 2.0 * anew.sum(axis=1))
    assert len(resampling._kept) == len(asked)
    with pytest.raises(ValueError, match="read-only"):
        Resampler(rows, 1, 30)._counts[0, 0] = 7


def test_kept_draws_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_kept", OrderedDict())
    monkeypatch.setattr(resampling, "KEPT_BYTES", 2 * 10 * (5 + 6))
    first = Resampler(np.arange(5), 0, 10)
    Resampler(np.arange(6), 0, 10)
    assert Resampler(np.arange(5), 0, 10)._counts is first._counts
    Resampler(np.arange(4), 0, 10)
    assert [key[0] for key in resampling._kept] == [5, 4], "those used longest ago are dropped"
    Resampler(np.arange(20), 0, 10)
    assert not resampling._kept, "draws that are larger than the bound are not kept"
