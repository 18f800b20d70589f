"""Corrections for many tests, by hand and on tables that show nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.stats.multiplicity import adjusted, benjamini_hochberg, discoveries, holm


def test_holm_by_hand() -> None:
    """Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.5; the third is raised to the second."""
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.4, 0.5]) == pytest.approx([0.8, 0.8])
    assert holm([]).shape == (0,)


def test_benjamini_and_hochberg_by_hand() -> None:
    """Sorted: 0.01 * 4, 0.02 * 2, 0.03 * 4 / 3, 0.5; the first two are lowered to the third."""
    assert benjamini_hochberg([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.04, 0.5, 0.04, 0.04])
    assert benjamini_hochberg([0.9, 0.95]) == pytest.approx([0.95, 0.95])


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_no_correction_makes_a_test_easier(p: list[float]) -> None:
    for found in (holm(p), benjamini_hochberg(p)):
        assert (found >= np.array(p)).all()
        assert (found <= 1.0).all()
    assert (holm(p) >= benjamini_hochberg(p) - 1e-12).all()


def test_differences_survive_a_false_discovery_rate() -> None:
    """One clear difference of twenty survives; one at the border does not, unless it is the only test."""
    nothing = [(-0.1, 0.0, 0.1)] * 18
    assert discoveries([(0.05, 0.1, 0.15), (0.001, 0.1, 0.199), None, *nothing])[:3] == [True, False, False]
    assert discoveries([(0.001, 0.1, 0.199)]) == [True]
    assert discoveries([(0.2, 0.2, 0.2), (0.0, 0.0, 0.0)]) == [True, False]


def test_what_was_not_tested_is_no_test() -> None:
    assert adjusted([0.01, None, 0.02], "holm") == [pytest.approx(0.02), None, pytest.approx(0.02)]
    assert adjusted([None], "fdr") == [None]


def test_both_methods_have_their_names() -> None:
    """Of 0.03 and 0.04 the first is doubled by Holm's method and raises the second; the other one lowers it."""
    assert adjusted([0.03, 0.04], "holm") == pytest.approx([0.06, 0.06])
    assert adjusted([0.03, 0.04], "fdr") == pytest.approx([0.04, 0.04])


def test_a_table_of_108_null_tests_rarely_has_a_claim() -> None:
    """Without correction nearly every table has one; with Holm's, one in twenty."""
    p = np.random.default_rng(0).random((2000, 108))
    assert np.mean((p <= 0.05).any(axis=1)) > 0.99
    claimed = np.mean([(holm(row) <= 0.05).any() for row in p])
    assert 0.035 <= claimed <= 0.065
