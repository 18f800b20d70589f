"""Small statistics against numpy and scipy, at every size and limit where the method changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edge.stats import PARTITION_FROM, median, normal_quantile, percentile


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, PARTITION_FROM - 1, PARTITION_FROM, PARTITION_FROM + 1, 1000])
def test_the_median_of_an_array_a_list_and_an_iterator_is_numpys(n: int) -> None:
    x = np.random.default_rng(n).standard_normal(n)
    assert median(x) == median(x.tolist()) == median(iter(x.tolist())) == np.median(x)
    counts = np.random.default_rng(n).integers(0, 50, n)
    assert median(counts) == median(counts.tolist()) == np.median(counts)


def test_the_median_does_not_change_its_argument() -> None:
    for n in (5, 1000):
        x = np.arange(n, 0.0, -1.0)
        median(x)
        assert x.tolist() == list(range(n, 0, -1))


@pytest.mark.parametrize("n", [1, 2, 3, 20])
@pytest.mark.parametrize("percent", [0.0, 1.0, 25.0, 50.0, 75.0, 99.0, 100.0])
def test_percentiles_are_numpys(n: int, percent: float) -> None:
    x = np.random.default_rng(n).standard_normal(n)
    assert percentile(x, percent) == pytest.approx(np.percentile(x, percent), abs=1e-15)


@pytest.mark.parametrize("p", [1e-6, 0.025, 0.4, 0.499, 0.5, 0.6, 0.975, 1 - 1e-6])
def test_normal_quantiles_are_scipys(p: float) -> None:
    assert normal_quantile(p) == pytest.approx(stats.norm.ppf(p), abs=1e-9)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, 1.1])
def test_zero_one_and_invalid_probabilities_have_no_quantile(p: float) -> None:
    with pytest.raises(ValueError, match=f"needs 0 < p < 1, not {p}"):
        normal_quantile(p)
