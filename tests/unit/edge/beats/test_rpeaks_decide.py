"""The decision between beat and noise, on synthetic peaks: thresholds, T waves, search-back, learning again.

A stream of 100 samples a second, so that samples are hundredths of a second.
"""

from __future__ import annotations

import numpy as np
import pytest

from edge.beats.decide import BeatDecision
from edge.beats.feature import Peak

FS = 100.0
BLOCK = 20
BACKGROUND = 0.01


def peak(at: int, height: float = 1.0, slope: float = 1.0) -> Peak:
    return Peak(at, height, slope, np.zeros(0), 0)


def decided(peaks: list[Peak], until: int, *, background: float = BACKGROUND) -> list[int]:
    """Return the samples of the peaks that are beats, in the order of the reports."""
    decision, found = BeatDecision(FS), []
    for now in range(BLOCK, until + BLOCK, BLOCK):
        new = [p for p in peaks if now - BLOCK < p.index <= now]
        found += decision.step(now, np.full(BLOCK, background), new)
    return [p.index for p in found]


def reported_at(peaks: list[Peak], index: int, until: int) -> int:
    """Return the time at which a peak is reported as a beat, samples."""
    decision = BeatDecision(FS)
    for now in range(BLOCK, until + BLOCK, BLOCK):
        new = [p for p in peaks if now - BLOCK < p.index <= now]
        if index in [p.index for p in decision.step(now, np.full(BLOCK, BACKGROUND), new)]:
            return now
    return -1


REGULAR = [peak(at) for at in range(50, 1050, 100)]
"""Ten beats, one per second, the last at sample 950."""


def test_regular_beats_are_all_found() -> None:
    assert decided(REGULAR, 1100) == [p.index for p in REGULAR]


def test_nothing_is_reported_in_the_two_seconds_of_learning() -> None:
    assert reported_at(REGULAR, 50, 400) == 200
    assert reported_at(REGULAR, 150, 400) == 200
    assert reported_at(REGULAR, 250, 400) == 260


def test_without_peaks_there_are_no_beats() -> None:
    assert decided([], 3000) == []


def test_after_silence_the_first_peak_is_a_beat() -> None:
    late = [peak(p.index + 400) for p in REGULAR]
    assert decided(late, 1500) == [p.index for p in late]


@pytest.mark.parametrize(("height", "beat"), [(0.34, False), (0.36, True)])
def test_a_peak_is_a_beat_above_a_third_of_the_usual_height(height: float, beat: bool) -> None:
    early = peak(1010, height)  # 0.6 s after the last one: no pause, no T wave
    assert (1010 in decided([*REGULAR, early, peak(1050)], 1060)) is beat


def test_noise_peaks_raise_the_threshold_between_them_and_the_beats() -> None:
    """Noise of 0.3 between beats of 1: the threshold is 0.3 + 0.35 (1 - 0.3) = 0.545."""
    noise = [peak(p.index + 60, 0.3) for p in REGULAR]
    for height, beat in ((0.53, False), (0.56, True)):
        early = peak(1510, height)
        beats = [peak(at) for at in range(1050, 1550, 100)]
        more = [peak(at + 60, 0.3) for at in range(1050, 1450, 100)]
        peaks = sorted([*REGULAR, *noise, *beats, *more, early], key=lambda p: p.index)
        assert (1510 in decided(peaks, 1520)) is beat


def test_noise_nearly_as_high_as_beats_raises_the_noise_level_to_0_6_only() -> None:
    """0.6 + 0.35 (1 - 0.6) = 0.74 for any higher noise; otherwise a beat of 0.9 would be missed."""
    noise = [peak(p.index + 30, 0.95, 0.1) for p in REGULAR]  # taken for T waves, so they are noise
    peaks = sorted([*REGULAR, *noise], key=lambda p: p.index)
    for height, beat in ((0.73, False), (0.75, True)):
        assert (1050 in decided([*peaks, peak(1050, height)], 1060)) is beat


class TestTWaves:
    @pytest.mark.parametrize(("slope", "beat"), [(0.49, False), (0.51, True)])
    def test_soon_after_a_beat_a_peak_of_less_than_half_its_slope_is_its_t_wave(self, slope: float, beat: bool) -> None:
        assert (980 in decided([*REGULAR, peak(980, 0.9, slope)], 1000)) is beat

    @pytest.mark.parametrize(("after", "beat"), [(44, False), (45, True)])
    def test_soon_is_within_45_percent_of_the_usual_interval(self, after: int, beat: bool) -> None:
        assert (950 + after in decided([*REGULAR, peak(950 + after, 0.9, 0.2)], 1000)) is beat

    @pytest.mark.parametrize(("after", "beat"), [(35, False), (36, True)])
    def test_soon_is_at_least_360_ms_at_a_fast_rate(self, after: int, beat: bool) -> None:
        fast = [peak(at) for at in range(50, 1050, 50)]
        assert (1000 + after in decided([*fast, peak(1000 + after, 0.9, 0.2)], 1040)) is beat

    @pytest.mark.parametrize(("after", "beat"), [(49, False), (50, True)])
    def test_soon_is_at_most_500_ms_at_a_slow_rate(self, after: int, beat: bool) -> None:
        slow = [peak(at) for at in range(50, 1900, 180)]
        last = slow[-1].index
        assert (last + after in decided([*slow, peak(last + after, 0.9, 0.2)], last + 80)) is beat

    def test_the_usual_slope_is_that_of_the_last_eight_beats(self) -> None:
        steeper = [peak(at, 1.0, 4.0) for at in range(1050, 1850, 100)]
        for count, beat in ((8, False), (3, True)):
            known = [*REGULAR, *steeper[:count]]
            at = known[-1].index + 30
            assert (at in decided([*known, peak(at, 0.9, 1.5)], at + 20)) is beat

    def test_a_t_wave_counts_as_noise(self) -> None:
        """T waves of 0.5 after every beat: the threshold is 0.5 + 0.35 (1 - 0.5) = 0.675."""
        waves = [peak(p.index + 30, 0.5, 0.1) for p in REGULAR]
        peaks = sorted([*REGULAR, *waves], key=lambda p: p.index)
        for height, beat in ((0.66, False), (0.69, True)):
            assert (1050 in decided([*peaks, peak(1050, height)], 1060)) is beat

    def test_a_steep_artefact_in_the_place_of_a_beat_makes_no_t_wave_of_the_next_beat(self) -> None:
        assert decided([*REGULAR, peak(1020, 2.0, 40.0), peak(1050)], 1100)[-2:] == [1020, 1050]


