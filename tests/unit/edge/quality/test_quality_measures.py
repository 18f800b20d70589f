"""The measures of the quality gate, each on a signal whose value follows from its definition."""

from __future__ import annotations

import numpy as np
import pytest

from edge.quality.measures import (
    band_ratio,
    burst,
    centred,
    complex_heights,
    irregularity,
    kurtosis,
    likeness,
    stands_still,
)

FS = 125.0
N = 1250


def sine(frequency_hz: float, amplitude: float = 1.0, fs_hz: float = FS, n: int = N) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(n) / fs_hz)


def test_centred_removes_the_mean() -> None:
    assert centred(np.array([1.0, 2.0, 6.0])).tolist() == [-2.0, -1.0, 3.0]


def test_kurtosis_of_known_distributions() -> None:
    assert kurtosis(sine(5.0)) == pytest.approx(1.5)
    assert kurtosis(np.array([1.0, -1.0] * 50)) == 1.0
    assert kurtosis(np.array([2.0, 0.0, 0.0, -2.0] * 10)) == 2.0
    assert kurtosis(np.random.default_rng(0).standard_normal(200_000)) == pytest.approx(3.0, abs=0.05)
    assert kurtosis(np.zeros(10)) == 0.0


class TestBandRatio:
    def test_power_is_shared_between_two_sines_as_their_squared_amplitudes(self) -> None:
        x = sine(10.0, 3.0) + sine(30.0, 1.0)
        assert band_ratio(x, FS, (5.0, 15.0), (5.0, 40.0)) == pytest.approx(0.9, abs=1e-6)
        assert band_ratio(x, FS, (25.0, 35.0), (5.0, 40.0)) == pytest.approx(0.1, abs=1e-6)

    def test_power_outside_the_whole_band_does_not_count(self) -> None:
        x = sine(10.0) + sine(30.0) + sine(50.0, 20.0) + sine(2.0, 20.0)
        assert band_ratio(x, FS, (5.0, 15.0), (5.0, 40.0)) == pytest.approx(0.5, abs=1e-4)

    @pytest.mark.parametrize(("frequency_hz", "share"), [(5.0, 2 / 3), (15.0, 2 / 3), (4.9, 1 / 6), (15.1, 1 / 6)])
    def test_a_sine_on_an_edge_of_the_part_belongs_to_it(self, frequency_hz: float, share: float) -> None:
        # A Hann window puts 4/6 of the power of a line into its bin and 1/6 into each neighbour.
        x = sine(frequency_hz)
        inside = {5.0: 5 / 6, 15.0: 5 / 6, 4.9: 1 / 6, 15.1: 1 / 6}[frequency_hz]
        assert share <= inside
        assert band_ratio(x, FS, (5.0, 15.0), (0.0, 40.0)) == pytest.approx(inside, abs=2e-3)

    @pytest.mark.parametrize(("frequency_hz", "inside"), [(0.0, 0.0), (40.0, 5 / 6), (40.1, 1 / 6)])
    def test_the_whole_band_has_its_edges(self, frequency_hz: float, inside: float) -> None:
        x = 10.0 * sine(20.0) + 10.0 * np.cos(2 * np.pi * frequency_hz * np.arange(N) / FS) * (frequency_hz > 0)
        assert band_ratio(x, FS, (30.0, 40.0), (10.0, 40.0)) == pytest.approx(inside / (1 + inside), abs=2e-3)

    def test_the_rate_scales_the_frequencies(self) -> None:
        x = sine(10.0, fs_hz=250.0, n=2500)
        assert band_ratio(x, 250.0, (5.0, 15.0), (5.0, 40.0)) == pytest.approx(1.0)
        assert band_ratio(x, 125.0, (5.0, 15.0), (2.0, 4.0)) == 0.0

    def test_without_power_the_share_is_zero(self) -> None:
        assert band_ratio(np.zeros(N), FS, (5.0, 15.0), (5.0, 40.0)) == 0.0


def hump(at: int, width: int = 3) -> np.ndarray:
    return np.exp(-0.5 * ((np.arange(N) - at) / width) ** 2)


