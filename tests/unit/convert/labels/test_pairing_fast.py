"""Pairing by sorted times gives the rows that comparing each segment with each result gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.labels.labs import ROW
from convert.labels.pairing import UNKNOWN, Ahead, paired
from convert.labels.plan import Pairing
from helpers.plain_pairing import plain_ahead, plain_paired

START_S = 1.6e9


def visit(seed: int, segments: int, results: int, grid_s: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts in any order, some without a clock, and results in any order, some at one time."""
    rng = np.random.default_rng(seed)
    start_s = START_S + np.round(rng.uniform(0, 36_000, segments) / 0.008) * 0.008
    start_s = np.where(rng.random(segments) < 0.5, np.round(start_s), start_s)
    start_s[rng.random(segments) < 0.1] = np.nan
    rows = np.zeros(results, dtype=ROW)
    rows["order_s"] = START_S + grid_s * np.round(rng.uniform(-3600, 40_000, results) / grid_s)
    rows["result_s"] = rows["order_s"] + grid_s * rng.integers(0, max(2, int(7200 / grid_s)), results)
    if seed % 2:
        rows.sort(order=("order_s", "result_s"))
    return start_s, rows, rng.choice(np.array([0, 1, UNKNOWN], dtype=np.uint8), results)


VISITS = (st.integers(0, 10**6), st.integers(0, 60), st.integers(0, 12), st.sampled_from([1.0, 60.0, 1800.0]))


@given(*VISITS, st.sampled_from([0.0, 0.5, 5.0, 60.0, 600.0]))
@settings(max_examples=300, deadline=None)
def test_the_same_results_are_paired(seed: int, segments: int, results: int, grid_s: float, minutes: float) -> None:
    start_s, rows, _ = visit(seed, segments, results, grid_s)
    for pairing in (
        Pairing(mode="nearest", minutes=minutes, time="order"),
        Pairing(mode="nearest", minutes=minutes, time="result"),
        Pairing(before_min=minutes),
    ):
        assert paired(start_s, rows, pairing).tolist() == plain_paired(start_s, rows, pairing).tolist()


@given(*VISITS, st.sampled_from([30, 60, 120]), st.sampled_from(["order_s", "result_s"]))
@settings(max_examples=300, deadline=None)
def test_the_same_results_are_ahead(
    seed: int, segments: int, results: int, grid_s: float, horizon_min: int, time: str
) -> None:
    start_s, rows, label = visit(seed, segments, results, grid_s)
    found = Ahead(start_s, rows[time], 60.0 * horizon_min).of(label)
    plain = plain_ahead(start_s, rows[time], label, 60.0 * horizon_min)
    assert [x.tolist() for x in found] == [x.tolist() for x in plain]
    assert [x.dtype for x in found] == [x.dtype for x in plain]


def test_random_visits_have_every_answer() -> None:
    """The comparison above says something: labels of each kind occur, and rows that are not the first in time."""
    start_s, rows, label = visit(4, 60, 12, 60.0)
    answer, row = Ahead(start_s, rows["result_s"], 7200.0).of(label)
    assert set(answer.tolist()) == {0, 1, UNKNOWN}
    assert len(set(row.tolist())) > 3


@pytest.mark.parametrize("mode", [Pairing(mode="nearest", minutes=1.0), Pairing(before_min=1.0)])
def test_a_result_without_times_holds_for_every_segment(mode: Pairing) -> None:
    rows = np.zeros(2, dtype=ROW)
    rows["order_s"], rows["result_s"] = -np.inf, np.inf
    start_s = np.array([START_S, np.nan])
    assert paired(start_s, rows, mode).tolist() == plain_paired(start_s, rows, mode).tolist()
    assert paired(start_s, rows, mode).tolist() == [0, 0 if mode.mode == "nearest" else -1]
