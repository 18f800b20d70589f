"""The steps of the heart rate in noise, each by hand: what is believed, what is learnt, and what is a good window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.beats.chain import Chains
from edge.beats.shape import Candidates, Shape
from edge.beats.track import HeartRate, _Look, _scatter

NONE = np.empty(0, dtype=np.int64)
EVEN = np.arange(100, 1200, 100)
"""Beats of 75 per minute."""
UNIT = np.array([3.0, 0.0, -4.0, 0.0, 1.0])
UNEVEN = np.cumsum([60, 100, 40, 100, 90, 130, 60, 100, 150, 100])


def look(**changes: Any) -> _Look:
    given: dict[str, Any] = {
        "window": np.zeros(1250), "band": np.zeros(1250), "beats": EVEN, "score": 0.6, "own": None,
        "found": Candidates(NONE, np.empty(0)), "share": 1.0, "scatter": 0.0,
    }  # fmt: skip
    return _Look(**{**given, **changes})


def tracker(**known: Any) -> HeartRate:
    made = HeartRate()
    for name, value in known.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("beats", "scatter"),
    [([], 1.0), ([5], 1.0), ([0, 100], 0.0), ([0, 100, 190, 300], 0.1), ([0, 80, 180, 300], 0.2), ([3, 3, 3], 0.0)],
)
def test_scatter_is_the_median_deviation_of_the_intervals(beats: list[int], scatter: float) -> None:
    assert _scatter(np.array(beats, dtype=np.int64)) == pytest.approx(scatter)


class TestBelief:
    @pytest.mark.parametrize("passed_s", [0.1, 1.0, 10.0])
    def test_a_rate_walks_two_percent_a_second_and_leaps_now_and_then(self, passed_s: float) -> None:
        made = HeartRate()
        n = len(made._belief)
        assert made._belief == pytest.approx(np.full(n, 1.0 / n))
        made._belief = np.zeros(n)
        made._belief[n // 2] = 1.0
        made._drift(passed_s)
        leap = 1.0 - 0.995**passed_s
        walked = (made._belief - leap / n) / (1.0 - leap)
        assert made._belief.sum() == pytest.approx(1.0)
        off = made._chains.log_rate - made._chains.log_rate[n // 2]
        assert np.sum(walked * off) == pytest.approx(0.0, abs=1e-9)
        assert np.sqrt(np.sum(walked * off * off)) == pytest.approx(0.02 * np.sqrt(passed_s))
        assert walked.min() > -1e-12

    def test_nothing_walks_out_at_the_ends(self) -> None:
        for end in (0, -1):
            made = HeartRate()
            made._belief = np.zeros(len(made._belief))
            made._belief[end] = 1.0
            made._drift(2.0)
            assert made._belief.sum() == pytest.approx(1.0)
            assert int(made._belief.argmax()) == end % len(made._belief)

    def test_evidence_multiplies(self) -> None:
        made = HeartRate()
        n = len(made._belief)
        made._believe(np.where(np.arange(n) == 7, np.log(3.0), 0.0) + 1000.0)
        assert made._belief[7] == pytest.approx(3.0 / (n + 2))
        assert np.delete(made._belief, 7) == pytest.approx(np.full(n - 1, 1.0 / (n + 2)))
        made._believe(np.where(np.arange(n) == 7, -2000.0, 0.0))
        assert made._belief.sum() == pytest.approx(1.0)
        assert 0.0 < made._belief[7] < 1e-300

    @pytest.mark.parametrize(("scatter", "sd"), [(0.0, 0.04), (0.03, 0.04), (0.2, 0.2)])
    def test_a_good_window_is_certain_to_four_percent_or_its_scatter(self, scatter: float, sd: float) -> None:
        made = HeartRate()
        assert made._from_beats(look(scatter=scatter)) == 75.0
        off = (made._chains.log_rate - np.log(75.0)) / sd
        expected = np.exp(-0.5 * off * off)
        assert made._belief == pytest.approx(expected / expected.sum(), rel=1e-9, abs=1e-12)
        assert made._from_beats(look(beats=NONE)) is None


class TestGoodWindows:
    @pytest.mark.parametrize(
        ("changes", "good"),
        [
            ({}, True),
            ({"share": 0.75, "score": 0.49}, True),
            ({"share": 0.74, "score": 0.49}, False),
            ({"share": 0.0, "score": 0.5}, True),
            ({"share": 0.0, "score": 0.5, "scatter": 0.5}, True),
            ({"score": 0.49, "scatter": 0.1}, True),
            ({"score": 0.49, "scatter": 0.101}, False),
            ({"beats": EVEN[:2], "score": 1.0}, False),
            ({"beats": EVEN[:3], "score": 1.0}, True),
        ],
    )
    def test_most_beats_look_alike_in_a_rhythm_or_the_gate_trusts_them(
        self, changes: dict[str, Any], good: bool
    ) -> None:
        assert HeartRate()._is_good(look(**changes)) is good

    @pytest.mark.parametrize(("scatter", "good"), [(None, False), (0.1, False), (0.11, True)])
    def test_an_irregular_rhythm_asks_for_none(self, scatter: float | None, good: bool) -> None:
        assert tracker(_scatter=scatter)._is_good(look(score=0.2, scatter=0.4)) is good


class TestLearning:
    def test_the_newest_window_weighs_a_fifth(self) -> None:
        made = HeartRate()
        first, second = Shape(UNIT, 10.0), Shape(UNIT[::-1], 20.0)
        made._learn(look(own=first, scatter=0.5))
        assert (made._scatter, made._shape.size) == (0.5, 10.0)
        assert made._shape.unit == pytest.approx(UNIT / np.sqrt(26.0))
        old = made._shape.unit
        made._learn(look(own=second, scatter=0.0))
        assert (made._scatter, made._shape.size) == (pytest.approx(0.4), pytest.approx(12.0))
        mixed = old + 0.2 * (UNIT[::-1] - old)
        assert made._shape.unit == pytest.approx(mixed / np.linalg.norm(mixed))

    def test_a_window_of_other_beats_teaches_its_rhythm_only(self) -> None:
        known = Shape(UNIT, 10.0)
        made = tracker(_shape=known, _scatter=0.1)
        made._learn(look(own=Shape(-UNIT, 1.0), share=0.74, scatter=0.2))
        assert (made._shape, made._scatter) == (known, pytest.approx(0.12))
        made._learn(look(own=None))
        assert made._shape is known
        made._learn(look(own=Shape(UNIT, 20.0), share=0.75))
        assert made._shape.size == pytest.approx(12.0)
        fresh = HeartRate()
        fresh._learn(look(own=known, share=0.0))
        assert fresh._shape.size == 10.0

    @pytest.mark.parametrize(("score", "learns"), [(0.5, True), (0.49, False)])
    def test_only_usable_windows_teach(self, score: float, learns: bool) -> None:
        made = HeartRate()
        made._from_beats(look(score=score, own=Shape(UNIT, 10.0)))
        assert (made._shape is not None) is learns


class TestNewShape:
    def look(self, made: HeartRate, **changes: Any) -> _Look:
        t = (np.arange(1250)[:, None] - EVEN) / 2.5
        band = made._matcher.band(np.sum((1.0 - t * t) * np.exp(-0.5 * t * t), axis=1))
        return look(**{"band": band, "own": made._matcher.learn(band, EVEN), **changes})

    def test_twenty_usable_windows_of_another_shape_forget_the_known_one(self) -> None:
        made = tracker(_shape=Shape(np.zeros(21), 1.0))
        shown = self.look(made)
        for _ in range(19):
            made._notice_new_shape(shown)
        assert (made._shape is not None, made._strange) == (True, 19)
        for other in (self.look(made, score=0.49), self.look(made, own=None), self.look(made, beats=EVEN + 30)):
            made._notice_new_shape(other)
        assert made._strange == 19
        made._notice_new_shape(self.look(made, score=0.5))
        assert (made._shape, made._strange) == (None, 0)
        made._notice_new_shape(shown)
        assert made._strange == 0


class TestIrregular:
    @pytest.mark.parametrize(("step", "rate_bpm"), [(100, 75.0), (75, 100.0), (71, None)])
    def test_beats_and_both_sets_of_candidates_agree_within_a_factor_of_1_4(
        self, step: int, rate_bpm: float | None
    ) -> None:
        """The beats and the surest candidates give 75 per minute; the others are faster."""
        others = np.setdiff1d(np.arange(100, 1200, step), EVEN)
        at = np.sort(np.concatenate([EVEN, others])) if step != 100 else EVEN
        likeness = np.where(np.isin(at, EVEN), 0.75, 0.64)
        assert tracker()._from_candidates(look(found=Candidates(at, likeness))) == 75.0
        surer = Candidates(np.arange(100, 1200, step), np.full(len(np.arange(100, 1200, step)), 0.65))
        none = tracker()._from_candidates(look(found=surer))
        assert none is None  # nothing of 0.75
        found = Candidates(np.arange(100, 1200, step), np.full(len(np.arange(100, 1200, step)), 0.75))
        expected = None if rate_bpm is None else 75.0 if step == 100 else rate_bpm
        assert tracker()._from_candidates(look(found=found)) == expected


class FixedChains:
    """Stands for the finder: one chain, and what each rate earns."""

    def __init__(self, real: Any, best: int, score: float, beats: np.ndarray) -> None:
        self.log_rate, self.period = real.log_rate, real.period
        totals = np.zeros((len(beats), len(self.period)))
        totals[-1] = 1.0
        before = np.tile(np.arange(-1, len(beats) - 1)[:, None], (1, len(self.period)))
        scores = np.full(len(self.period), score - 50.0)
        scores[best] = score
        self.found = Chains(scores, beats, totals, before)

    def find(self, found: Candidates, n: int) -> Chains:
        assert n == 1250
        return self.found


class TestChain:
    def rate(self, *, score: float = 5.0, beats: np.ndarray = EVEN, at: np.ndarray = EVEN, like: float = 0.8,
             weight: float = 1.0, best: int = 55) -> float | None:  # fmt: skip
        made = HeartRate()
        made._chains = FixedChains(made._chains, best, score, beats)
        return made._from_chain(look(found=Candidates(at, np.full(len(at), like))), weight)

    def test_it_is_the_median_interval_of_the_chain(self) -> None:
        period = float(HeartRate()._chains.period[55])
        assert period == pytest.approx(100.0, abs=1.0)
        assert self.rate() == 75.0
        missing = np.delete(EVEN, [2, 5, 6])  # two intervals of 200 and 300 count as of 100
        assert self.rate(beats=missing, at=missing) == 75.0
        assert self.rate(beats=EVEN[:4], at=EVEN[:4]) == pytest.approx(7500.0 / period)
        assert self.rate(beats=EVEN[:5] + 3 * np.arange(5), at=EVEN[:1]) == pytest.approx(7500.0 / 103.0)

    @pytest.mark.parametrize(("score", "credible"), [(0.0, False), (0.01, True)])
    def test_a_chain_that_earns_nothing_is_none(self, score: float, credible: bool) -> None:
        assert (self.rate(score=score) is not None) is credible

    @pytest.mark.parametrize(("alike", "credible"), [(11, True), (22, True), (23, False)])
    def test_the_chain_takes_half_of_the_candidates_that_match(self, alike: int, credible: bool) -> None:
        at = np.sort(np.concatenate([EVEN, np.arange(5, 5 + alike - 11)]))
        assert (self.rate(at=at) is not None) is credible
        assert self.rate(like=0.79) is None

    def test_a_rate_is_credible_from_sixty_percent_on(self) -> None:
        """The rates of a chain earn 50 more than all others, weighted: at last one rate in some 110 is not enough."""
        n = len(HeartRate()._belief)
        for share, credible in ((0.58, False), (0.62, True)):
            # Of rates within 6 % there are seven: three on both sides.
            rest = (1.0 - share) * n / (n - 7)
            peak = n - rest * (n - 1)
            weight = np.log(peak / rest) / 50.0
            near = (peak + 6 * rest) / n
            assert near == pytest.approx(share, abs=0.03)
            assert (self.rate(weight=float(weight)) is not None) is credible


def test_windows_pass_from_beats_to_chain_and_back() -> None:
    """Five good windows, ten whose beats are lost in false ones at the same rate, and none without a shape."""
    t = (np.arange(1250)[:, None] - EVEN) / 2.5
    window = np.sum((1.0 - t * t) * np.exp(-0.5 * t * t), axis=1)
    made = HeartRate()
    assert made.update(9.0, np.zeros(1250), NONE, 0.0) is None
    assert [made.update(10.0 + k, window, EVEN, 1.0) for k in range(5)] == [75.0] * 5
    assert [made.update(15.0 + k, window, UNEVEN, 0.2) for k in range(5)] == [75.0] * 5
    assert made.update(20.0, np.zeros(1250), UNEVEN, 0.2) is None
    made.reset()
    assert (made._shape, made._scatter, made._strange, made._end_s) == (None, None, 0, None)
