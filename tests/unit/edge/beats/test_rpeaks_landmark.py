"""Where in a complex the R peak is: the largest deflection, its polarity, and the same summit from beat to beat."""

from __future__ import annotations

import numpy as np
import pytest

from edge.beats.decide import BeatDecision
from edge.beats.detector import RPeakDetector
from edge.beats.feature import Peak
from edge.beats.vet import BeatVetting, _Rhythm

LOCATE, LEVEL = 10, 25
"""80 and 200 ms in samples."""


def located(stream: dict[int, float], at: int = 60, level: float = 0.0, detector: RPeakDetector | None = None) -> int:
    """R peak of a beat whose feature peaks at ``at``, in a stream that is flat but for some samples."""
    made = detector or RPeakDetector()
    made._tail = np.full(made._tail_n, level)
    for index, value in stream.items():
        made._tail[index] += value
    made._taken = max(made._taken, made._tail_n)
    shift = made._taken - made._tail_n
    return made._r_peak(Peak(at + shift, 1.0, 1.0, np.zeros(3), 0)) - shift


@pytest.mark.parametrize("level", [0.0, 7.0, -7.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_it_is_the_largest_deflection_within_80_ms(level: float, sign: float) -> None:
    for distance in (-LOCATE, -3, 0, 4, LOCATE):
        stream = {60 + distance: 2.0 * sign, 61: 0.5 * sign, 60 + LOCATE + 1: 9.0 * sign, 60 - LOCATE - 1: 9.0 * sign}
        assert located(stream, level=level) == 60 + distance


def test_deflections_count_from_the_median_of_200_ms() -> None:
    """Twenty-six of fifty-one samples lie at 4; the 2.5 of the middle is then a deflection down of 1.5."""
    raised = dict.fromkeys(range(60 - LEVEL, 60 - LEVEL + 26), 4.0)
    assert located({**raised, 62: 4.0, 66: 0.0}) == 61
    made = RPeakDetector()
    far = dict.fromkeys(range(60 - LEVEL - 30, 60 - LEVEL), 4.0)
    assert located({**far, 62: 1.0}, detector=made) == 62
    assert made._sign == 1


@pytest.mark.parametrize(
    ("up", "down", "sign", "peak"),
    [(1.0, 1.0, 1, 58), (1.0, 1.01, -1, 63), (1.01, 1.0, 1, 58), (1.0, 0.0, 1, 58), (0.0, 1.0, -1, 63)],
)
def test_the_first_beat_sets_the_polarity(up: float, down: float, sign: int, peak: int) -> None:
    made = RPeakDetector()
    assert located({58: up, 63: -down}, detector=made) == peak
    assert made._sign == sign
    assert made._balance == pytest.approx(0.125 * (up - down) / (up + down))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("other", "taken"), [(1.49, False), (1.51, True)])
def test_the_other_polarity_must_be_half_as_large_again(sign: int, other: float, taken: bool) -> None:
    made = RPeakDetector()
    made._sign = sign
    assert located({58: 1.0 * sign, 63: -other * sign}, detector=made) == (63 if taken else 58)
    assert made._sign == sign


@pytest.mark.parametrize("sign", [1, -1])
def test_the_polarity_turns_when_the_balance_of_many_beats_has(sign: int) -> None:
    """The balance of +1 weighs an eighth at first; of later beats of -0.5 the sixth brings it below -0.2."""
    made = RPeakDetector()
    located({58: 2.0 * sign}, detector=made)
    signs = []
    for _ in range(7):
        located({58: 1.0 * sign, 63: -3.0 * sign}, detector=made)
        signs.append(made._sign)
    assert signs == [sign] * 5 + [-sign] * 2


def test_a_flat_stream_has_no_polarity() -> None:
    made = RPeakDetector()
    assert located({}, detector=made) == 60 - LOCATE
    assert (made._sign, made._balance) == (0, 0.0)


def test_peaks_increase_and_count_from_the_reset() -> None:
    made = RPeakDetector()
    assert located({58: 1.0}, detector=made) == 58
    assert located({57: 1.0}, detector=made) == 59
    made._taken += 1000
    assert located({57: 1.0}, detector=made) == 57
    assert made._previous == 1057


def test_at_the_beginning_of_what_is_kept_less_is_seen() -> None:
    assert located({2: 1.0, 14: 0.5}, at=4) == 2
    assert located({14: 1.0, 15: 5.0}, at=4) == 14
    assert located({0: 1.0}, at=0) == 0


class TestLandmark:
    def deflection(self, **summits: float) -> np.ndarray:
        x = np.zeros(21)
        for name, value in summits.items():
            x[int(name[1:])] = value
        return x

    def test_of_one_summit_the_place_is_remembered(self) -> None:
        made = RPeakDetector()
        assert made._landmark(self.deflection(_7=1.0, _15=0.79), 10) == 7
        assert made._offset == -3

    @pytest.mark.parametrize(("rival", "at"), [(0.79, 7), (0.8, 12)])
    def test_a_rival_of_four_fifths_nearer_to_the_place_is_taken(self, rival: float, at: int) -> None:
        made = RPeakDetector()
        made._offset = 3
        assert made._landmark(self.deflection(_7=1.0, _12=rival), 10) == at
        assert made._offset == at - 10

    def test_of_two_as_near_the_higher_is_taken(self) -> None:
        made = RPeakDetector()
        assert made._landmark(self.deflection(_7=0.9, _13=1.0), 10) == 13
        made._offset = 0
        assert made._landmark(self.deflection(_7=1.0, _13=0.9), 10) == 7

    def test_a_plateau_has_its_last_sample_for_a_rival_and_the_ends_none(self) -> None:
        made = RPeakDetector()
        made._offset = 5
        assert made._landmark(self.deflection(_7=1.0, _12=0.9, _13=0.9, _14=0.9), 10) == 14
        made._offset = 10
        assert made._landmark(self.deflection(_7=1.0, _19=0.9, _20=0.9), 10) == 7
        made._offset = 9
        assert made._landmark(self.deflection(_7=1.0, _19=0.9), 10) == 19
        made._offset = -9
        assert made._landmark(self.deflection(_7=1.0, _1=0.9), 10) == 1


def test_beats_in_doubt_wait_as_long_as_the_delay_allows() -> None:
    """0.8 s are 100 samples at 125 Hz and 288 at 360 Hz."""
    for fs_hz, hold, locate in ((125.0, 100, 10), (360.0, 288, 29)):
        made = RPeakDetector(fs_hz)
        assert made._vetting._hold == hold
        assert made.max_delay_samples == hold + made._certain_lag + made._feature.block + locate


def test_a_rhythm_is_regular_up_to_a_tenth_of_its_interval() -> None:
    for off, regular in ((8, True), (9, True), (10, False), (12, False)):
        spread = _Rhythm()
        for k in range(12):
            spread.learn(100 + (off if k % 2 else -off))
        assert spread.regular is regular


def test_a_beat_that_looks_right_forms_the_template_on() -> None:
    def unit(shape: list[float]) -> np.ndarray:
        centred = np.array(shape) - np.mean(shape)
        return centred / np.linalg.norm(centred)

    first, second = [0.0, 1.0, 5.0, 1.0, 0.0], [0.0, 1.5, 5.0, 1.0, 0.0]
    made = BeatVetting(100)
    assert made._likeness(Peak(0, 1.0, 1.0, np.array(first), 0)) == 1.0
    assert made._template == pytest.approx(unit(first))
    made._misses = 2
    made._likeness(Peak(100, 1.0, 1.0, np.array(second), 0))
    mixed = unit(first) + 0.125 * (unit(second) - unit(first))
    assert made._template == pytest.approx(mixed / np.linalg.norm(mixed))
    assert (made._formed_by, made._misses) == (2, 0)
    made._likeness(Peak(200, 1.0, 1.0, -np.array(first), 0))
    assert (made._formed_by, made._misses) == (2, 1)


def test_the_background_is_that_of_two_seconds() -> None:
    made = BeatDecision(125.0)
    for k in range(40):
        made._remember(np.full(25, float(k)))
    assert [float(block[0]) for block in made._background] == list(range(30, 40))