class TestLikeness:
    BEATS = np.arange(100, 1200, 100)

    def test_beats_of_one_shape_are_alike_at_any_size(self) -> None:
        x = sum((k + 1) * hump(at) for k, at in enumerate(self.BEATS))
        assert likeness(x, self.BEATS, FS) == pytest.approx(np.ones(len(self.BEATS)), abs=1e-6)

    def test_each_beat_of_bigeminy_matches_another_one(self) -> None:
        x = sum(hump(at) if k % 2 else -hump(at, 9) for k, at in enumerate(self.BEATS))
        assert likeness(x, self.BEATS, FS) == pytest.approx(np.ones(len(self.BEATS)), abs=1e-6)

    def test_a_single_beat_of_another_shape_is_alone(self) -> None:
        x = sum(-hump(at) if at == 500 else hump(at) for at in self.BEATS)
        found = likeness(x, self.BEATS, FS)
        assert found[4] < 0.1
        assert np.delete(found, 4) == pytest.approx(np.ones(len(found) - 1), abs=1e-6)

    def test_two_beats_are_compared_and_one_is_not(self) -> None:
        x = hump(300) + hump(700)
        assert likeness(x, np.array([300, 700]), FS) == pytest.approx([1.0, 1.0], abs=1e-6)
        assert likeness(x, np.array([300]), FS).shape == (0,)
        assert likeness(x, np.zeros(0, dtype=int), FS).shape == (0,)

    @pytest.mark.parametrize(("shift", "alike"), [(4, True), (-4, True), (9, False), (-9, False)])
    def test_a_peak_up_to_32_ms_off_is_aligned(self, shift: int, alike: bool) -> None:
        beats = np.array([300, 600 + shift])
        found = likeness(hump(300) + hump(600), beats, FS)
        assert bool(found.min() > 0.9999) is alike

    def test_segments_of_two_close_beats_exclude_each_other(self) -> None:
        assert likeness(hump(300) + 3.0 * hump(340), np.array([300, 340]), FS) == pytest.approx([1.0, 1.0], abs=1e-4)

    @pytest.mark.parametrize(("offset", "seen"), [(-26, False), (-25, True), (50, True), (51, False)])
    def test_a_segment_is_from_200_ms_before_a_beat_to_400_ms_after_it(self, offset: int, seen: bool) -> None:
        x = hump(300, 1) + hump(700, 1)
        x[700 + offset] += 1.0
        assert bool(likeness(x, np.array([300, 700]), FS).max() < 0.95) is seen

    @pytest.mark.parametrize(("first", "counted"), [(29, 2), (28, 1)])
    def test_a_segment_that_begins_before_the_window_is_left_out(self, first: int, counted: int) -> None:
        # 25 samples before the beat and 4 to align it.
        beats = np.array([first, 400, 700])
        assert len(likeness(sum(hump(at) for at in beats), beats, FS)) == counted + 1

    @pytest.mark.parametrize(("last", "counted"), [(1195, 3), (1196, 2)])
    def test_a_segment_that_ends_after_the_window_is_left_out(self, last: int, counted: int) -> None:
        # 50 samples after the beat, 4 to align it, and the beat itself.
        beats = np.array([300, 700, last])
        assert len(likeness(sum(hump(at) for at in beats), beats, FS)) == counted

    def test_the_segment_of_a_beat_excludes_a_close_next_beat(self) -> None:
        """A beat every 0.32 s; every second one is inverted and would disturb a segment of 0.4 s."""
        beats = np.arange(60, 1200, 40)
        rng = np.random.default_rng(1)
        x = sum(size * hump(at, 2) for at, size in zip(beats, rng.choice([-1.0, 1.0], len(beats)), strict=True))
        assert likeness(x, beats, FS).min() > 0.99


def test_the_height_of_a_complex_is_peak_to_peak_within_80_ms() -> None:
    x = np.zeros(N)
    x[300], x[310], x[290], x[311], x[289] = 1.0, -0.5, 0.25, 9.0, -9.0
    assert complex_heights(x, np.array([300]), FS).tolist() == [1.5]


def test_the_height_of_a_complex_at_an_end_of_the_window() -> None:
    x = np.zeros(N)
    x[0], x[3], x[-1] = 2.0, -1.0, 4.0
    assert complex_heights(x, np.array([1, N - 2]), FS).tolist() == [3.0, 4.0]


class TestBurst:
    def test_a_steady_signal_has_one(self) -> None:
        assert burst(sine(10.0, fs_hz=250.0, n=2500), 250.0) == pytest.approx(1.0, abs=0.01)

    def test_a_piece_of_ten_times_the_amplitude_has_about_ten(self) -> None:
        x = sine(10.0, fs_hz=250.0, n=2500)
        x[1000:1125] *= 10.0
        assert burst(x, 250.0) == pytest.approx(10.0, rel=0.15)

    def test_a_ramp_has_no_roughness(self) -> None:
        assert burst(np.arange(2500.0), 250.0) == 1.0

    def test_a_single_jump_on_a_constant_is_beyond_any_limit(self) -> None:
        assert burst(np.repeat([0.0, 1.0], 1250), 250.0) == np.inf

    @pytest.mark.parametrize(("every", "ratio"), [(500, 2.0), (250, 1.0)])
    def test_beats_at_30_bpm_and_more_are_usual(self, every: int, ratio: float) -> None:
        x = np.zeros(2500)
        x[60::every] = 1.0
        assert burst(x, 250.0) == pytest.approx(ratio)


@pytest.mark.parametrize("at", [0, 1, 700, 1870, 1875])
@pytest.mark.parametrize(("samples", "still"), [(624, False), (625, True), (900, True)])
def test_two_and_a_half_seconds_of_one_value_stand_still(at: int, samples: int, still: bool) -> None:
    x = np.random.default_rng(2).standard_normal(2500)
    x[at : at + samples] = 0.5
    assert stands_still(x, 250.0, float(np.ptp(x)), 2.5) is still


def test_a_constant_stands_still() -> None:
    assert stands_still(np.ones(2500), 250.0, 0.0, 2.5)


def test_noise_below_a_millionth_of_the_span_stands_still() -> None:
    x = np.random.default_rng(3).standard_normal(2500)
    for amplitude, still in ((2e-7, True), (5e-6, False)):
        y = x.copy()
        y[500:1500] = amplitude * np.ptp(x) * np.resize([0.0, 1.0], 1000)
        assert stands_still(y, 250.0, float(np.ptp(y)), 2.5) is still


def test_irregularity_of_known_intervals() -> None:
    assert irregularity(np.array([0, 100, 200, 300, 400])) == 0.0
    # Intervals 90, 110, 90, 110: every difference is 20, the mean is 100.
    assert irregularity(np.array([0, 90, 200, 290, 400])) == pytest.approx(0.2)
    assert irregularity(np.array([0, 90, 200, 290])) == 0.0
    assert irregularity(np.zeros(0, dtype=int)) == 0.0
