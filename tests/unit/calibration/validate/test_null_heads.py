"""Heads and groups that show nothing: how often a report claims something about them.

A thousand of each kind; the upper end of the interval of the share that is called something is at most 5 %.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from calibration.clinical.external import ExternalHeadRecord, _head, conclude_differences
from calibration.validate.judge import judge_heads
from calibration.validate.subgroups import subgroups
from convert.stats.bounds import wilson
from edge.stats import sigmoid
from helpers.judged import LIMITS, made_up

HEADS = 1000

pytestmark = pytest.mark.timeout(300)  # thousands of rankings; a busy machine takes long


def at_most_five_percent(called: int) -> bool:
    return wilson(called / HEADS, HEADS).high <= 0.05


def scores(rng: np.random.Generator, n: int, heads: int, auroc: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with an AUROC, and labels of equal classes."""
    y = np.tile((np.arange(n) % 2)[:, None], (1, heads)).astype(float)
    return sigmoid(rng.standard_normal((n, heads)) + np.sqrt(2.0) * norm.ppf(auroc) * y), y


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("probability", 50),
        pytest.param("probability", 1, marks=pytest.mark.slow),
        pytest.param("value", 1, marks=pytest.mark.slow),
        ("value", 50),
    ],
)
def test_null_heads_have_no_level(kind: str, table: int) -> None:
    """Alone, where no correction helps, and in tables of fifty, of which at most one in twenty may have a claim."""
    rng, called, tables = np.random.default_rng(table), 0, 0
    n = 140 if kind == "value" else 44
    for seed in range(HEADS // table // (1 if table > 1 else 2)):
        values, truth = scores(rng, n, table, 0.5)
        if kind == "value":
            values = 4.0 + 0.01 * rng.standard_normal((n, table))  # nearly the mean of everybody
            truth = 4.0 + 0.3 * rng.standard_normal((n, table))
        heads = judge_heads(made_up(values, truth, kind=kind, seed=seed))
        assert {h["enough_patients"] for h in heads} == {True}
        found = sum(h["tier"] is not None for h in heads)
        called, tables = called + found * (1 if table > 1 else 2), tables + (found > 0)
    assert at_most_five_percent(called)
    if table > 1:
        assert tables <= 3


@pytest.mark.slow
def test_heads_of_equal_accuracy_are_rarely_worse_in_another_source() -> None:
    """A hundred tables of ten heads: at most one table in twenty has a claim, within three standard errors."""
    rng, called, tables, alone = np.random.default_rng(3), 0, 0, 0
    for seed in range(100):
        first, second = (
            judge_heads(made_up(*scores(rng, n, 10, 0.75), seed=seed + 1000 * k)) for k, n in enumerate((60, 90))
        )
        rows: list[ExternalHeadRecord] = [_head(a, b) for a, b in zip(first, second, strict=True)]
        conclude_differences(rows)
        found = sum(row["verdict"] != "INCONCLUSIVE" for row in rows)
        called, tables = called + found, tables + (found > 0)
        alone += sum(row["p_difference"] <= 0.05 for row in rows)
    assert at_most_five_percent(called)
    assert tables <= 12
    assert 0.03 <= alone / HEADS <= 0.07  # without the correction the test has its nominal level


def test_groups_of_equal_accuracy_are_rarely_worse() -> None:
    """Fifty tables of ten heads in two groups, which are a thousand results."""
    rng, called, tables, tested = np.random.default_rng(4), 0, 0, 0
    for seed in range(50):
        rhythm = np.where(np.arange(120) % 4 < 2, "sinus", "paced")
        values, truth = scores(rng, 120, 10, 0.75)
        rows = subgroups(made_up(values, truth, rhythm=rhythm, seed=seed), LIMITS)["rows"]
        tested += sum(row["p_worse"] is not None for row in rows)
        found = sum(row["clearly_worse"] for row in rows)
        called, tables = called + found, tables + (found > 0)
    assert tested == HEADS
    assert at_most_five_percent(called)
    assert tables <= 7
