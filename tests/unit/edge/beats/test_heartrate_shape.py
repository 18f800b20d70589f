"""Shapes in windows: learning them, finding them, and the effect of size and position on the likeness."""

from __future__ import annotations

import numpy as np
import pytest

from edge.beats.feature import TAPS_S
from edge.beats.shape import Candidates, ShapeMatcher, unit_shape

FS = 125.0
N = 1250
MATCHER = ShapeMatcher(FS)
REACH, SPACING, NEAR = 10, 12, 5
"""80, 100 and 40 ms in samples."""


def complex_at(*places: int, size: float = 1.0, n: int = N) -> np.ndarray:
    t = (np.arange(n)[:, None] - np.array(places)) / 2.5
    return size * np.sum((1.0 - t * t) * np.exp(-0.5 * t * t), axis=1)


def test_a_unit_shape_has_mean_0_and_length_1() -> None:
    shape = unit_shape(np.array([1.0, 2.0, 3.0, 10.0]), 7.0)
    assert shape.unit.sum() == pytest.approx(0.0, abs=1e-12)
    assert np.linalg.norm(shape.unit) == pytest.approx(1.0)
    assert shape.unit == pytest.approx(np.array([-3.0, -2.0, -1.0, 6.0]) / np.sqrt(50.0))
    assert shape.size == 7.0
    assert unit_shape(np.ones(5), 1.0).unit.tolist() == [0.0] * 5


def test_the_band_keeps_the_length_and_stops_baseline_and_mains() -> None:
    t = np.arange(N) / FS
    assert MATCHER.band(np.zeros(N)).shape == (N,)
    inside = slice(50, -50)
    assert np.abs(MATCHER.band(np.sin(2 * np.pi * 11 * t)))[inside].max() == pytest.approx(1.0, abs=0.05)
    for frequency_hz in (0.5, 50.0):
        assert np.abs(MATCHER.band(np.sin(2 * np.pi * frequency_hz * t)))[inside].max() < 0.02


class TestLearning:
    BEATS = np.arange(100, 1200, 100)

    def test_the_shape_is_that_of_the_beats_and_its_size_their_usual_one(self) -> None:
        band = complex_at(*self.BEATS, size=3.0)
        shape = MATCHER.learn(band, self.BEATS)
        one = band[100 - REACH : 100 + REACH + 1]
        assert shape is not None
        assert shape.unit == pytest.approx(unit_shape(one, 1.0).unit)
        assert shape.size == pytest.approx(np.linalg.norm(one - one.mean()))

    def test_a_few_false_beats_of_any_size_do_not_change_it(self) -> None:
        band = complex_at(*self.BEATS)
        band[345:356] = 100.0 * np.arange(11)
        shape, clean = (
            MATCHER.learn(band, np.sort([*self.BEATS, 350])),
            MATCHER.learn(complex_at(*self.BEATS), self.BEATS),
        )
        assert shape is not None
        assert clean is not None
        assert shape.unit == pytest.approx(clean.unit, abs=0.02)
        assert shape.size == pytest.approx(clean.size)

    @pytest.mark.parametrize(
        ("beats", "known"),
        [([100, 200, 300], True), ([100, 200], False), ([REACH, 200, 300], True), ([REACH - 1, 200, 300], False)],
    )
    def test_three_complete_beats_are_needed(self, beats: list[int], known: bool) -> None:
        assert (MATCHER.learn(complex_at(*beats), np.array(beats)) is not None) is known
        mirrored = np.array([N - 1 - b for b in reversed(beats)])
        assert (MATCHER.learn(complex_at(*mirrored), mirrored) is not None) is known


class TestCandidates:
    SHAPE = MATCHER.learn(complex_at(100, 200, 300), np.array([100, 200, 300]))

    def found(self, band: np.ndarray) -> dict[int, float]:
        assert self.SHAPE is not None
        found = MATCHER.candidates(band, self.SHAPE)
        return dict(zip(found.at.tolist(), found.likeness.tolist(), strict=True))

    def test_the_same_beats_are_found_where_they_are(self) -> None:
        assert self.found(complex_at(150, 400, 900)) == {at: pytest.approx(1.0, abs=1e-3) for at in (150, 400, 900)}

    @pytest.mark.parametrize("factor", [4.0, 0.25])
    def test_another_size_reduces_the_likeness_by_the_root_of_the_factor(self, factor: float) -> None:
        assert self.found(complex_at(400, size=factor)) == {400: pytest.approx(0.5, abs=1e-3)}

    def test_a_likeness_below_0_3_is_not_listed(self) -> None:
        assert list(self.found(complex_at(400, size=1 / 10.5))) == [400]
        assert self.found(complex_at(400, size=1 / 11.5)) == {}

    def test_the_other_polarity_is_not_listed(self) -> None:
        assert 400 not in self.found(-complex_at(400))

    @pytest.mark.parametrize(("distance", "both"), [(SPACING, False), (SPACING + 1, True)])
    def test_the_better_of_two_within_100_ms_is_listed(self, distance: int, both: bool) -> None:
        band = complex_at(400) + complex_at(400 + distance, size=0.8)
        assert [at for at in self.found(band) if abs(at - 406) < 15] == ([400, 400 + distance] if both else [400])

    @pytest.mark.parametrize(
        ("at", "listed"), [(REACH - 1, False), (REACH, True), (N - 1 - REACH, True), (N - REACH, False)]
    )
    def test_a_beat_partly_outside_the_window_is_not_listed(self, at: int, listed: bool) -> None:
        assert (at in self.found(complex_at(at))) is listed

    def test_an_offset_and_an_empty_window_give_nothing(self) -> None:
        assert self.found(np.zeros(N)) == {}
        assert self.found(complex_at(400) + 5.0)[400] == pytest.approx(1.0, abs=1e-3)


class TestShare:
    FOUND = Candidates(np.array([100, 200, 300, 400]), np.array([0.9, 0.8, 0.79, 0.95]))

    def test_beats_with_a_candidate_of_enough_likeness_count(self) -> None:
        assert MATCHER.share_alike(self.FOUND, np.array([100, 200, 300, 400]), N, 0.8) == 0.75
        assert MATCHER.share_alike(self.FOUND, np.array([100, 200, 300, 400]), N, 0.96) == 0.0

    @pytest.mark.parametrize(("off", "share"), [(NEAR, 1.0), (-NEAR, 1.0), (NEAR + 1, 0.0), (-NEAR - 1, 0.0)])
    def test_within_40_ms(self, off: int, share: float) -> None:
        assert MATCHER.share_alike(self.FOUND, np.array([100 + off]), N, 0.8) == share

    @pytest.mark.parametrize("at", [REACH + NEAR - 1, N - REACH - NEAR])
    def test_beats_at_the_ends_do_not_count(self, at: int) -> None:
        assert MATCHER.share_alike(self.FOUND, np.array([at]), N, 0.8) == 0.0
        assert MATCHER.share_alike(self.FOUND, np.sort([100, at]), N, 0.8) == 1.0

    @pytest.mark.parametrize("at", [REACH + NEAR, N - REACH - NEAR - 1])
    def test_the_beats_next_to_the_ends_count(self, at: int) -> None:
        assert MATCHER.share_alike(self.FOUND, np.sort([100, at]), N, 0.8) == 0.5


def test_the_band_pass_has_an_odd_number_of_taps_about_its_length() -> None:
    assert len(MATCHER._taps) == 2 * round(TAPS_S * FS / 2) + 1
    assert len(MATCHER._taps) % 2 == 1
