"""Scores of chains, on so few candidates that the test can enumerate every chain."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from edge.beats.chain import HIGHEST_BPM, JITTER, LOWEST_BPM, MISSED, NEUTRAL, SHORTEST, ChainFinder
from edge.beats.shape import Candidates

FS = 125.0
FINDER = ChainFinder(FS)
N = 1250


def candidates(*pairs: tuple[int, float]) -> Candidates:
    return Candidates(np.array([at for at, _ in pairs]), np.array([likeness for _, likeness in pairs]))


def earned(chain: list[tuple[int, float]], period: float, n: int = N) -> float:
    """Return the score of a chain by definition: likeness above the neutral one, minus the cost of its intervals."""
    total = sum(likeness - NEUTRAL for _, likeness in chain)
    total -= MISSED * (np.floor(chain[0][0] / period) + np.floor((n - chain[-1][0]) / period))
    for (a, _), (b, _) in pairwise(chain):
        count = max(1.0, np.rint((b - a) / period))
        if count > 3 or b - a <= SHORTEST * period:
            return -1e6
        total -= 0.5 * (np.log((b - a) / (count * period)) / JITTER) ** 2 + MISSED * (count - 1)
    return total


def test_the_rates_are_steps_of_two_percent_from_25_to_240() -> None:
    rates = np.exp(FINDER.log_rate)
    assert rates[0] == pytest.approx(LOWEST_BPM) == pytest.approx(25.0)
    assert np.diff(FINDER.log_rate) == pytest.approx(np.full(len(rates) - 1, 0.02))
    assert HIGHEST_BPM / np.exp(0.02) < rates[-1] <= HIGHEST_BPM == 240.0
    assert FINDER.period == pytest.approx(60.0 * FS / rates)


@pytest.mark.parametrize("seed", range(6))
def test_the_best_of_all_chains_is_found_for_each_rate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = np.sort(rng.choice(np.arange(20, N - 20), 7, replace=False))
    pairs = list(zip(at.tolist(), rng.uniform(0.3, 1.0, 7).tolist(), strict=True))
    chains = FINDER.find(candidates(*pairs), N)
    every = [list(c) for k in range(1, 8) for c in combinations(pairs, k)]
    for rate in range(0, len(FINDER.period), 9):
        best = max(every, key=lambda c: earned(c, FINDER.period[rate]))
        assert chains.score[rate] == pytest.approx(earned(best, FINDER.period[rate]), abs=1e-4)
        assert chains.beats(rate).tolist() == [a for a, _ in best]


def test_no_candidates_cost_the_price_of_every_missing_beat() -> None:
    chains = FINDER.find(candidates(), N)
    assert chains.score == pytest.approx(-MISSED * np.floor(N / FINDER.period))
    assert chains.beats(0).tolist() == []


@pytest.mark.parametrize(("missing", "linked"), [(2, True), (3, False)])
def test_two_beats_in_a_row_may_be_missing_and_not_three(missing: int, linked: bool) -> None:
    rate = 40
    period = FINDER.period[rate]
    at = [round(100 + period * k) for k in range(9) if not 3 < k <= 3 + missing]
    chains = FINDER.find(candidates(*((a, 1.0) for a in at)), round(at[-1] + period / 2))
    assert (chains.beats(rate).tolist() == at) is linked


def test_the_longest_interval_is_three_of_the_slowest_beats() -> None:
    longest = int(3 * FINDER.period[0])
    for interval, linked in ((longest, True), (longest + 1, False)):
        chains = FINDER.find(candidates((10, 1.0), (10 + interval, 1.0)), 20 + interval)
        assert (len(chains.beats(0)) == 2) is linked


def test_rates_reach_from_25_to_240_in_steps_of_two_percent() -> None:
    finder = ChainFinder(125.0)
    rates = np.exp(finder.log_rate)
    assert rates[0] == pytest.approx(25.0)
    assert np.diff(finder.log_rate) == pytest.approx(0.02)
    assert rates[-1] <= 240.0 < rates[-1] * np.exp(0.02)
    assert finder.period == pytest.approx(7500.0 / rates)


def test_intervals_up_to_six_tenths_of_the_period_are_never_taken() -> None:
    finder = ChainFinder(125.0)
    for rate in (0, 50, len(finder.period) - 1):
        shortest = int(SHORTEST * finder.period[rate])
        assert finder._price[: shortest + 1, rate] == pytest.approx(-1e6)
        assert finder._price[shortest + 1, rate] > -100.0
        assert finder._price[round(finder.period[rate]), rate] == pytest.approx(0.0, abs=0.1)