class TestPauses:
    @pytest.mark.parametrize(("height", "beat"), [(0.17, False), (0.19, True)])
    def test_after_a_pause_lower_peaks_are_beats(self, height: float, beat: bool) -> None:
        assert (1050 in decided([*REGULAR, peak(1050, height)], 1140)) is beat

    def test_the_search_back_starts_after_one_and_a_half_usual_intervals(self) -> None:
        # The last beat is at 950: 1100 is 1.5 intervals later, and only a longer time is a pause.
        assert reported_at([*REGULAR, peak(1050, 0.25)], 1050, 1200) == 1120

    def test_the_higher_of_two_held_peaks_is_the_beat(self) -> None:
        peaks = [*REGULAR, peak(1040, 0.2), peak(1060, 0.3)]
        found = decided(peaks, 1140)
        assert 1060 in found
        assert 1040 not in found

    def test_a_beat_after_a_pause_first_reports_the_missed_beat(self) -> None:
        assert decided([*REGULAR, peak(1050, 0.25), peak(1150)], 1160)[-2:] == [1050, 1150]

    def test_a_held_peak_is_noise_after_0_8_seconds(self) -> None:
        """At 60 bpm the search-back for a peak 0.1 s after a beat would be 1.4 s later: by then it is dropped."""
        assert 960 not in decided([*REGULAR, peak(960, 0.3)], 1140)

    def test_the_usual_interval_is_a_second_until_three_are_known(self) -> None:
        few = [peak(50), peak(110), peak(170), peak(230)]  # the third interval makes it 0.6 s
        assert reported_at([*few, peak(290, 0.25)], 290, 500) == 340  # beyond 230 + 90
        assert reported_at([*few[:3], peak(260, 0.25)], 260, 500) == 340  # beyond 170 + 150

    def test_the_usual_interval_follows_the_last_eight(self) -> None:
        faster = [peak(950 + 50 * k) for k in range(1, 9)]
        assert reported_at([*REGULAR, *faster, peak(1400, 0.25)], 1400, 1600) == 1440  # beyond 1350 + 75


class TestLearningAnew:
    def small(self, height: float, after: int = 1150) -> list[Peak]:
        return [peak(at, height) for at in range(after, after + 1000, 100)]

    def test_beats_a_twelfth_of_the_size_are_found_again_after_two_intervals(self) -> None:
        peaks = [*REGULAR, *self.small(1 / 12)]
        found = decided(peaks, 2100)
        assert found[:10] == [p.index for p in REGULAR]
        assert found[10:] == [p.index for p in peaks if p.index > 1100]

    def test_the_required_height_is_a_tenth_and_halves_every_two_seconds(self) -> None:
        assert reported_at([*REGULAR, peak(1150, 0.11)], 1150, 2000) == 1160  # 2 s after the last beat
        assert reported_at([*REGULAR, peak(1150, 0.04), peak(1350, 0.04)], 1350, 2000) in range(1360, 1440)
        assert reported_at([*REGULAR, *self.small(0.04)], 1250, 2000) == -1

    def test_a_peak_close_to_the_background_does_not_change_the_levels(self) -> None:
        peaks = [*REGULAR, *self.small(0.25)]
        assert decided(peaks, 2100, background=0.24 / 3)[10:] != []
        assert decided([*REGULAR, *self.small(0.12)], 2100, background=0.13 / 3)[10:] == []
        assert decided([*REGULAR, *self.small(0.12)], 2100, background=0.11 / 3)[10:] != []

    def test_reset_forgets_the_size_of_the_beats(self) -> None:
        decision = BeatDecision(FS)
        for now in range(BLOCK, 1100, BLOCK):
            decision.step(now, np.full(BLOCK, BACKGROUND), [p for p in REGULAR if now - BLOCK < p.index <= now])
        decision.reset()
        found = []
        for now in range(BLOCK, 600, BLOCK):
            new = [peak(at, 0.02) for at in range(50, 600, 100) if now - BLOCK < at <= now]
            found += decision.step(now, np.full(BLOCK, 0.001), new)
        assert [p.index for p in found] == [50, 150, 250, 350, 450, 550]
